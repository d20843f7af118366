"""A tiny model whose next-token distributions are neither flat nor certain, and bytes as tokens."""

from __future__ import annotations

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
