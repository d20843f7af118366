"""Which facts, topics and phrasings are trained on and which are kept for measuring.

Everything that a prompt can ask about has a key ("capital/France", "bread", the text of a passage). The key's SHA-256
decides its side: train, validation or test. The "sft", "reward" and "rl" pools share the train side and are told apart
by the hash of the prompt's own text, so no prompt is in two pools. The last fifth of each question's phrasings is held
out: only test prompts use it (the documents leave out the last phrasing too). Nothing here is random, so every process
agrees.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from functools import cache
from typing import Literal

from gptwright.errors import InputError

Side = Literal["train", "validation", "test"]
Pool = Literal["sft", "reward", "rl", "validation", "test"]
POOLS: tuple[Pool, ...] = ("sft", "reward", "rl", "validation", "test")

# The report's fixed prompts ask about these, so they must never be trained on.
PANEL_WORDS = frozenset({"bread", "cheese"})

TRAIN_PHRASING_SHARE = 0.5
"""How often a test prompt is worded as in training; the others are in held-out phrasings."""


def fraction(key: str) -> float:
    """A number in [0, 1) that depends on nothing but the key."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def _side(key: str, train: float, validation: float) -> Side:
    place = fraction(key)
    if place < train:
        return "train"
    return "validation" if place < train + validation else "test"


def fact_side(key: str) -> Side:
    """The side of a fact or a sum: 70 % train, 10 % validation, 20 % test."""
    return _side(f"fact/{key}", 0.70, 0.10)


@cache
def topic_side(word: str) -> Side:
    """The side of a word that prompts are written about: 75 % train, 10 % validation, 15 % test."""
    if word in PANEL_WORDS:
        return "test"
    return _side(f"topic/{word}", 0.75, 0.10)


def text_side(text: str) -> Side:
    """The side of a text that was drawn at random, such as a passage or a review."""
    return _side(f"text/{text}", 0.75, 0.10)


@cache
def topics(words: Sequence[str], side: Side) -> tuple[str, ...]:
    """The words that lie on one side, in their own order."""
    return tuple(word for word in words if topic_side(word) == side)


def side_of(pool: Pool) -> Side:
    if pool not in POOLS:
        raise InputError(f"unknown prompt pool {pool!r}: use one of {', '.join(POOLS)}")
    return pool if pool in ("validation", "test") else "train"


def pool_of(side: Side, prompt_text: str) -> Pool:
    """The one pool that may hold a prompt: a quarter of the train side each for sft and reward, half for rl."""
    if side != "train":
        return side
    place = fraction(f"prompt/{prompt_text}")
    if place < 0.25:
        return "sft"
    return "reward" if place < 0.5 else "rl"


def split_phrasings(phrasings: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """The trained phrasings and the held-out ones: the last fifth, rounded up."""
    trained = len(phrasings) - -(-len(phrasings) // 5)
    assert trained > 0, "a question needs two phrasings or more, since one is held out"
    return phrasings[:trained], phrasings[trained:]


def choose_phrasing(phrasings: Sequence[str], side: Side, rng: random.Random) -> tuple[str, bool]:
    """A phrasing that the side may use, and whether it is a held-out one."""
    trained, held_out = split_phrasings(phrasings)
    if side == "test" and rng.random() >= TRAIN_PHRASING_SHARE:
        return rng.choice(held_out), True
    return rng.choice(trained), False
