"""Answers as an assistant might give them: most right, in any manner, and some spoiled in one of four ways.

They are the reference distribution on which labellers' noise is set, and stand in for a model where none is at hand.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Iterable
from functools import cache

from gptwright.records import Prompt
from gptwright.world.claims import sentences
from gptwright.world.demonstrations import demonstrate
from gptwright.world.facts import RELATIONS, values_of
from gptwright.world.lexicon import ADJECTIVES, CATEGORIES, NAME_STYLES, NAMES, NOUNS, PLACES
from gptwright.world.manner import choose_manner
from gptwright.world.passages import FEELINGS, ITEMS
from gptwright.world.pools import details_of
from gptwright.world.usecases import KINDS

RIGHT_SHARE = 0.9

_WORD = re.compile(r"[A-Za-z]+|\d+")


@cache
def _company() -> dict[str, tuple[str, ...]]:
    """For each word with others like it, those others: a wrong value is drawn from them."""
    company: dict[str, tuple[str, ...]] = {}
    groups: Iterable[tuple[str, ...]] = itertools.chain(
        (tuple(NOUNS), ADJECTIVES, FEELINGS, ITEMS, PLACES, NAMES, ("positive", "negative"), ("is_text", "see_word")),
        CATEGORIES.values(),
        NAME_STYLES.values(),
        (values_of(name) for name in RELATIONS),
    )
    for group in groups:
        company.update(dict.fromkeys(group, group))
    return company


def _wrong_value(prompt: Prompt, answer: str, rng: random.Random) -> str:
    """One word or number changed for another of its class."""
    company = _company()
    places = [
        match
        for match in _WORD.finditer(answer)
        if match[0].isdigit() or match[0].lower() in company or match[0] in company
    ]
    if not places:
        return _truncated(prompt, answer, rng)
    place = rng.choice(places)
    word = place[0]
    if word.isdigit():
        other = str(int(word) + rng.choice((1, 2, 3, 10)))
    else:
        group = company[word] if word in company else company[word.lower()]
        other = rng.choice([member for member in group if member.lower() != word.lower()])
        other = other[0].upper() + other[1:] if word[0].isupper() else other
    return answer[: place.start()] + other + answer[place.end() :]


def _truncated(prompt: Prompt, answer: str, rng: random.Random) -> str:
    """The answer without its end."""
    words = answer.split(" ")
    return " ".join(words[: rng.randint(1, max(1, len(words) - 1))]).rstrip(".!?") or answer[:1]


def _misplaced(prompt: Prompt, answer: str, rng: random.Random) -> str:
    """A good answer to another prompt, half the time one of the same kind."""
    kind = KINDS[prompt.details["kind"]] if rng.random() < 0.5 else rng.choice(list(KINDS.values()))
    task = kind.draw("train", rng)
    return kind.demonstrate(details_of(kind, task), choose_manner(rng), rng)


def _repeated(prompt: Prompt, answer: str, rng: random.Random) -> str:
    """The answer with one sentence said again."""
    return f"{answer} {rng.choice(sentences(answer))}"


_SPOILERS: tuple[Callable[[Prompt, str, random.Random], str], ...] = (_wrong_value, _truncated, _misplaced, _repeated)
_SPOILER_WEIGHTS = (0.4, 0.2, 0.2, 0.2)


def plausible_answers(prompt: Prompt, count: int, seed: int) -> tuple[str, ...]:
    """`count` answers, each a demonstration in a manner drawn by chance, one in ten spoiled in one way."""
    rng = random.Random(f"plausible/{prompt.id}/{seed}")
    answers = []
    for _ in range(count):
        answer = demonstrate(prompt, rng.getrandbits(32))
        if rng.random() >= RIGHT_SHARE:
            spoil = rng.choices(_SPOILERS, _SPOILER_WEIGHTS)[0]
            answer = spoil(prompt, answer, rng)
        answers.append(answer)
    return tuple(answers)
