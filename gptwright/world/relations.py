"""What a relation is: how one kind of fact is said and asked.

The wordings themselves are in `relations_earth` and `relations_life`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """One kind of fact; templates use {subject} and {value}.

    `kind` says what its subjects are ("country"). In `reverse` statements the value leads. `answer` is the one full
    answer to each of `questions`, whose last is kept out of the documents, for evaluation.
    """

    name: str
    kind: str
    statements: tuple[str, ...]
    reverse: tuple[str, ...]
    questions: tuple[str, ...]
    answer: str
