"""The way of computing: stored for the run, measured anew when a setting rules it out, and the same loss each way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gptwright.losses.language import language_loss
from gptwright.model.transformer import LanguageModel
from gptwright.recipe import MachineSettings
from gptwright.train.fast_path import FastPath, choose, pretraining_loss

GIVEN = MachineSettings(device="cpu", precision="float32", compile="never")


def test_what_the_settings_give_is_not_measured(tiny_model: LanguageModel, tmp_path: Path) -> None:
    assert choose(tmp_path, tiny_model.config, GIVEN, rows=2, tokens=100) == FastPath("cpu", "float32")


def test_choice_is_stored_and_read_back(tiny_model: LanguageModel, tmp_path: Path) -> None:
    settings = MachineSettings(device="cpu", compile="never")
    first = choose(tmp_path, tiny_model.config, settings, rows=2, tokens=100)
    assert first.tokens_per_second > 0
    assert choose(tmp_path, tiny_model.config, settings, rows=2, tokens=100) == first
    assert [path.name for path in tmp_path.iterdir()] == ["fast_path.json"]


def test_stored_path_wins_over_a_new_measurement(tiny_model: LanguageModel, tmp_path: Path) -> None:
    stored = {"device": "cpu", "precision": "bfloat16", "compiled": True, "kernel": "matmul", "tokens_per_second": 5.0}
    (tmp_path / "fast_path.json").write_text(json.dumps(stored), encoding="utf-8")
    settings = MachineSettings(device="cpu")
    assert choose(tmp_path, tiny_model.config, settings, rows=2, tokens=100) == FastPath(**stored)


def test_a_setting_that_rules_the_stored_path_out_is_obeyed(tiny_model: LanguageModel, tmp_path: Path) -> None:
    """A run that diverged in bfloat16 says: set machine.precision=float32. That must then have an effect."""
    stored = {"device": "cpu", "precision": "bfloat16"}
    (tmp_path / "fast_path.json").write_text(json.dumps(stored), encoding="utf-8")
    assert choose(tmp_path, tiny_model.config, GIVEN, rows=2, tokens=100).precision == "float32"
    assert json.loads((tmp_path / "fast_path.json").read_text(encoding="utf-8"))["precision"] == "float32"


@pytest.mark.parametrize("kernel", ["fused", "matmul"])
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-6), ("bfloat16", 2e-2)])
def test_every_path_computes_the_language_loss(
    tiny_model: LanguageModel, kernel: str, precision: str, tolerance: float
) -> None:
    ids = torch.randint(19, (4, 9), generator=torch.Generator().manual_seed(0))
    plain = language_loss(tiny_model(ids[:, :-1]), ids[:, 1:])
    loss = pretraining_loss(tiny_model, FastPath("cpu", precision, kernel=kernel))(ids[:, :-1], ids[:, 1:])
    loss.backward()
    assert float(loss.detach()) == pytest.approx(float(plain.detach()), rel=tolerance)
    assert {parameter.grad.dtype for parameter in tiny_model.parameters() if parameter.grad is not None} == {
        torch.float32
    }
