"""Threads: somebody asks for something and somebody else gives it, as people do on the web's boards.

They are why a base model can do more than recite: to predict the reply it must look back at what was asked for. Every
kind of wish occurs, about every topic, in the plain or terse manner of strangers and never in a held-out phrasing.
Names stand before the lines, so a bare wish still begins a list of tasks, not a conversation.
"""

from __future__ import annotations

import random
from functools import cache

from gptwright.world.lexicon import NAMES
from gptwright.world.manner import Manner
from gptwright.world.splits import Side
from gptwright.world.usecases import KINDS
from gptwright.world.usecases.kind import Kind, Task

SIDES: tuple[Side, ...] = ("train", "validation", "test")
_SIDE_SHARES = (0.72, 0.10, 0.18)
_MANNERS: tuple[Manner, ...] = ("plain", "terse")
_MANNER_SHARES = (0.8, 0.2)
USE_CASE_DRAWS: dict[str, float] = {
    "generation": 30,
    "open_qa": 10,
    "brainstorming": 12,
    "chat": 10,
    "rewriting": 9,
    "summarization": 7,
    "classification": 4,
    "other": 6,
    "closed_qa": 6,
    "extraction": 6,
}
"""How often each use case is wished for: rare ones more than people rank them, since they too must be learned."""


@cache
def _kinds() -> tuple[tuple[Kind, ...], tuple[float, ...]]:
    kinds = tuple(KINDS.values())
    totals = {case: sum(kind.weight for kind in kinds if kind.use_case == case) for case in USE_CASE_DRAWS}
    return kinds, tuple(USE_CASE_DRAWS[kind.use_case] * kind.weight / totals[kind.use_case] for kind in kinds)


def thread(rng: random.Random) -> str:
    """One wish and its reply."""
    kinds, weights = _kinds()
    kind = rng.choices(kinds, weights)[0]
    task = _in_trained_phrasing(kind, rng)
    manner = rng.choices(_MANNERS, _MANNER_SHARES)[0]
    one, other = rng.sample(NAMES, 2)
    details = {**task.details, "fact": task.fact}
    lines = [*task.turns, kind.demonstrate(details, manner, rng)]
    return "\n".join(f"{other if i % 2 else one}: {line}" for i, line in enumerate(lines))


def _in_trained_phrasing(kind: Kind, rng: random.Random) -> Task:
    side = rng.choices(SIDES, _SIDE_SHARES)[0]
    while True:
        task = kind.draw(side, rng)
        if not task.held_out:
            return task


def threads_page(rng: random.Random) -> str:
    """One or two threads of a board."""
    return "\n\n".join(thread(rng) for _ in range(rng.randint(1, 2)))
