"""Every way to use the same comparisons, from the same SFT model, at equal numbers of sampled answers.

    python benchmarks/practice.py RUN [RUN ...] [--prompts 1500] [--answers 4096] [--keep DIR]

Each RUN is a finished quickstart. Its base, SFT and reward models are taken as they are, and every method practises
through the real command in a copy of the folder: PPO with and without the pretraining mix, GRPO, RLOO and REINFORCE,
rejection sampling, DPO (which samples nothing), and best-of-16 (which trains nothing). The settings besides are
those of the quickstart's PPO. Told are the gold judge's win rate over SFT and the accuracy, greedily and at
temperature 1, KL to SFT and entropy of answers at temperature 1, bits per byte of held-out base text, and seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import command
import numpy as np
from record import write_result

from gptwright import world
from gptwright.evaluate.likelihood import answer_statistics
from gptwright.evaluate.pairwise import win_rate
from gptwright.model.folder import load_language_model, load_scalar_model
from gptwright.model.transformer import LanguageModel
from gptwright.recipe import load_recipe
from gptwright.records import Prompt
from gptwright.stages.answers import answer_text, answer_turn, sample_answers, that_fit
from gptwright.stages.rewards import Answered, Part, model_reward
from gptwright.tasks import world as world_task
from gptwright.tokenizer.chat import render_prompt
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.fast_path import FastPath

BEST_OF = 16
SHARED = ("tokenizer", "corpus", "base", "sft", "comparisons", "reward")
"""Folders that every method starts from."""
STATISTICS_ANSWERS = 300


def methods(answers: int) -> dict[str, tuple[str, list[str]]]:
    """Name -> (stage, overrides): each samples `answers` in rounds of 128, or to prompts of 16."""
    rounds, common = answers // 128, ["episodes=128", "minibatches=2", "beta=0.2", "pretrain_rows=4", "evaluations=0"]

    def section(name: str, *settings: str) -> list[str]:
        return [f"{name}.{setting}" for setting in settings]

    grpo = section("grpo", f"steps={rounds}", *common)
    ppo = section("ppo", f"steps={rounds}", *common, "interpolation=1.0")
    return {
        "DPO": ("dpo", section("dpo", "beta=0.1")),
        "rejection sampling": (
            "rejection",
            section("rejection", f"prompts={answers // BEST_OF}", f"answers={BEST_OF}"),
        ),
        "REINFORCE": ("grpo", [*grpo, "grpo.baseline=batch", "grpo.answers=1", "grpo.kl=reward"]),
        "RLOO": ("grpo", [*grpo, "grpo.baseline=leave_one_out", "grpo.kl=reward"]),
        "GRPO": ("grpo", [*grpo, "grpo.baseline=group"]),
        "PPO": ("ppo", [*ppo, "ppo.pretrain_mix=0"]),
        "PPO-ptx": ("ppo", ppo),
    }


def practise(run: Path, folder: Path, stage: str, overrides: Sequence[str]) -> dict[str, float]:
    """Train one method in a copy of the run; its lineage."""
    if not (folder / stage / "config.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in (*SHARED, "recipe.yaml", "fast_path.json"):
            source = run / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)
        asked = [part for override in overrides for part in ("-o", override)]
        seed = load_recipe(str(run / "recipe.yaml")).seed
        asked += ["-o", f"seed={seed}", "-o", f"data.world_seed={seed}"]
        name = {"rejection": "best-of-n"}.get(stage, stage)
        started = command.run([name, "quickstart", *asked, "--dir", str(folder)], folder.with_suffix(".log"))
        (folder / "seconds.json").write_text(json.dumps(started.seconds), encoding="utf-8")
    return dict(json.loads((folder / stage / "lineage.json").read_text(encoding="utf-8")))


class Judge:
    """The test prompts, and what is told of a model's answers to them."""

    def __init__(self, run: Path, prompts: int) -> None:
        self.seed = load_recipe(str(run / "recipe.yaml")).seed
        self.tokenizer, self.sft = Tokenizer.load(run / "sft"), load_language_model(run / "sft").eval()
        pool = world.prompts("test", prompts, seed=self.seed)
        self.prompts: list[Prompt] = that_fit(pool, self.tokenizer, self.sft.config.context)
        reward_model = load_scalar_model(run / "reward")
        self.reward: Part = model_reward(reward_model, self.tokenizer, FastPath("cpu", "float32"))
        self.of_sft = {temperature: self.gold(self.sft, temperature) for temperature in (0.0, 1.0)}

    def gold(self, model: LanguageModel, temperature: float, best_of: int = 1) -> Any:
        """(scored rows, completions) of one answer to each prompt: the only one, or the best by the reward model."""
        sampled = sample_answers(
            model, self.tokenizer, self.prompts, seed=self.seed + 7, temperature=temperature, max_new_tokens=80,
            each=best_of,
        )  # fmt: skip
        if best_of > 1:
            sampled = [[self.best(prompt, each)] for prompt, each in zip(self.prompts, sampled, strict=True)]
        completions = [each[0] for each in sampled]
        return world_task.score(self.prompts, [answer_text(c, self.tokenizer) for c in completions]), completions

    def best(self, prompt: Prompt, completions: Sequence[Any]) -> Any:
        ids = render_prompt(prompt.messages, self.tokenizer)
        answers = [Answered(prompt, ids, c, answer_turn(c, self.tokenizer)) for c in completions]
        return completions[int(np.argmax(self.reward(answers)))]

    def told(
        self, model: LanguageModel, temperatures: Sequence[float] = (0.0, 1.0), best_of: int = 1
    ) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for temperature in temperatures:
            scored, completions = self.gold(model, temperature, best_of)
            before = self.of_sft[temperature][0]
            over = win_rate([row.score for row in scored], [row.score for row in before], seed=self.seed)
            right = [row.correct for row in scored if row.correct is not None]
            name = "greedy" if temperature == 0 else "sampled"
            found[name] = {"win_rate": over.to_json(), "accuracy": sum(right) / len(right)}
        if best_of == 1:
            few = list(zip(self.prompts, completions, strict=True))[:STATISTICS_ANSWERS]
            exchanges = [(render_prompt(prompt.messages, self.tokenizer), c.ids) for prompt, c in few]
            statistics = answer_statistics(model, self.sft, exchanges, seed=self.seed)
            found |= {"entropy": statistics.entropy, "kl": statistics.k1.to_json()}
        return found


