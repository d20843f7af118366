"""Stretched rotary positions: angles by hand, and logits equal to transformers' for folders that either side wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from gptwright.model.config import from_hf, to_hf
from gptwright.model.folder import load_language_model, save_model
from gptwright.model.rope import RopeScaling, ntk_theta, rope_table, scaling_from_hf
from gptwright.model.transformer import LanguageModel

THETA, HEAD = 10_000.0, 64

# As they stand in the config.json of Llama 3.1, of Qwen2.5 with its long context, and of older models.
LLAMA31 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN = {"rope_type": "yarn", "rope_theta": 10_000.0, "factor": 4.0, "original_max_position_embeddings": 64}
SCALINGS: dict[str, dict[str, Any]] = {
    "llama3": LLAMA31,
    "yarn": YARN,
    "yarn with every key": {**YARN, "attention_factor": 1.3, "beta_fast": 16.0, "beta_slow": 2.0, "truncate": False},
    "yarn as DeepSeek has it": {**YARN, "mscale": 0.7, "mscale_all_dim": 1.2},
    "linear": {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0},
}


def write_folder(folder: Path, rope: dict[str, Any], family: str = "llama") -> Any:
    """A random model of transformers' own, saved as transformers saves it; heads of 64 as in small Llamas."""
    transformers = pytest.importorskip("transformers")
    config = {"llama": transformers.LlamaConfig, "qwen2": transformers.Qwen2Config}[family](
        vocab_size=50,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=HEAD,
        max_position_embeddings=256,
        tie_word_embeddings=False,
        initializer_range=0.3,  # attention far from uniform, so that a wrong angle shows
        rope_parameters=dict(rope),
    )
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.fixture
def row() -> torch.Tensor:
    """One row of 200 ids, three times as long as the original context of 64."""
    return torch.randint(50, (1, 200), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", list(SCALINGS))
def test_logits_are_those_of_transformers(row: torch.Tensor, tmp_path: Path, name: str) -> None:
    theirs = write_folder(tmp_path, SCALINGS[name])
    ours = load_language_model(tmp_path)
    with torch.no_grad():
        assert_close(ours(row), theirs(row).logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", list(SCALINGS))
def test_a_folder_that_we_write_keeps_its_scaling(row: torch.Tensor, tmp_path: Path, name: str) -> None:
    transformers = pytest.importorskip("transformers")
    before = write_folder(tmp_path / "theirs", SCALINGS[name], "qwen2")
    (tmp_path / "ours").mkdir()
    model = load_language_model(tmp_path / "theirs")
    save_model(model, tmp_path / "ours", eos=1, pad=0)
    assert load_language_model(tmp_path / "ours").config == model.config
    after = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours").eval()
    with torch.no_grad():
        assert torch.equal(after(row).logits, before(row).logits)


def test_scaling_matters_to_these_models(row: torch.Tensor, tmp_path: Path) -> None:
    """Or the two tests above could not fail."""
    write_folder(tmp_path, LLAMA31)
    scaled = load_language_model(tmp_path)
    plain = LanguageModel(replace(scaled.config, rope_scaling=None)).eval()
    plain.load_state_dict(scaled.state_dict())
    with torch.no_grad():
        assert float((scaled(row) - plain(row)).abs().max()) > 0.1


def test_the_old_way_to_write_a_scaling_is_read(make_model: Callable[..., LanguageModel]) -> None:
    values = to_hf(make_model("llama").config, scalar=False, eos=1, pad=0)
    del values["rope_parameters"]
    config = from_hf({**values, "rope_theta": 7e4, "rope_scaling": {"type": "linear", "factor": 2.0}})
    assert (config.rope_theta, config.rope_scaling) == (7e4, RopeScaling("linear", 2.0))


def test_linear_scaling_is_a_slower_walk() -> None:
    stretched, plain = rope_table(9, HEAD, THETA, RopeScaling("linear", 4.0)), rope_table(9, HEAD, THETA)
    assert_close(stretched[0][8], plain[0][2])
    assert_close(stretched[1][8], plain[1][2])


def test_yarn_keeps_fast_pairs_and_slows_slow_ones() -> None:
    # Within 2048 tokens pair p turns 2048 / (2 pi theta^(p/32)) times: 32 times at p = 8.06, once at p = 20.1.
    frequency = THETA ** (-torch.arange(32) / 32)
    slowed = RopeScaling("yarn", 4.0, 2048).slow_down(frequency, THETA)
    assert_close(slowed[:9], frequency[:9])
    assert_close(slowed[21:], frequency[21:] / 4)
    assert_close(slowed[15], frequency[15] * (6 / 13 + 7 / 13 / 4))  # between 8 and 21, 7 of 13 on the way
    assert RopeScaling("yarn", 4.0, 2048).amplitude == pytest.approx(1 + 0.1 * math.log(4))


def test_llama3_ramps_by_turns_within_the_original_context() -> None:
    turns = torch.tensor([8.0, 4.0, 2.5, 1.0, 0.5])
    frequency = turns * 2 * math.pi / 8192
    slowed = RopeScaling("llama3", 8.0, 8192).slow_down(frequency, THETA)
    assert_close(slowed / frequency, torch.tensor([1.0, 1.0, 0.5 + 0.5 / 8, 1 / 8, 1 / 8]))


def test_ntk_slows_the_slowest_pair_by_the_factor_and_the_fastest_not_at_all() -> None:
    theta = ntk_theta(THETA, 4.0, HEAD)
    assert (THETA / theta) ** (62 / 64) == pytest.approx(1 / 4)


@pytest.mark.parametrize(
    ("rope", "named"),
    [
        ({"rope_type": "longrope"}, "RoPE scaling 'longrope' is not supported: only default, linear, yarn, llama3 are"),
        ({**LLAMA31, "high_freq_factor": 1.0}, r"low_freq_factor \(1\.0\) of RoPE scaling must be below"),
        ({**YARN, "factor": 0.9}, "it must be at least 1"),
    ],
)
def test_scalings_that_cannot_be_are_refused(rope: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        scaling_from_hf(rope, 256)


def test_a_factor_that_is_left_out_follows_from_the_two_contexts(tmp_path: Path) -> None:
    write_folder(tmp_path, YARN)
    values = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    values["rope_parameters"]["factor"] = None
    assert from_hf(values).rope_scaling == RopeScaling("yarn", 4.0, 64)
