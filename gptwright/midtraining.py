"""Settings of mid-training: a longer context for a model that is trained already, and another mixture at the end."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from gptwright.corpus_settings import FinishSettings
from gptwright.settings import Section


class RopeScalingSettings(Section):
    """How positions are stretched over a longer context (docs/pretraining.md says which to take)."""

    kind: Literal["linear", "ntk", "yarn", "llama3"]
    factor: Annotated[float, Field(ge=1)] | None = None
    """By how much; null is model.context / the context that the model was trained with."""


def decay_over_the_finish(values: Any) -> Any:
    """A recipe's raw values in which a stable-decay schedule falls over the finishing phase, unless they set decay."""
    finish, optimizer = _inside(values, "data", "finish"), _inside(values, "pretrain", "optimizer")
    if not finish or optimizer.get("schedule") != "stable_decay" or "decay" in optimizer:
        return values
    share = finish.get("share_of_tokens", FinishSettings.model_fields["share_of_tokens"].default)
    pretrain = values["pretrain"] | {"optimizer": optimizer | {"decay": share}}
    return values | {"pretrain": pretrain}


def refuse_unsaid_context(values: Any) -> Any:
    """A recipe's raw values. Raises ValueError when a model is gone on from and the length of its rows is left open."""
    if _inside(values, "pretrain").get("start") is not None and "context" not in _inside(values, "model"):
        raise ValueError(
            "pretrain.start needs model.context: the length of a row in tokens, at most what the model was trained "
            "with or, with model.rope_scaling, more"
        )
    return values


def _inside(values: Any, *keys: str) -> dict[str, Any]:
    """The mapping at a place of raw values, or an empty one where none stands there."""
    for key in keys:
        values = values.get(key) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else {}
