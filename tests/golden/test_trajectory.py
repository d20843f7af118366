"""Twenty known training steps: a refactoring must walk the same path.

`trajectory.json` beside this file holds loss and gradient norm of 20 seeded float32 steps on the CPU. A change that is
meant to alter numbers writes it anew, from the repository's root, and says why in the same commit:

    .venv/bin/python tests/golden/test_trajectory.py
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gptwright.losses.language import language_loss
from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, initialise
from gptwright.recipe import OptimizerSettings
from gptwright.train.optimizers import Optimizers
from gptwright.train.step import gradient_step

KNOWN = Path(__file__).parent / "trajectory.json"
STEPS = 20


def walk(*, muon: bool) -> dict[str, list[float]]:
    """Loss and gradient norm, to 5 significant digits, of a tiny model that learns eight fixed rows by heart."""
    model = LanguageModel(
        ModelConfig(vocab_size=64, context=16, width=32, layers=2, heads=4, kv_heads=2, head_dim=8, hidden=64)
    )
    initialise(model, seed=1)
    # Small rate, large eps: rounding, which differs between processors, must not grow into other digits.
    optimizers = Optimizers(model, OptimizerSettings(learning_rate=1e-3, eps=1e-4, muon=muon, warmup=0.1))
    ids = torch.randint(64, (8, 17), generator=torch.Generator().manual_seed(2))
    walked: dict[str, list[float]] = {"loss": [], "grad_norm": []}
    for step in range(STEPS):
        optimizers.set_rate(step, STEPS)
        halves = [lambda i=i: language_loss(model(ids[i : i + 4, :-1]), ids[i : i + 4, 1:], count=128) for i in (0, 4)]
        result = gradient_step(optimizers, halves)
        walked["loss"].append(float(f"{result.loss:.5g}"))
        walked["grad_norm"].append(float(f"{result.grad_norm:.5g}"))
    return walked


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_training_walks_the_known_path(optimizer: str) -> None:
    known = json.loads(KNOWN.read_text(encoding="utf-8"))[optimizer]
    walked = walk(muon=optimizer == "muon")
    # Muon orthogonalises in bfloat16, where one float32 rounding may show as 1 in 256.
    tolerance = {"loss": 1e-4, "grad_norm": 1e-4 if optimizer == "adamw" else 5e-4}
    for figure, relative in tolerance.items():
        assert walked[figure] == pytest.approx(known[figure], rel=relative), figure


def test_the_known_path_learns() -> None:
    for known in json.loads(KNOWN.read_text(encoding="utf-8")).values():
        assert len(known["loss"]) == len(known["grad_norm"]) == STEPS
        assert known["loss"][0] == pytest.approx(4.1589, abs=0.05)  # ln 64: at the start every token is as likely
        assert known["loss"][-1] < 0.95 * known["loss"][0]


if __name__ == "__main__":
    KNOWN.write_text(
        json.dumps({"adamw": walk(muon=False), "muon": walk(muon=True)}, indent=1) + "\n", encoding="utf-8"
    )
