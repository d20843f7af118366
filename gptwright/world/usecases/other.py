"""What fits nowhere else: opposites, the calendar, plurals, mixed paints, and saying a word several times."""

from __future__ import annotations

import random

from gptwright.world.lexicon import NOUNS, NUMBER_WORDS
from gptwright.world.manner import CLOSINGS, Manner, framed, unframe
from gptwright.world.splits import Side, topics
from gptwright.world.usecases.fact_answers import answer_fact, ask_fact, check_fact, facts_on
from gptwright.world.usecases.kind import Details, Kind, Task, Verdict, graded, worded

_WORD_RELATIONS = ("opposite", "next_month", "next_day", "plural", "past", "mixture")

_TIMES = {count: NUMBER_WORDS[count] for count in (2, 3, 4)}
_REPEAT_PHRASINGS = (
    "Say the word {word} {number} times.",
    "Write the word {word} {number} times.",
    "Repeat {word} {number} times.",
    "Please say {word} {number} times.",
    "I want to hear {word} {number} times.",
)
_LEAD = "Here it is:"
NUM_CHECKS = 2


def _draw_word(side: Side, rng: random.Random) -> Task:
    return ask_fact(rng.choice(facts_on(_WORD_RELATIONS, side)), side, rng)


def _draw_repeat(side: Side, rng: random.Random) -> Task:
    word, count = rng.choice(topics(tuple(NOUNS), side)), rng.choice(sorted(_TIMES))
    return worded(_REPEAT_PHRASINGS, side, rng, keys=[word], more={"count": count}, word=word, number=_TIMES[count])


def _answer_repeat(details: Details, manner: Manner, rng: random.Random) -> str:
    core = " ".join([details["word"]] * details["count"])
    return framed(f"{core.capitalize()}.", manner, lead=_LEAD, closing=CLOSINGS[0])


def _check_repeat(details: Details, answer: str) -> Verdict:
    frame = unframe(answer, [_LEAD])
    words = frame.core.lower().replace(",", " ").rstrip(".").split()
    faults = [] if set(words) == {details["word"]} else ["another word is said"]
    if len(words) != details["count"]:
        faults.append(f"{len(words)} words instead of {details['count']}")
    return graded(frame, faults, NUM_CHECKS)


OTHER = (
    Kind("words", "other", 0.7, _draw_word, answer_fact, check_fact, longest=35),
    Kind("repeat", "other", 0.3, _draw_repeat, _answer_repeat, _check_repeat, longest=20),
)
