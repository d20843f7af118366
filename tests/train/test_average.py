"""The running average of weights, by hand."""

from __future__ import annotations

import pytest
import torch

from gptwright.model.transformer import LanguageModel
from gptwright.train.average import average_of, move_average, rising_decay


def test_moves_by_one_minus_decay(tiny_model: LanguageModel) -> None:
    average = average_of(tiny_model)
    before = [weight.clone() for weight in tiny_model.parameters()]
    with torch.no_grad():
        for weight in tiny_model.parameters():
            weight += 1.0
    move_average(average, tiny_model, 0.75)
    for mean, old in zip(average.parameters(), before, strict=True):
        torch.testing.assert_close(mean, old + 0.25)
        assert not mean.requires_grad


def test_decay_rises_to_what_was_asked() -> None:
    assert [rising_decay(0.9, step) for step in (0, 8, 80, 10_000)] == pytest.approx([0.1, 0.5, 0.9, 0.9])
