"""Models need tokens to think: long addition answered at once, after a chain of thought, and after GRPO on right sums.

    python benchmarks/addition.py [--seeds 3] [--digits 6] [--demonstrations 4000] [--keep DIR]

The recipe `addition`, once with direct answers as demonstrations and once with chains, from the same base; then GRPO,
which is told nothing but whether the sum is right. All answer the same test, whose problems none has seen, two digits
longer than any was trained on. Accuracies with 95% intervals by number of digits; the picture goes to docs/pictures/.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import command
from record import ROOT, write_result

from gptwright.report.plots import Series, png_plot

PICTURE = ROOT / "docs" / "pictures" / "addition.png"
MODELS = {"direct answers": ("direct", "sft"), "chains of thought": ("chains", "sft"), "GRPO": ("chains", "grpo")}


def run_seed(seed: int, folder: Path, digits: int, demonstrations: int) -> dict[str, Any]:
    """Accuracy of each model by number of digits, and what GRPO took."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = folder / "figures.json"
    if stored.is_file():
        return dict(json.loads(stored.read_text(encoding="utf-8")))
    files, log = folder / "files", folder / "log"
    sizes = ["--digits", str(digits), "--demonstrations", str(demonstrations), "--seed", str(seed)]
    command.run(["data", "addition", str(files), *sizes], log)
    common = ["-o", f"seed={seed}", "-o", f"data.files={files}/documents.jsonl"]
    chains = [*common, "-o", f"sft.data={files}/chains.jsonl", "-o", f"grpo.data={files}/prompts.jsonl"]
    seconds = {"base": command.run(["pretrain", "addition", *chains, "--dir", str(folder / "chains")], log).seconds}
    if not (folder / "direct").exists():
        shutil.copytree(folder / "chains", folder / "direct")
    direct = [*common, "-o", f"sft.data={files}/direct.jsonl", "-o", "grpo=null"]
    seconds["direct"] = command.run(["sft", "addition", *direct, "--dir", str(folder / "direct")], log).seconds
    seconds["chains"] = command.run(["sft", "addition", *chains, "--dir", str(folder / "chains")], log).seconds
    seconds["grpo"] = command.run(["run", "addition", *chains, "--dir", str(folder / "chains")], log).seconds
    accuracy = {name: tested(folder / run / stage, files) for name, (run, stage) in MODELS.items()}
    figures = {"seed": seed, "seconds": seconds, "accuracy": accuracy}
    stored.write_text(json.dumps(figures), encoding="utf-8")
    return figures


def tested(model: Path, files: Path) -> dict[str, Any]:
    """What `gptwright evaluate` says of it, greedily."""
    asked = [str(model), "--data", str(files / "test.jsonl"), "--by", "digits", "--max-tokens", "110", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "gptwright.cli.main", "evaluate", *asked], cwd=ROOT, capture_output=True, check=True
    )
    return dict(json.loads(done.stdout)["accuracy"][str(model)])


def draw(runs: list[dict[str, Any]], trained: int) -> None:
    """Mean accuracy over seeds by number of digits."""
    curves = []
    for colour, name in enumerate(MODELS, start=1):
        rows = [run["accuracy"][name] for run in runs]
        lengths = sorted(int(key.split()[1]) for key in rows[0] if key != "all")
        means = [sum(row[f"digits {n}"]["value"] for row in rows) / len(rows) for n in lengths]
        curves.append(Series(name, [float(n) for n in lengths], means, colour))

    def paint(axes: Any, colours: Any) -> None:
        for curve in curves:
            axes.plot(curve.x, curve.y, marker="o", label=curve.label, color=colours.of(curve.colour))
        axes.axvline(trained + 0.5, color=colours.ink, linewidth=0.8, linestyle=":")
        axes.set_xlabel(f"digits of both numbers (learned from up to {trained})")
        axes.set_ylabel("accuracy")
        axes.set_ylim(-0.02, 1.02)
        axes.legend()

    PICTURE.write_bytes(png_plot((6.4, 3.4), paint))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--digits", type=int, default=6)
    parser.add_argument("--demonstrations", type=int, default=4_000)
    parser.add_argument("--keep", type=Path, help="keep the runs here, and read those that are finished")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        keep = Path(os.path.abspath(arguments.keep or temporary))
        sizes = arguments.digits, arguments.demonstrations
        runs = [run_seed(seed, keep / f"seed-{seed}", *sizes) for seed in range(arguments.seeds)]
    draw(runs, arguments.digits)
    told = f"--seeds {arguments.seeds} --digits {arguments.digits} --demonstrations {arguments.demonstrations}"
    write_result("addition", f"python benchmarks/addition.py {told}", {"runs": runs})


if __name__ == "__main__":
    main()
