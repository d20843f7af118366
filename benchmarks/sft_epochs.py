"""Does finetuning help for longer? The quickstart's SFT with other numbers of epochs, from the same base models.

    python benchmarks/sft_epochs.py RUN [RUN ...] [--epochs 8] [--keep DIR]

Each RUN is a finished quickstart, whose base model is taken as it is; the rate falls over all epochs, however many
there are. Told are loss, gold score and accuracy on validation prompts at each epoch's end, and accuracy and gold score
on the test prompts. Choices are to be made by the former; it is no timing, and may run beside other work.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import command
from quickstart import read_json, validations
from record import write_result
from rounds import copied

from gptwright.recipe import load_recipe

SHARED = ("tokenizer", "corpus", "base")


def compared(run: Path, keep: Path, epochs: int) -> dict[str, Any]:
    """The run's own SFT, and one of so many epochs."""
    recipe = load_recipe(str(run / "recipe.yaml"))
    assert recipe.sft is not None
    folder = keep / f"{run.name}-{epochs}"
    copied(run, folder, SHARED)
    given = ["run", "quickstart", "-o", f"seed={recipe.seed}", "-o", f"data.world_seed={recipe.data.world_seed}"]
    command.run(
        [*given, "-o", "reward=null", "-o", "ppo=null", "-o", f"sft.epochs={epochs}", "--dir", str(folder)],
        folder.with_suffix(".log"),
    )
    return {"seed": recipe.seed, "epochs": {str(recipe.sft.epochs): figures(run), str(epochs): figures(folder)}}


def figures(folder: Path) -> dict[str, Any]:
    """How the SFT model came to be, and what its answers are worth, greedily and at temperature 1."""
    evaluation = read_json(folder / "evaluation.json")
    return {
        "curve": validations(folder / "sft"),
        "greedy": {key: evaluation[key]["sft"]["all"] for key in ("accuracy", "gold")},
        "sampled": {key: evaluation["sampled"][key]["sft"]["all"] for key in ("accuracy", "gold")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--keep", type=Path, help="keep the copies here; what is finished is not done again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        keep = Path(os.path.abspath(arguments.keep or temporary))
        runs = [compared(run, keep, arguments.epochs) for run in arguments.runs]
    told = f"{len(runs)} runs of quickstart --epochs {arguments.epochs}"
    write_result("sft_epochs", f"python benchmarks/sft_epochs.py {told}", {"runs": runs})


if __name__ == "__main__":
    main()
