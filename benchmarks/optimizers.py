"""Every choice about the optimizer against the one beside it: held-out loss after equal tokens.

    python benchmarks/optimizers.py [--tokens 2M] [--seeds 2] [--only "NAME;..."] [--keep DIR]

The quickstart's base model through the real command, each variant with one thing changed. With --keep, what is finished
there is not trained again. Differences are paired: the same seed is the same text in the same order.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import command
from record import write_result

OPTIMIZER = "pretrain.optimizer"
VARIANTS: dict[str, list[str]] = {
    "as it is: Muon and AdamW, cosine": [],
    "rate halved": [f"{OPTIMIZER}.learning_rate=0.006"],
    "rate doubled": [f"{OPTIMIZER}.learning_rate=0.024"],
    "AdamW alone, 0.002": [f"{OPTIMIZER}.muon=false", f"{OPTIMIZER}.learning_rate=0.002"],
    "AdamW alone, 0.004": [f"{OPTIMIZER}.muon=false", f"{OPTIMIZER}.learning_rate=0.004"],
    "AdamW alone, 0.008": [f"{OPTIMIZER}.muon=false", f"{OPTIMIZER}.learning_rate=0.008"],
    "stable_decay, the last 30%": [f"{OPTIMIZER}.schedule=stable_decay"],
    "linear": [f"{OPTIMIZER}.schedule=linear"],
    "rate to 0": [f"{OPTIMIZER}.final=0"],
    "no weight decay": [f"{OPTIMIZER}.weight_decay=0"],
    "weight decay falls to 0": [f"{OPTIMIZER}.weight_decay_final=0"],
    "z-loss 1e-4": ["pretrain.z_loss=1e-4"],
    "averaged weights, 0.99": ["pretrain.ema=0.99"],
    "averaged weights, 0.99, constant rate": ["pretrain.ema=0.99", f"{OPTIMIZER}.schedule=constant"],
}
BASE = next(iter(VARIANTS))


def train(overrides: list[str], tokens: str, seed: int, folder: Path) -> dict[str, float]:
    """One pretraining; its losses and how long it took."""
    wanted = [f"seed={seed}", f"data.world_seed={seed}", f"pretrain.tokens={tokens}", *overrides]
    options = [part for override in wanted for part in ("-o", override)]
    command.run(["pretrain", "quickstart", *options, "--dir", str(folder)], folder.with_suffix(".log"))
    lineage = json.loads((folder / "base" / "lineage.json").read_text(encoding="utf-8"))
    return {key: lineage[key] for key in ("validation_loss", "bits_per_byte", "seconds")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", default="2M")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", help="names of variants, separated by semicolons; the first one is always trained")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    names = [BASE, *(options.only.split(";") if options.only else list(VARIANTS)[1:])]
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        parser.error(f"no variant is called {unknown[0]!r}: use {'; '.join(VARIANTS)}")
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        place = options.keep or Path(temporary)
        for number, name in enumerate(names):
            index = list(VARIANTS).index(name)
            runs = [
                train(VARIANTS[name], options.tokens, seed, place / f"{index}-{seed}") for seed in range(options.seeds)
            ]
            losses = [run["validation_loss"] for run in runs]
            first = losses if not number else rows[BASE]["validation_loss"]
            rows[name] = {
                "settings": VARIANTS[name],
                "validation_loss": losses,
                "mean_difference": statistics.mean(a - b for a, b in zip(losses, first, strict=True)),
                "seconds": statistics.median(run["seconds"] for run in runs),
            }
            print(f"{name:<40} {statistics.mean(losses):.4f} {rows[name]['mean_difference']:+.4f}", flush=True)
    call = f"python benchmarks/optimizers.py --tokens {options.tokens} --seeds {options.seeds}"
    call += f' --only "{options.only}"' if options.only else ""
    print(write_result("optimizers", call, {"tokens": options.tokens, "variants": rows}))


if __name__ == "__main__":
    main()
