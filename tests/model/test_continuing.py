"""Going on from a trained model: what a longer context does to its positions, and what new tokens do not do to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from gptwright.model.config import ModelConfig
from gptwright.model.continuing import regrown, stretched, trained_context
from gptwright.model.rope import RopeScaling, ntk_theta
from gptwright.model.transformer import LanguageModel

MakeModel = Callable[..., LanguageModel]
LLAMA31 = RopeScaling("llama3", 8.0, 8192)


def shape(context: int, scaling: RopeScaling | None = None) -> ModelConfig:
    return ModelConfig(37, context, 24, 1, 2, 2, 16, 40, rope_scaling=scaling)


@pytest.mark.parametrize(
    ("before", "context", "kind", "after"),
    [
        (None, 4096, "linear", RopeScaling("linear", 4.0)),
        (None, 4096, "yarn", RopeScaling("yarn", 4.0, 1024)),
        (None, 4096, "llama3", RopeScaling("llama3", 4.0, 1024)),
        (RopeScaling("linear", 2.0), 4096, "linear", RopeScaling("linear", 8.0)),
        # A reach of 2 * 1024, which is more than its context says, goes on to twice as much.
        (RopeScaling("yarn", 2.0, 1024, attention_factor=1.2), 4096, "yarn", RopeScaling("yarn", 4.0, 1024)),
    ],
)
def test_a_longer_context_stretches_positions_by_as_much(
    before: RopeScaling | None, context: int, kind: Any, after: RopeScaling
) -> None:
    config = stretched(shape(1024, before), context, kind)
    assert (config.context, config.rope_scaling, config.rope_theta) == (context, after, 10_000.0)


def test_llama31_goes_on_from_the_context_that_it_promises() -> None:
    # Its factor times its original context is half of that.
    config = stretched(shape(131_072, LLAMA31), 262_144, "llama3")
    assert config.rope_scaling == replace(LLAMA31, factor=16.0)


def test_ntk_is_another_theta_and_nothing_else() -> None:
    config = stretched(shape(1024), 4096, "ntk")
    assert (config.rope_theta, config.rope_scaling) == (ntk_theta(10_000.0, 4.0, 16), None)


def test_a_factor_may_be_larger_than_the_context_asks() -> None:
    assert stretched(shape(1024), 2048, "yarn", 4.0).rope_scaling == RopeScaling("yarn", 4.0, 1024)


def test_a_shorter_context_changes_no_position() -> None:
    assert stretched(shape(1024, LLAMA31), 512) == shape(512, LLAMA31)


def test_a_context_within_the_reach_of_the_scaling_needs_no_other() -> None:
    # Qwen2.5's long context: config.json still says 32,768.
    config = shape(32_768, RopeScaling("yarn", 4.0, 32_768))
    assert trained_context(config) == 131_072
    assert stretched(config, 131_072).context == 131_072


@pytest.mark.parametrize(
    ("before", "context", "kind", "factor", "said"),
    [
        (None, 2048, None, None, "trained with a context of 1024 tokens, and model.context is 2048: set model.rope_sc"),
        (None, 1024, "yarn", None, "has no effect, since it was trained with a context of 1024"),
        (None, 4096, "yarn", 2.0, "2 stretches its context of 1024 tokens to 2048, less than model.context"),
        (RopeScaling("linear", 2.0), 4096, "ntk", None, "stretched by linear already"),
    ],
)
def test_what_does_not_fit_is_refused(
    before: RopeScaling | None, context: int, kind: Any, factor: float | None, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        stretched(shape(1024, before), context, kind, factor)


@pytest.mark.parametrize("tied", [True, False])
def test_new_tokens_leave_what_was_learned_as_it_was(make_model: MakeModel, tokens: torch.Tensor, tied: bool) -> None:
    model = make_model(tied=tied)
    # 35 of 37 rows stand for tokens; the 36th is put to use, the 37th left over, and 3 more come on top.
    grown = regrown(model, replace(model.config, vocab_size=40), known=35, new_ids=[35, 37])
    ids = tokens.clamp(max=34)
    with torch.no_grad():
        before, after = model(ids), grown(ids)
    assert_close(after[..., :35], before[..., :35], rtol=0, atol=1e-6)
    assert_close(after[..., 36], before[..., 36], rtol=0, atol=1e-6)
    # No new token is likelier than the average of the known ones, whatever stands before it.
    share = after.softmax(dim=-1)
    assert float((share[..., [35, 37, 38, 39]] / share[..., :35].mean(dim=-1, keepdim=True)).max()) <= 1 + 1e-6
    embeddings = grown.model.embed_tokens.weight
    assert_close(embeddings[37], model.model.embed_tokens.weight[:35].mean(dim=0))
    assert (grown.lm_head.weight is embeddings) == tied


def test_without_new_tokens_nothing_changes(make_model: MakeModel, tokens: torch.Tensor) -> None:
    model = make_model()
    again = regrown(model, replace(model.config, context=16), known=37, new_ids=[])
    assert again.config.context == 16
    with torch.no_grad():
        assert torch.equal(again(tokens), model(tokens))
