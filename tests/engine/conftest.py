"""A tiny model whose next-token distributions are neither flat nor certain, and bytes as tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, initialise
from gptwright.tokenizer.bpe import train_characters
from gptwright.tokenizer.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """The 256 bytes and the special tokens."""
    return train_characters([])


@pytest.fixture
def model() -> LanguageModel:
    config = ModelConfig(
        vocab_size=37, context=32, width=24, layers=2, heads=4, kv_heads=2, head_dim=8, hidden=40, tied=False
    )
    model = LanguageModel(config).eval()
    initialise(model, seed=0)
    with torch.no_grad():
        model.lm_head.weight.mul_(20)
    return model


@pytest.fixture(scope="session")
def random_model() -> Callable[..., LanguageModel]:
    """`random_model(width=..., heads=..., ...)`: norms and biases are random too, so that each counts, and no two
    tokens are nearly as likely.
    """

    def make(**shape: Any) -> LanguageModel:
        model = LanguageModel(ModelConfig(**{"layers": 2, **shape})).eval()
        initialise(model, seed=0)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "norm" in name or "bias" in name:
                    parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
            model.lm_head.weight.mul_(20)
        return model

    return make
