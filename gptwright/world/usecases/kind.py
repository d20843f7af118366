"""What a kind of prompt is: how one is drawn, how a person answers it, and how an answer is checked.

A kind is data with three functions. `draw` makes a task whose topics lie on one side of the splits. `demonstrate` writes a
right answer in one of the three manners. `check` says what an answer did right and wrong; the judge adds what holds for
every kind (finished sentences, no repeats, known words, no false statements).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gptwright.world.manner import Manner
from gptwright.world.splits import Side

Details = dict[str, Any]


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
    """`weight` is the kind's share of its use case."""

    name: str
    use_case: str
    weight: float
    draw: Callable[[Side, random.Random], Task]
    demonstrate: Callable[[Details, Manner, random.Random], str]
    check: Callable[[Details, str], Verdict]
