"""Every way to use the same comparisons, from the same SFT model, at equal numbers of sampled answers.

    python benchmarks/practice.py RUN [RUN ...] [--prompts 1500] [--answers 4096] [--equal-time [RESULT]] [--keep DIR]

Each RUN is a finished quickstart. Its base, SFT and reward models are taken as they are, and every method practises
through the real command in a copy of the folder: PPO with and without the pretraining mix, GRPO, RLOO and REINFORCE,
rejection sampling, DPO with two betas (which samples nothing), and best-of-16 (which trains nothing: its KL is told as
a bound, and its bits per byte are SFT's). The settings besides are those of the quickstart's PPO. With --equal-time
each method that samples also has as many answers as fill the seconds that PPO-ptx took, and DPO whole epochs, where
there is room for more than one; with an earlier RESULT of this benchmark the seconds are those, and the runs need no
quiet machine. Told are the gold judge's win rate over SFT and the accuracy, greedily and at temperature 1, KL to SFT
and entropy of answers at temperature 1, bits per byte of held-out base text, and seconds. The picture, win rate against
KL, goes to docs/pictures/.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import command
import numpy as np
from practice_tables import best_of, most_kl
from record import ROOT, write_result

from gptwright import world
from gptwright.evaluate.likelihood import answer_statistics
from gptwright.evaluate.pairwise import win_rate
from gptwright.model.folder import load_language_model, load_scalar_model
from gptwright.model.transformer import LanguageModel
from gptwright.recipe import load_recipe
from gptwright.records import Prompt
from gptwright.report.plots import png_plot
from gptwright.stages.answers import answer_text, sample_answers, that_fit
from gptwright.stages.rewards import Part, answered, choosable, model_reward
from gptwright.tasks import world as world_task
from gptwright.tokenizer.chat import render_prompt
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.fast_path import FastPath

BEST_OF = 16
SHARED = ("tokenizer", "corpus", "base", "sft", "comparisons", "reward")
"""Folders that every method starts from."""
DPO_BETAS = (0.1, 0.5)
"""That of the paper's experiments, and one that stays as near to the SFT model as PPO does here."""
STATISTICS_ANSWERS = 300
TICKS = (0.5, 1, 2, 5, 10)
SIGNS = ("o", "s", "^", "D", "v", "P", "X", "*")
AS_LONG = ", as long"
PICTURE = ROOT / "docs" / "pictures" / "practice.png"


