"""Memory of a step, counted on tensors without data."""

from __future__ import annotations

import itertools

import pytest
import torch

from gptwright.model.config import ModelConfig
from gptwright.train.fast_path import FastPath
from gptwright.train.memory import LiveBytes, activation_bytes


def test_live_bytes_by_hand() -> None:
    """Three tensors of 400 bytes, never more than two of them at once; a view takes nothing."""
    with LiveBytes() as live:
        first = torch.zeros(100)
        second = first + 1
        view = second[:50]
        del first
        third = view.new_zeros(100)
        assert (live.now, live.peak) == (800, 800)
        del second, view
        assert live.now == 400
        del third
    assert (live.now, live.peak) == (0, 800)


def test_logits_dominate_a_tiny_model_of_a_large_vocabulary() -> None:
    """4 x 64 tokens of 10,000 logits: logits, log-softmax and two gradients of 10.24 MB, not all at once."""
    config = ModelConfig(
        vocab_size=10_000, context=64, width=8, layers=1, heads=1, kv_heads=1, head_dim=8, hidden=16, qk_norm=False
    )
    logits = 4 * 64 * 10_000 * 4
    assert 2 * logits < activation_bytes(config, 4, FastPath("cpu", "float32")) < 4.2 * logits


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_counting_few_layers_tells_what_many_take(precision: str) -> None:
    config = ModelConfig(
        vocab_size=64, context=32, width=32, layers=5, heads=2, kv_heads=2, head_dim=16, hidden=96, qk_norm=True
    )
    path = FastPath("cpu", precision)
    by_layers = [activation_bytes(ModelConfig(**{**vars(config), "layers": n}), 4, path) for n in (2, 3, 4, 5)]
    steps = {b - a for a, b in itertools.pairwise(by_layers)}
    assert len(steps) == 1
