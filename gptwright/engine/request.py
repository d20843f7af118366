"""What is asked of a model, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gptwright.engine.params import SamplingParams
from gptwright.records import FinishReason


@dataclass(frozen=True)
class Request:
    """A prompt as ids and how to continue it."""

    prompt_ids: Sequence[int]
    params: SamplingParams = field(default_factory=SamplingParams)


@dataclass
class Completion:
    """What was generated; with finish_reason 'stop' the last id is the stop token, or the one that made a stop string
    whole. Log-probabilities are those of the distribution that was drawn from, of greedy requests at temperature 1.
    """

    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish_reason: FinishReason = "length"
    top_logprobs: list[dict[int, float]] = field(default_factory=list)
    """For each id the likeliest ones, the likeliest first, where the request asked for them."""
    forced: list[bool] = field(default_factory=list)
    """Of a constrained request, whether each id was the only one allowed: nothing that a model could learn from."""
    blanks: dict[str, str] = field(default_factory=dict)
    """What the blanks of a template were filled with."""