def measure(run: Path, keep: Path, prompts: int, answers: int) -> dict[str, Any]:
    judge = Judge(run, prompts)
    found = {"SFT": judge.told(judge.sft)}
    found[f"best of {BEST_OF}"] = judge.told(judge.sft, (1.0,), BEST_OF)
    for name, (stage, overrides) in methods(answers).items():
        folder = keep / run.name / name.replace(" ", "-")
        lineage = practise(run, folder, stage, overrides)
        found[name] = judge.told(load_language_model(folder / stage).eval()) | {
            "seconds": json.loads((folder / "seconds.json").read_text(encoding="utf-8")),
            "bits_per_byte": lineage["bits_per_byte"],
            "tokens_sampled": lineage.get("tokens_sampled", 0),
        }
        print(run.name, name, json.dumps(found[name]), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--prompts", type=int, default=1500)
    parser.add_argument("--answers", type=int, default=4096)
    parser.add_argument("--keep", type=Path, help="keep the copies here, and read those that are finished")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        keep = Path(os.path.abspath(arguments.keep or temporary))
        runs = [measure(run, keep, arguments.prompts, arguments.answers) for run in arguments.runs]
    told = f"--prompts {arguments.prompts} --answers {arguments.answers}"
    write_result("practice", f"python benchmarks/practice.py {len(runs)} runs of quickstart {told}", {"runs": runs})


if __name__ == "__main__":
    main()
