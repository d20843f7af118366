"""A trained model made ready to learn more: its context stretched, its matrices grown for new tokens.

Shapes: V vocabulary, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch

from gptwright.model.config import ModelConfig
from gptwright.model.rope import RopeScaling, ScalingKind, ntk_theta
from gptwright.model.transformer import LanguageModel


def trained_context(config: ModelConfig) -> int:
    """The longest sequence that the model's positions are made for: its scaling may reach beyond its context."""
    scaling = config.rope_scaling
    reach = round(scaling.factor * scaling.original_context) if scaling and scaling.original_context else 0
    return max(config.context, reach)


def stretched(
    config: ModelConfig, context: int, kind: ScalingKind | Literal["ntk"] | None = None, factor: float | None = None
) -> ModelConfig:
    """The same model with another context, its positions stretched by `factor` or as far as the context asks.

    A model that is stretched already is stretched on, by the same kind. Raises ValueError for a longer context without
    a kind, and for a kind without a longer context.
    """
    reach = trained_context(config)
    if kind is None:
        if context > reach:
            raise ValueError(
                f"it was trained with a context of {reach} tokens, and model.context is {context}: set "
                "model.rope_scaling, for example {kind: yarn}, or lower model.context"
            )
        return replace(config, context=context)
    if context <= reach:
        raise ValueError(
            f"model.rope_scaling has no effect, since it was trained with a context of {reach} tokens and "
            f"model.context is {context}: remove the one (model.rope_scaling=null) or raise the other"
        )
    ratio = context / reach if factor is None else factor
    if ratio * reach < context:
        raise ValueError(
            f"model.rope_scaling.factor {ratio:g} stretches its context of {reach} tokens to {ratio * reach:.0f}, less "
            f"than model.context ({context}): raise the factor or remove it"
        )
    before = config.rope_scaling
    if before and before.kind != kind:
        raise ValueError(f"its positions are stretched by {before.kind} already: set model.rope_scaling.kind to that")
    if kind == "ntk":
        return replace(config, context=context, rope_theta=ntk_theta(config.rope_theta, ratio, config.head_dim))
    if before:
        scaling = replace(before, factor=before.factor * ratio, attention_factor=None)
    else:
        scaling = RopeScaling(kind, ratio, None if kind == "linear" else reach)
    return replace(config, context=context, rope_scaling=scaling)


@torch.no_grad()
def regrown(model: LanguageModel, config: ModelConfig, *, known: int, new_ids: Sequence[int]) -> LanguageModel:
    """The weights of `model` in a model of `config`, which may have more rows of vocabulary and another context.

    Rows that are new, and those of `new_ids`, become the mean of the first `known` rows. A token that is new is then at
    most as likely as the average one, so that what was learned is hardly disturbed (Hewitt 2021, "Initializing new word
    embeddings for pretrained language models").
    """
    grown = LanguageModel(config)
    state = model.state_dict()
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        matrix_VD = state[name].new_empty(config.vocab_size, config.width)
        rows = len(state[name])
        matrix_VD[:rows] = state[name]
        mean_D = state[name][:known].mean(dim=0)
        matrix_VD[rows:] = mean_D
        matrix_VD[list(new_ids)] = mean_D
        state[name] = matrix_VD
    grown.load_state_dict(state)
    return grown.eval()
