"""Sums of small numbers, their statements and questions: "3 plus 4 is 7."

Sum(3, "plus", 4).value -> 7;   .key -> "plus/3/4"
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

Operator = Literal["plus", "minus", "times"]

SIGNS: dict[Operator, str] = {"plus": "+", "minus": "-", "times": "*"}

SUM_QUESTIONS: tuple[str, ...] = (
    "What is {left} {operator} {right}?",
    "How much is {left} {operator} {right}?",
    "What is {left} {sign} {right}?",
    "Tell me {left} {operator} {right}.",
    "Can you work out {left} {operator} {right}?",
)
"""Templates for `Sum.ask`; the last is kept out of the documents, for evaluation."""

STATEMENTS: tuple[str, ...] = (
    "{left} {operator} {right} is {value}.",
    "{left} {operator} {right} is {value}.",
    "{left} {sign} {right} = {value}",
    "{left} {operator} {right} equals {value}.",
    "The answer to {left} {operator} {right} is {value}.",
    "{value} is {left} {operator} {right}.",
)
STORIES: dict[Operator, str] = {
    "plus": "If you have {left} {things} and get {right} more, you have {value} {things}.",
    "minus": "If you have {left} {things} and give {right} away, you have {value} left.",
    "times": "In {left} boxes of {right} {things} there are {value} {things}.",
}
_THINGS: tuple[str, ...] = ("apples", "books", "eggs", "pens", "cups", "balls")
_STORY_SHARE = 0.15


@dataclass(frozen=True)
class Sum:
    """One sum; `value` is its result."""

    left: int
    operator: Operator
    right: int

    @property
    def value(self) -> int:
        if self.operator == "plus":
            return self.left + self.right
        return self.left - self.right if self.operator == "minus" else self.left * self.right

    @property
    def key(self) -> str:
        return f"{self.operator}/{self.left}/{self.right}"

    @property
    def answer(self) -> str:
        """The one full-sentence answer."""
        return f"{self.left} {self.operator} {self.right} is {self.value}."

    def ask(self, template: str) -> str:
        """One of `SUM_QUESTIONS`, filled in."""
        return template.format(left=self.left, operator=self.operator, right=self.right, sign=SIGNS[self.operator])

    def statement(self, rng: random.Random) -> str:
        """One of several wordings, all true."""
        plural = min(self.left, self.right, self.value) > 1
        as_story = plural and rng.random() < _STORY_SHARE
        template = STORIES[self.operator] if as_story else rng.choice(STATEMENTS)
        return template.format(
            left=self.left,
            operator=self.operator,
            right=self.right,
            value=self.value,
            sign=SIGNS[self.operator],
            things=rng.choice(_THINGS),
        )


ALL_SUMS: tuple[Sum, ...] = (
    *(Sum(left, "plus", right) for left in range(11) for right in range(11)),
    *(Sum(left, "minus", right) for left in range(1, 19) for right in range(10) if 0 <= left - right <= 10),
    *(Sum(left, "times", right) for left in range(1, 10) for right in range(1, 10)),
)
