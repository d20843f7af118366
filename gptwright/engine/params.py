"""How one request is sampled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from gptwright.engine.constraint import Grammar

MOST_TOP_K = 2**31


@dataclass(frozen=True)
class SamplingParams:
    """Temperature 0 takes the likeliest token. Raises ValueError for impossible values.

    Logits are changed by penalties and biases, divided by the temperature, and what top-k, top-p and min-p leave is
    drawn from.
    """

    max_new_tokens: int = 80
    temperature: float = 1.0
    top_k: int = 0
    """Keep the k likeliest tokens; 0 keeps all."""
    top_p: float = 1.0
    """Keep the likeliest tokens that together reach this probability (Holtzman et al., arXiv:1904.09751)."""
    seed: int = 0
    min_p: float = 0.0
    """Keep tokens at least this share as likely as the likeliest (Nguyen et al., arXiv:2407.01082)."""
    repetition_penalty: float = 1.0
    """Logits of tokens in prompt and answer are divided by it, negative ones multiplied."""
    presence_penalty: float = 0.0
    """Subtracted once from the logit of each token that the answer has."""
    frequency_penalty: float = 0.0
    """Subtracted for each time that the answer has the token."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    """Added to the logits of these tokens."""
    stop: tuple[str, ...] = ()
    """Strings that end the answer; they are not part of its text."""
    top_logprobs: int = 0
    """How many of the likeliest tokens are told with each token."""
    grammar: Grammar | None = None
    """What the answer must be; it ends where nothing may follow."""

    def __post_init__(self) -> None:
        limits = (
            ("max_new_tokens", self.max_new_tokens >= 1, "at least 1"),
            ("temperature", 0 <= self.temperature < math.inf, "0 or more"),
            ("top_k", 0 <= self.top_k <= MOST_TOP_K, f"0 (off) or more, at most {MOST_TOP_K}"),
            ("seed", -(2**63) <= self.seed < 2**63, "a number of 64 bits"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("min_p", 0 <= self.min_p <= 1, "from 0 to 1"),
            ("repetition_penalty", 0 < self.repetition_penalty < math.inf, "above 0"),
            ("presence_penalty", math.isfinite(self.presence_penalty), "a finite number"),
            ("frequency_penalty", math.isfinite(self.frequency_penalty), "a finite number"),
            ("top_logprobs", self.top_logprobs >= 0, "0 (off) or more"),
            ("stop", all(self.stop), "strings that are not empty"),
        )
        for name, possible, wanted in limits:
            if not possible:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be {wanted}")

    @property
    def changes_logits(self) -> bool:
        """Whether logits depend on what was said, or on a bias."""
        penalties = self.presence_penalty or self.frequency_penalty or self.logit_bias
        return bool(penalties) or self.repetition_penalty != 1

    @property
    def truncates(self) -> bool:
        """Whether some tokens are never drawn."""
        return bool(self.top_k or self.min_p) or self.top_p < 1
