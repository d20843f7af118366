"""Accuracy and gold score of sampled answers, per use case and over all.

In go scored answers; who sampled and who scored them is the caller's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gptwright.errors import InputError
from gptwright.evaluate.intervals import Figure, mean, proportion
from gptwright.tasks.scored import Scored

ALL = "all"
"""The key of the figure over every use case."""


@dataclass(frozen=True)
class UseCaseFigures:
    """`accuracy` has only use cases with a right and a wrong; `gold` has all."""

    accuracy: dict[str, Figure]
    gold: dict[str, Figure]


def by_use_case(rows: Sequence[Scored], *, seed: int = 0) -> UseCaseFigures:
    """Figures under each use case's name, in alphabetical order, after the one named "all"."""
    if not rows:
        raise InputError("no scored answers to take figures from: give at least one row")
    groups: dict[str, list[Scored]] = {}
    for row in sorted(rows, key=lambda row: row.use_case):
        groups.setdefault(row.use_case, []).append(row)
    if ALL in groups:
        raise InputError(f"a use case must not be named {ALL!r}, that is the figure over all of them: rename it")
    groups = {ALL: list(rows), **groups}
    accuracies = {name: accuracy(group) for name, group in groups.items()}
    return UseCaseFigures(
        accuracy={name: figure for name, figure in accuracies.items() if figure is not None},
        gold={name: mean([row.score for row in group], seed=seed) for name, group in groups.items()},
    )


def accuracy(rows: Sequence[Scored]) -> Figure | None:
    """Of the answers that can be right or wrong; None where there are none."""
    verdicts = [row.correct for row in rows if row.correct is not None]
    return proportion(sum(verdicts), len(verdicts)) if verdicts else None
