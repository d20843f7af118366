"""What a kind of prompt is: how one is drawn, how a person answers it, and how an answer is checked.

A kind is data with three functions. `draw` makes a task whose topics lie on one side of the splits. `demonstrate`
writes a right answer in one of the three manners. `check` says what an answer did right and wrong; the judge adds what
holds for every kind (finished sentences, no repeats, known words, no false statements).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gptwright.world.manner import HELPFUL_OF, Frame, Manner
from gptwright.world.splits import Side, choose_phrasing

Details = dict[str, Any]

PARTLY = 0.25
"""The most helpfulness that a wrong answer can have: that of one with almost nothing wrong."""


@dataclass(frozen=True, slots=True)
class Task:
    """One drawn prompt: its turns (user first and last), what it asks about, and what judging it takes.

    `keys` are the facts and topics that must stay on this task's side; `fact` is the one fact asked for, if any.
    """

    turns: tuple[str, ...]
    phrasing: str
    held_out: bool = False
    fact: str | None = None
    keys: tuple[str, ...] = ()
    details: Details = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a kind's check found, each from 0 to 1; `correct` is None where no program can tell.

    `form` is 1 when nothing stands in the answer that does not belong there.
    """

    correct: bool | None
    helpful: float
    truthful: float = 1.0
    harmless: float = 1.0
    form: float = 1.0
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """`weight` is the kind's share of its use case; `prose` says that right answers are finished sentences.

    An answer of more than `longest` words is too long. `checkable` is false where no program can tell right from wrong.
    """

    name: str
    use_case: str
    weight: float
    draw: Callable[[Side, random.Random], Task]
    demonstrate: Callable[[Details, Manner, random.Random], str]
    check: Callable[[Details, str], Verdict]
    prose: bool = True
    longest: int = 45
    checkable: bool = True


def worded(
    phrasings: Sequence[str],
    side: Side,
    rng: random.Random,
    *,
    keys: Sequence[str] = (),
    fact: str | None = None,
    earlier: Sequence[str] = (),
    more: Details | None = None,
    **slots: str | int,
) -> Task:
    """A task in one of its phrasings; `slots` fill the phrasing and are kept for the judge, as is `more`."""
    phrasing, held_out = choose_phrasing(phrasings, side, rng)
    return Task(
        turns=(*earlier, phrasing.format(**slots)),
        phrasing=phrasing,
        held_out=held_out,
        fact=fact,
        keys=(fact, *keys) if fact else tuple(keys),
        details={**slots, **(more or {})},
    )


def faulty(faults: Sequence[str], num_checks: int, *, checkable: bool = True) -> Verdict:
    """An answer that failed some of its checks is far less helpful than a right one."""
    share = max(0.0, 1 - len(faults) / num_checks)
    return Verdict(False if checkable else None, PARTLY * share, truthful=0.0, why=tuple(faults))


def graded(frame: Frame, faults: Sequence[str], num_checks: int, *, checkable: bool = True) -> Verdict:
    """A framed answer whose core has no fault is as helpful as its manner."""
    if faults:
        return faulty(faults, num_checks, checkable=checkable)
    return Verdict(True if checkable else None, HELPFUL_OF[frame.manner])
