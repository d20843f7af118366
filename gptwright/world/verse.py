"""Poems and haiku about given words, and what is wrong with a poem that somebody wrote.

    print(poem(random.Random(1), "bread", "cheese"))
    poem_faults("Bread.\\nCheese.", "bread", "cheese") -> ["2 lines instead of 4", ...]

A right poem has four lines that rhyme abab or aabb; a right haiku has lines of 5, 7 and 5 syllables.
"""

from __future__ import annotations

import random
import re

from gptwright.errors import InputError
from gptwright.world.couplets import (
    DOUBLE_COUPLETS,
    HAIKU_FIVES,
    HAIKU_SEVENS,
    RHYMES,
    SINGLE_COUPLETS,
)
from gptwright.world.lexicon import SYLLABLES

POEM_LINES = 4
SHORTEST_LINE = 3
LONGEST_LINE = 10
"""Words in a line of a poem."""
HAIKU_PATTERN = (5, 7, 5)

_WORD = re.compile(r"[a-z']+")


def poem(rng: random.Random, first: str, second: str) -> str:
    """Four short lines in which both words occur."""
    one, other = rng.sample(SINGLE_COUPLETS, 2)
    while _share_rhyme(one[1], other[1]):
        other = rng.choice(SINGLE_COUPLETS)
    lines = [line.format(x=first) for line in one] + [line.format(x=second) for line in other]
    if rng.random() < 0.35:
        double = rng.choice(DOUBLE_COUPLETS)
        if not _share_rhyme(double[1], other[1]):
            lines[:2] = [line.format(x=first, y=second) for line in double]
    return "{},\n{}.\n{},\n{}.".format(*lines)


def haiku(rng: random.Random, word: str) -> str:
    """Three lines of 5, 7 and 5 syllables, one of them with the word."""
    count = SYLLABLES.get(word.lower(), 0)
    if count not in (1, 2):
        raise InputError(f"no haiku about {word!r}: choose a word for which SYLLABLES says 1 or 2")
    five, other_five = rng.sample(HAIKU_FIVES[0], 2)
    lines = [five, rng.choice(HAIKU_SEVENS[0]), other_five]
    at = rng.choices((0, 1, 2), (6, 3, 1))[0]
    lines[at] = rng.choice((HAIKU_SEVENS if at == 1 else HAIKU_FIVES)[count]).format(x=word)
    return f"{lines[0][0].upper()}{lines[0][1:]},\n{lines[1]},\n{lines[2]}."


def poem_faults(text: str, first: str, second: str) -> list[str]:
    """What is wrong with a poem about two words; nothing if it is right."""
    lines = _lines(text)
    faults = [f"the word {word!r} is missing" for word in (first, second) if not _contains(text, word)]
    if len(lines) != POEM_LINES:
        return [f"{len(lines)} lines instead of {POEM_LINES}", *faults]
    for i, line in enumerate(lines):
        length = len(_words(line))
        if not SHORTEST_LINE <= length <= LONGEST_LINE:
            faults.append(f"line {i + 1} has {length} words instead of {SHORTEST_LINE} to {LONGEST_LINE}")
    ends = [_last_word(line) for line in lines]
    paired = _rhyme(ends[0], ends[1]) and _rhyme(ends[2], ends[3])
    crossed = _rhyme(ends[0], ends[2]) and _rhyme(ends[1], ends[3])
    if not (paired or crossed):
        faults.append(f"the lines end in {', '.join(ends)}, which don't rhyme abab or aabb")
    return faults + _shared_faults(lines)


def haiku_faults(text: str, word: str) -> list[str]:
    """What is wrong with a haiku about a word; nothing if it is right."""
    lines = _lines(text)
    faults = [] if _contains(text, word) else [f"the word {word!r} is missing"]
    if len(lines) != len(HAIKU_PATTERN):
        return [f"{len(lines)} lines instead of {len(HAIKU_PATTERN)}", *faults]
    for i, (line, wanted) in enumerate(zip(lines, HAIKU_PATTERN, strict=True)):
        words = _words(line)
        unknown = [w for w in words if w not in SYLLABLES]
        count = sum(SYLLABLES.get(w, 0) for w in words)
        if unknown:
            faults.append(f"line {i + 1} has words that can't be counted: {', '.join(unknown)}")
        elif count != wanted:
            faults.append(f"line {i + 1} has {count} syllables instead of {wanted}")
    return faults + _shared_faults(lines)


def _shared_faults(lines: list[str]) -> list[str]:
    faults = []
    if len({" ".join(_words(line)) for line in lines}) < len(lines):
        faults.append("a line is repeated")
    if lines[-1][-1] not in ".!?":
        faults.append("the last line is unfinished")
    return faults


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines() if line.strip()]


def _words(line: str) -> list[str]:
    return _WORD.findall(line.lower())


def _last_word(line: str) -> str:
    words = _words(line)
    return words[-1] if words else ""


def _contains(text: str, word: str) -> bool:
    """The word itself or its plural in s."""
    return re.search(rf"\b{re.escape(word.lower())}s?\b", text.lower()) is not None


def _rhyme(one: str, other: str) -> bool:
    nothing: frozenset[int] = frozenset()
    return one != other and bool(RHYMES.get(one, nothing) & RHYMES.get(other, nothing))


def _share_rhyme(line: str, other: str) -> bool:
    """Two couplets on one sound would make the scheme unclear, or repeat a rhyme word."""
    one, two = _last_word(line), _last_word(other)
    return one == two or _rhyme(one, two)
