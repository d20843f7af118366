"""Prompts of one pool, in the proportions in which InstructGPT's users asked (Ouyang et al. 2022, table 1)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from gptwright.errors import InputError
from gptwright.records import Message, Prompt, Role
from gptwright.world.splits import Pool, fraction, pool_of, side_of
from gptwright.world.usecases import KINDS
from gptwright.world.usecases.kind import Kind, Task

USE_CASE_PERCENT: dict[str, float] = {
    "generation": 45.6,
    "open_qa": 12.4,
    "brainstorming": 11.2,
    "chat": 8.4,
    "rewriting": 6.6,
    "summarization": 4.2,
    "classification": 3.5,
    "other": 3.5,
    "closed_qa": 2.6,
    "extraction": 1.9,
}
"""As published; they sum to 99.9, so shares are taken of their sum."""

PATIENCE = 500
"""A kind counts as used up when this many draws in a row brought no new prompt of the pool."""


def apportion(count: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Whole shares by largest remainder. apportion(10, {"a": 2, "b": 1}) -> {"a": 7, "b": 3}."""
    total = sum(weights.values())
    exact = {name: count * weight / total for name, weight in weights.items()}
    shares = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: shares[name] - exact[name])
    for name in by_remainder[: count - sum(shares.values())]:
        shares[name] += 1
    return shares


def prompts(pool: Pool, count: int, seed: int) -> list[Prompt]:
    """`count` distinct prompts of a pool in random order, the use cases in their published proportions. Raises
    InputError where it has fewer.
    """
    return list(_drawn(pool, count, seed))


@lru_cache(8)  # before a run it is seen whether there are enough, and its stages draw the same ones
def _drawn(pool: Pool, count: int, seed: int) -> tuple[Prompt, ...]:
    if count < 0:
        raise InputError(f"cannot draw {count} prompts from pool {pool!r}: ask for 0 or more")
    side_of(pool)
    rng = random.Random(f"prompts/{pool}/{seed}")
    drawn: list[Prompt] = []
    short: list[tuple[int, str]] = []  # (how many of all there could be, what is lacking)
    for use_case, share in apportion(count, USE_CASE_PERCENT).items():
        kinds = [kind for kind in KINDS.values() if kind.use_case == use_case]
        found = _draw_use_case(kinds, pool, share, rng)
        if len(found) < share:
            lacking = f"only about {len(found)} distinct {use_case} prompts and {count} prompts need {share}"
            short.append((count * len(found) // share, lacking))
        drawn += found
    if short:
        most, lacking = min(short)
        raise InputError(f"pool {pool!r} has {lacking}: ask for at most {most}")
    rng.shuffle(drawn)
    return tuple(drawn)


def _draw_use_case(kinds: Sequence[Kind], pool: Pool, share: int, rng: random.Random) -> list[Prompt]:
    """Kinds by weight; what a used-up kind still owes is drawn from those that have more."""
    found: dict[str, Prompt] = {}
    fresh = {kind.name: kind for kind in kinds}
    while len(found) < share and fresh:
        owed = apportion(share - len(found), {name: kind.weight for name, kind in fresh.items()})
        for name, quota in owed.items():
            for _ in range(quota):
                prompt = _draw_new(fresh[name], pool, found, rng)
                if prompt is None:
                    del fresh[name]
                    break
                found[prompt.id] = prompt
    return list(found.values())


def _draw_new(kind: Kind, pool: Pool, found: Mapping[str, Prompt], rng: random.Random) -> Prompt | None:
    side = side_of(pool)
    for _ in range(PATIENCE):
        task = kind.draw(side, rng)
        if pool_of(side, text_of(task.turns)) == pool:
            prompt = make_prompt(kind, task)
            if prompt.id not in found:
                return prompt
    return None


def text_of(turns: Sequence[str]) -> str:
    return "\n".join(turns)


def details_of(kind: Kind, task: Task) -> dict[str, Any]:
    """What judging and demonstrating a task take, as JSON values."""
    return {
        "kind": kind.name,
        "fact": task.fact,
        "keys": list(task.keys),
        "phrasing": task.phrasing,
        "held_out": task.held_out,
        **task.details,
    }


def make_prompt(kind: Kind, task: Task) -> Prompt:
    """The record of a task; its id is a hash of its turns, so equal prompts have equal ids."""
    roles: tuple[Role, Role] = ("user", "assistant")
    messages = tuple(Message(roles[index % 2], turn) for index, turn in enumerate(task.turns))
    number = int(fraction(f"id/{text_of(task.turns)}") * 16**12)
    return Prompt(f"{kind.name}-{number:012x}", messages, kind.use_case, details_of(kind, task))
