"""A configuration: what it counts, what it refuses, and its way through config.json."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from gptwright.model.config import ModelConfig, from_hf, to_hf
from gptwright.model.transformer import LanguageModel, use_attention

SMALL = ModelConfig(vocab_size=10, context=8, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, hidden=6)


def test_parameters_counted_by_hand() -> None:
    attention = 4 * 4 + 4 * 2 + 4 * 2 + 4 * 4 + 2 + 2  # q, k, v, o, two head norms
    block = attention + 3 * 4 * 6 + 4 + 4  # SwiGLU, two norms
    assert SMALL.parameter_count() == block + 4 + 10 * 4 == 176
    assert replace(SMALL, tied=False).parameter_count() == 216
    assert replace(SMALL, qk_norm=False, qkv_bias=True).parameter_count() == 176 - 4 + 4 + 2 + 2


@pytest.mark.parametrize("family", ["qwen3", "qwen2", "llama"])
@pytest.mark.parametrize("tied", [True, False])
def test_parameter_count_is_that_of_the_module(
    make_model: Callable[..., LanguageModel], family: str, tied: bool
) -> None:
    model = make_model(family, tied)
    assert model.config.parameter_count() == sum(parameter.numel() for parameter in model.parameters())


def test_flops_by_hand() -> None:
    matmul_weights = 4 * 4 + 4 * 2 + 4 * 2 + 4 * 4 + 3 * 4 * 6 + 10 * 4
    assert SMALL.flops_per_token(8) == 6 * matmul_weights + 6 * 2 * 2 * 8 == 1152
    assert replace(SMALL, tied=False).flops_per_token(8) == 1152
    assert replace(SMALL, qk_norm=False).flops_per_token(8) == 1152


@pytest.mark.parametrize("family", ["qwen3", "qwen2"])
def test_flops_agree_with_torchs_counter(make_model: Callable[..., LanguageModel], family: str) -> None:
    model, tokens = make_model(family), 16
    use_attention(model, "matmul")
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, tokens, dtype=torch.long))
    config = model.config
    masked_half = 2 * tokens * tokens * config.heads * config.head_dim * config.layers
    assert 3 * (counter.get_total_flops() - masked_half) == tokens * config.flops_per_token(tokens)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"layers": 0}, "model.layers is 0"),
        ({"kv_heads": 3, "heads": 4}, r"model.heads \(4\) must be a multiple of model.kv_heads \(3\)"),
        ({"head_dim": 3}, "model.head_dim is 3"),
        ({"qkv_bias": True}, "exclude each other"),
    ],
)
def test_parts_that_do_not_fit_are_named(change: dict[str, int], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        replace(SMALL, **change)


@pytest.mark.parametrize(
    ("switches", "family"), [((True, False), "qwen3"), ((False, True), "qwen2"), ((False, False), "llama")]
)
@pytest.mark.parametrize("scalar", [True, False])
def test_config_json_round_trip(switches: tuple[bool, bool], family: str, scalar: bool) -> None:
    config = replace(SMALL, qk_norm=switches[0], qkv_bias=switches[1], rope_theta=5e5, tied=False)
    values = to_hf(config, scalar=scalar, eos=1, pad=0)
    assert values["model_type"] == family
    assert from_hf(values) == config


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model_type": "mamba"}, "'mamba' is not supported: use one of llama, qwen2, qwen3"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "RoPE scaling 'dynamic' is not supported"),
        ({"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 0.5}}, "factor of RoPE scaling is 0.5"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"use_sliding_window": True}, "sliding-window"),
    ],
)
def test_what_would_compute_something_else_is_refused(change: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        from_hf(to_hf(SMALL, scalar=False, eos=1, pad=0) | change)


def test_older_config_json_without_optional_keys() -> None:
    """Llama 2 wrote neither head_dim nor num_key_value_heads, and rope_theta at the top."""
    values = {
        "model_type": "llama",
        "vocab_size": 10,
        "max_position_embeddings": 8,
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 6,
        "rope_theta": 1e6,
    }
    config = from_hf(values)
    assert (config.kv_heads, config.head_dim, config.rope_theta, config.tied) == (2, 4, 1e6, False)


def test_gpt3_costs_what_its_paper_says() -> None:
    # Brown et al. 2020, table D.1: 3.14e23 for 300B tokens, without attention; attention adds about 3%. A SwiGLU
    # block of 8/3 of the width has as many weights as GPT-3's of 4 times the width.
    gpt3 = ModelConfig(50_257, 2048, 12_288, 96, 96, 96, 128, 32_768, qk_norm=False)
    assert 3.14e23 < gpt3.flops_per_token(2048) * 300e9 < 3.14e23 * 1.04
