"""The three manners in which people answer, and the frame that most answers stand in.

    terse      "7."                                  the bare answer
    plain      "The opposite of hot is cold."        a lead-in or a whole sentence
    excellent  the same and something more           a fitting true addition, or a kind closing sentence

A frame is what stands around the core of an answer: a lead before it, a closing sentence after it. They are few, so
that a small model can learn them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Manner = Literal["terse", "plain", "excellent"]
MANNERS: tuple[Manner, ...] = ("terse", "plain", "excellent")
MANNER_SHARES = (0.25, 0.45, 0.30)

CLOSINGS = ("I hope this helps.", "I hope you like it.")
HELPFUL_OF = {"terse": 1 / 3, "plain": 2 / 3, "excellent": 1.0}
"""The judge's helpfulness of a right answer in each manner."""


def choose_manner(rng: random.Random) -> Manner:
    return rng.choices(MANNERS, MANNER_SHARES)[0]


def framed(core: str, manner: Manner, *, lead: str, closing: str, break_line: bool = False) -> str:
    """The core as it is, after its lead, or with lead and closing sentence."""
    if manner == "terse":
        return core
    gap = "\n" if break_line else " "
    answer = f"{lead}{gap}{core}"
    return f"{answer}{gap}{closing}" if manner == "excellent" else answer


@dataclass(frozen=True, slots=True)
class Frame:
    """An answer taken apart: its core, whether a fitting lead came before and a closing sentence after."""

    core: str
    led: bool
    closed: bool

    @property
    def manner(self) -> Manner:
        """A closing sentence without a lead adds nothing that a lead alone would not."""
        return MANNERS[self.led + self.closed]


def unframe(answer: str, leads: Sequence[str]) -> Frame:
    """Take one lead and one closing sentence off; whatever else stands around the core stays in it."""
    core = answer.strip()
    closing = next((closing for closing in CLOSINGS if core.endswith(closing)), None)
    if closing:
        core = core.removesuffix(closing).rstrip()
    lead = next((lead for lead in leads if core.startswith(lead)), None)
    if lead:
        core = core.removeprefix(lead).lstrip()
    return Frame(core, lead is not None, closing is not None)
