"""One judged answer: what every task's scoring gives and every figure is made from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scored:
    """One answer as the task judged it; `correct` is None where there is no right or wrong, as for a story."""

    prompt_id: str
    use_case: str
    kind: str
    correct: bool | None
    score: float
    fact: bool = False
    """Whether the prompt asked for a fact of the task's world."""
    new_phrasing: bool = False
    """Whether nothing that is trained on is worded like the prompt."""