def methods(answers: int, epochs: int = 1) -> dict[str, tuple[str, list[str]]]:
    """Name -> (stage, overrides): each samples `answers` in rounds of 128, or to prompts of 16; DPO takes `epochs`."""
    rounds, common = answers // 128, ["episodes=128", "minibatches=2", "beta=0.2", "pretrain_rows=4", "evaluations=0"]

    def section(name: str, *settings: str) -> list[str]:
        return [f"{name}.{setting}" for setting in settings]

    grpo = section("grpo", f"steps={rounds}", *common)
    ppo = section("ppo", f"steps={rounds}", *common, "interpolation=1.0")
    dpo = {f"DPO, beta {beta}": ("dpo", section("dpo", f"beta={beta}", f"epochs={epochs}")) for beta in DPO_BETAS}
    return {
        **dpo,
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
        answers = answered([prompt], [completions], self.tokenizer)
        return completions[int(np.argmax(choosable(self.reward(answers), answers)))]

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


Times = dict[str, float]


def measure(
    run: Path, keep: Path, prompts: int, answers: int, *, equal_time: bool, times: Times | None
) -> dict[str, Any]:
    """Every method's figures from one run; `times` are the seconds that each takes, where they were measured before."""
    judge = Judge(run, prompts)
    evaluation = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    place = keep / run.name
    found = {"SFT": kept(place / "SFT.json", lambda: judge.told(judge.sft))}
    found["SFT"] |= {"bits_per_byte": evaluation["bits_per_byte"]["sft"]}
    found[f"best of {BEST_OF}"] = kept(place / "best.json", lambda: judge.told(judge.sft, (1.0,), BEST_OF))
    for name, (stage, overrides) in methods(answers).items():
        found[name] = tried(run, keep, judge, name, stage, overrides)
    if equal_time:
        taken = times or {name: found[name]["seconds"] for name in methods(answers)}
        for name in methods(answers):
            factor = taken["PPO-ptx"] / taken[name]
            as_long = methods(max(1, round(answers * factor / 128)) * 128, max(1, round(factor)))[name]
            if abs(factor - 1) < 0.1 or as_long == methods(answers)[name]:
                continue
            found[name + AS_LONG] = tried(run, keep, judge, name + AS_LONG, *as_long)
    if times:
        for name in found:
            found[name].pop("seconds", None)  # on a busy machine
    return found


def earlier_times(result: Path) -> Times:
    """The median seconds of each method in an earlier result; DPO's beta does not change how long it takes."""
    figures = json.loads(result.read_text(encoding="utf-8"))["figures"]
    if "seconds" in figures:
        return dict(figures["seconds"])
    runs = figures["runs"]
    told = {
        name: statistics.median(run[name]["seconds"] for run in runs) for name in runs[0] if "seconds" in runs[0][name]
    }
    return {name: told[name if name in told else name.partition(",")[0]] for name in methods(1)}


def kept(path: Path, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What an earlier call has found, or what `work` finds now."""
    if not path.is_file():
        found = work()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found), encoding="utf-8")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def tried(run: Path, keep: Path, judge: Judge, name: str, stage: str, overrides: Sequence[str]) -> dict[str, Any]:
    folder = keep / run.name / name.replace(",", "").replace(" ", "-")
    lineage = practise(run, folder, stage, overrides)
    told = kept(folder / "told.json", lambda: judge.told(load_language_model(folder / stage).eval())) | {
        "seconds": json.loads((folder / "seconds.json").read_text(encoding="utf-8")),
        "bits_per_byte": lineage["bits_per_byte"],
        "tokens_sampled": lineage.get("tokens_sampled", 0),
    }
    print(run.name, name, json.dumps(told), flush=True)
    return told


def tried_in(runs: Sequence[dict[str, Any]]) -> list[str]:
    """What was tried in any of them, in order: how long a method took decides whether it is tried as long as PPO."""
    return list(dict.fromkeys(name for run in runs for name in run))


def draw(runs: Sequence[dict[str, Any]]) -> None:
    """Win rate over SFT, greedily and at temperature 1, against the KL: a point a method and run."""

    def paint(axes: Any, colours: Any) -> None:
        names = [name for name in tried_in(runs) if any("kl" in run.get(name, {}) for run in runs) and name != "SFT"]
        every = list(dict.fromkeys(name.removesuffix(AS_LONG) for name in names))
        for name in names:
            x = [run[name]["kl"]["value"] for run in runs if name in run]
            y = [run[name]["sampled"]["win_rate"]["value"] for run in runs if name in run]
            # There are fewer colours than methods: each has a sign of its own, filled at equal numbers of answers.
            number, as_long = every.index(name.removesuffix(AS_LONG)), name.endswith(AS_LONG)
            label, filled = (None, "none") if as_long else (name, "full")
            colour = colours.of(1 + number)
            axes.plot(x, y, SIGNS[number], label=label, color=colour, markersize=5, fillstyle=filled)
        for name in filter(best_of, tried_in(runs)):
            y = [run[name]["sampled"]["win_rate"]["value"] for run in runs if name in run]
            x = [most_kl(best_of(name) or 1)] * len(y)
            axes.plot(x, y, "<", label=f"{name} (KL at most)", color=colours.ink, markersize=5)
        axes.set_xscale("log")
        axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
        axes.set_xticks([], minor=True)
        axes.axhline(0.5, color=colours.ink, linewidth=0.8, linestyle=":")
        axes.set_xlabel("KL to SFT, nats per answer")
        axes.set_ylabel("gold win rate over SFT")
        hollow = any(name.endswith(AS_LONG) for name in names)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), title="hollow: as long as PPO-ptx" if hollow else None)

    PICTURE.write_bytes(png_plot((7.2, 3.8), paint))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--prompts", type=int, default=1500)
    parser.add_argument("--answers", type=int, default=4096)
    parser.add_argument(
        "--equal-time", nargs="?", type=Path, const=Path(), help="try each method for as long as PPO-ptx, too"
    )
    parser.add_argument("--keep", type=Path, help="keep the copies here, and read those that are finished")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        keep = Path(os.path.abspath(arguments.keep or temporary))
        sizes, result = (arguments.prompts, arguments.answers), arguments.equal_time
        if result not in (None, Path()) and not result.is_file():
            parser.error(f"--equal-time {result} is no result of this benchmark: name its file, or put it last")
        times = earlier_times(result) if result not in (None, Path()) else None
        runs = [measure(run, keep, *sizes, equal_time=result is not None, times=times) for run in arguments.runs]
    draw(runs)
    told = f"--prompts {arguments.prompts} --answers {arguments.answers}"
    if result is not None:
        told += f" --equal-time {result.name}".rstrip()
    figures: dict[str, Any] = {"runs": runs} | ({"seconds": times} if times else {})
    write_result("practice", f"python benchmarks/practice.py {len(runs)} runs of quickstart {told}", figures)


if __name__ == "__main__":
    main()
