"""Poems about two words and haiku about one."""

from __future__ import annotations

import random

from gptwright.world import verse
from gptwright.world.lexicon import HAIKU_TOPICS, NAMES, NOUNS
from gptwright.world.manner import CLOSINGS, Manner, framed, unframe
from gptwright.world.splits import Side, topics
from gptwright.world.usecases.kind import Details, Kind, Task, Verdict, graded, worded

_POEM_WORDS = tuple(NOUNS)

_POEM_PHRASINGS = (
    "Write a poem about {first} and {second}.",
    "Write a short poem about {first} and {second}.",
    "Please write a poem about {first} and {second}.",
    "I would like a poem about {first} and {second}.",
    "Can you write a poem about {first} and {second}?",
    "Make a poem with {first} and {second} in it.",
)
_HAIKU_PHRASINGS = (
    "Write a haiku about the {word}.",
    "Please write a haiku about the {word}.",
    "I would like a haiku about the {word}.",
    "Can you write a haiku about the {word}?",
    "Write a haiku with the word {word}.",
    "Write a haiku about the {word} for {name}.",
    "{name} would like a haiku about the {word}.",
    "I want to give {name} a haiku about the {word}.",
    "Make a haiku about the {word}.",
    "Make a haiku about the {word} for {name}.",
)
_POEM_LEAD = "Here is a poem about {first} and {second}:"
_HAIKU_LEAD = "Here is a haiku about the {word}:"

NUM_POEM_CHECKS = 5
NUM_HAIKU_CHECKS = 4


def _draw_poem(side: Side, rng: random.Random) -> Task:
    first, second = rng.sample(topics(_POEM_WORDS, side), 2)
    return worded(_POEM_PHRASINGS, side, rng, keys=[first, second], first=first, second=second)


def _answer_poem(details: Details, manner: Manner, rng: random.Random) -> str:
    core = verse.poem(rng, details["first"], details["second"])
    return framed(core, manner, lead=_POEM_LEAD.format(**details), closing=CLOSINGS[1], break_line=True)


def _check_poem(details: Details, answer: str) -> Verdict:
    frame = unframe(answer, [_POEM_LEAD.format(**details)])
    faults = verse.poem_faults(frame.core, details["first"], details["second"])
    return graded(frame, faults, NUM_POEM_CHECKS)


def _draw_haiku(side: Side, rng: random.Random) -> Task:
    word = rng.choice(topics(HAIKU_TOPICS, side))
    return worded(_HAIKU_PHRASINGS, side, rng, keys=[word], word=word, name=rng.choice(NAMES))


def _answer_haiku(details: Details, manner: Manner, rng: random.Random) -> str:
    core = verse.haiku(rng, details["word"])
    return framed(core, manner, lead=_HAIKU_LEAD.format(**details), closing=CLOSINGS[1], break_line=True)


def _check_haiku(details: Details, answer: str) -> Verdict:
    frame = unframe(answer, [_HAIKU_LEAD.format(**details)])
    return graded(frame, verse.haiku_faults(frame.core, details["word"]), NUM_HAIKU_CHECKS)


VERSES = (
    Kind("poem", "generation", 0.28, _draw_poem, _answer_poem, _check_poem, longest=60),
    Kind("haiku", "generation", 0.17, _draw_haiku, _answer_haiku, _check_haiku, longest=40),
)
