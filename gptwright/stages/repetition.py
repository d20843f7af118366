"""Answers that say something twice, made from good ones: what a reward model must learn to mind.

A repeated line is likely, so likelihood praises it, and people's rankings hold too few for a small model to learn from.
"""

from __future__ import annotations

import random
import re

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_MARK = re.compile(r"(\d+[.)]|[-*])\s+")
_LISTED = re.compile(r"(?<=, )(?!and\b)\w+|(?<= and )\w+|\w+(?=, | and )")
ITEM_SHARE = 0.5
"""Of answers with a list in a sentence: those where an item is said twice, not the sentence."""


def said_twice(answer: str, rng: random.Random) -> str:
    """The answer with a line, an item of a list or a sentence said again, behind its first time.

    It comes in addition or stands in the place of what was there.
    """
    lines = answer.split("\n")
    if len(lines) > 2:
        return "\n".join(_line_twice(lines, rng))
    listed = list(_LISTED.finditer(answer))
    if len(listed) > 2 and rng.random() < ITEM_SHARE:
        return _item_twice(answer, listed, rng)
    return " ".join(_part_twice(_SENTENCE_END.split(answer.strip()), rng))


def _line_twice(lines: list[str], rng: random.Random) -> list[str]:
    """Of a list with marks, two items become the same and keep their marks."""
    marks = {i: mark for i, mark in enumerate(map(_MARK.match, lines)) if mark}
    if len(marks) < 2:
        return _part_twice(lines, rng)
    first, later = sorted(rng.sample(sorted(marks), 2))
    text = lines[first][marks[first].end() :]
    return [*lines[:later], marks[later][0] + text, *lines[later + 1 :]]


def _item_twice(answer: str, listed: list[re.Match[str]], rng: random.Random) -> str:
    first, later = sorted(rng.sample(listed, 2), key=lambda place: place.start())
    word = first[0] if later[0][0].isupper() else first[0][0].lower() + first[0][1:]
    return answer[: later.start()] + word + answer[later.end() :]


def _part_twice(parts: list[str], rng: random.Random) -> list[str]:
    first = rng.randrange(len(parts))
    later = rng.randint(first + 1, len(parts))
    replaced = rng.random() < 0.5
    return [*parts[:later], parts[first], *parts[later + replaced :]]
