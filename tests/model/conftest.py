"""Tiny models of each published family, every vector random so that no norm weight or bias hides at 1 or 0."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, initialise

SWITCHES = {
    "qwen3": {"qk_norm": True, "qkv_bias": False},
    "qwen2": {"qk_norm": False, "qkv_bias": True},
    "llama": {"qk_norm": False, "qkv_bias": False},
}


def tiny_config(family: str = "qwen3", tied: bool = True) -> ModelConfig:
    """Grouped heads (4 over 2), and heads that together are wider (32) than the residual stream (24)."""
    return ModelConfig(
        vocab_size=37,
        context=32,
        width=24,
        layers=3,
        heads=4,
        kv_heads=2,
        head_dim=8,
        hidden=40,
        rope_theta=500.0,
        tied=tied,
        **SWITCHES[family],
    )


@pytest.fixture
def make_model() -> Callable[..., LanguageModel]:
    def make(family: str = "qwen3", tied: bool = True, seed: int = 0) -> LanguageModel:
        model = LanguageModel(tiny_config(family, tied)).eval()
        initialise(model, seed)
        generator = torch.Generator().manual_seed(seed + 1)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
        return model

    return make


@pytest.fixture
def tokens() -> torch.Tensor:
    """Two rows of 12 ids below 37."""
    return torch.randint(37, (2, 12), generator=torch.Generator().manual_seed(5))
