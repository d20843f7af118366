"""Settings of mid-training: a longer context for a model that is trained already, and another mixture at the end."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gptwright.settings import Positive, Section

SourceName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


class RopeScalingSettings(Section):
    """How positions are stretched over a longer context (docs/pretraining.md says which to take)."""

    kind: Literal["linear", "ntk", "yarn", "llama3"]
    factor: Annotated[float, Field(ge=1)] | None = None
    """By how much; null is model.context / the context that the model was trained with."""


class FinishSource(Section):
    """One source of the finishing mixture; without files and builtin it is the one of that name that is read anyway."""

    files: str | None = None
    """As in data.sources."""
    builtin: Literal["python"] | None = None
    """As in data.sources."""
    share: Positive
    """Its part of the finishing phase's tokens."""

    @property
    def is_new(self) -> bool:
        """Whether it brings text of its own."""
        return self.files is not None or self.builtin is not None

    @model_validator(mode="after")
    def _one_origin(self) -> FinishSource:
        if self.files is not None and self.builtin is not None:
            raise ValueError("give either files or builtin, or neither for a source that is read anyway")
        return self


class FinishSettings(Section):
    """A mixture of higher quality at the end of pretraining, while the rate falls (MiniCPM, arXiv:2404.06395; OLMo 2,
    arXiv:2501.00656, section 4).
    """

    share_of_tokens: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Its part of pretrain.tokens; with schedule: stable_decay the rate falls over just this part."""
    sources: Annotated[dict[SourceName, FinishSource], Field(min_length=1)]
    """By name, each with its share: {books: {share: 0.5}, textbooks: {files: textbooks/*.txt, share: 0.5}}."""


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
