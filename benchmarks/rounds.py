"""Judging and practising again: are further rounds worth more than one round with as many judgements and answers?

    python benchmarks/rounds.py RUN [RUN ...] [--rounds 3] [--prompts 2200] [--keep DIR]

Each RUN is a finished quickstart; its base and SFT models are taken as they are. Once it goes on for several rounds
(`gptwright rounds`), once it does everything in one: as many prompts judged in all, as many answers practised on in
all. Told are gold scores, win rates over SFT and over each other, and each reward model's accuracy on comparisons of
its own kind.
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
from record import write_result

from gptwright.recipe import Recipe, load_recipe, nth

SHARED = ("tokenizer", "corpus", "base", "sft")


def copied(run: Path, folder: Path, stages: Sequence[str] = SHARED) -> None:
    """These stages of a run in a folder of their own, to go on from."""
    if folder.exists():
        return
    folder.mkdir(parents=True)
    for name in (*stages, "recipe.yaml", "fast_path.json"):
        source = run / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)


def practised(run: Path, keep: Path, rounds: int, prompts: int) -> dict[str, Any]:
    """Both ways from one run."""
    recipe = load_recipe(str(run / "recipe.yaml"))
    assert recipe.ppo is not None and recipe.reward is not None
    common = ["-o", f"seed={recipe.seed}", "-o", f"data.world_seed={recipe.data.world_seed}"]
    several = ["rounds", "quickstart", *common, "--rounds", str(rounds), "-o", f"reward.prompts={prompts}"]
    several += ["-o", f"rounds.prompts={prompts}"]
    at_once = ["run", "quickstart", *common, "-o", f"reward.prompts={prompts * rounds}"]
    # As many answers in all, on as many more prompts: the settings of a step stay as they are.
    at_once += ["-o", f"ppo.steps={recipe.ppo.steps * rounds}"]
    found: dict[str, Any] = {"seed": recipe.seed}
    for name, arguments in (("rounds", several), ("at once", at_once)):
        folder = keep / run.name / name.replace(" ", "-")
        copied(run, folder)
        command.run([*arguments, "--dir", str(folder)], folder.with_suffix(".log"))
        found[name] = figures(folder, recipe, rounds if name == "rounds" else 1)
        print(run.name, name, json.dumps(found[name]), flush=True)
    return found


def figures(folder: Path, recipe: Recipe, rounds: int) -> dict[str, Any]:
    """Greedily and at temperature 1: accuracy, gold score, win rate over SFT; of each policy."""
    evaluation = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    names = ["sft", *(nth("ppo", number) for number in range(1, rounds + 1))]
    told: dict[str, Any] = {}
    for kind, rows in (("greedy", evaluation), ("sampled", evaluation["sampled"])):
        wins = {(row["a"], row["b"]): row for row in rows["win_rates"]}
        told[kind] = {
            name: {
                "accuracy": rows["accuracy"][name]["all"],
                "gold": rows["gold"][name]["all"],
                "over_sft": wins.get((name, "sft")),
            }
            for name in names
        }
    rewards = [nth("reward", number) for number in range(1, rounds + 1)]
    lineages = {name: json.loads((folder / name / "lineage.json").read_text(encoding="utf-8")) for name in rewards}
    told["reward_accuracy"] = {name: lineage["validation_accuracy"] for name, lineage in lineages.items()}
    told["kl"], told["bits_per_byte"] = evaluation["kl"], evaluation["bits_per_byte"]
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=2_200, help="judged in each round")
    parser.add_argument("--keep", type=Path, help="keep the copies here, and read those that are finished")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        keep = Path(os.path.abspath(arguments.keep or temporary))
        runs = [practised(run, keep, arguments.rounds, arguments.prompts) for run in arguments.runs]
    told = f"--rounds {arguments.rounds} --prompts {arguments.prompts}"
    write_result("rounds", f"python benchmarks/rounds.py {len(runs)} runs of quickstart {told}", {"runs": runs})


if __name__ == "__main__":
    main()
