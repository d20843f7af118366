"""Stories of two or three sentences about somebody and something. No program can say whether a story is good."""

from __future__ import annotations

import random
import re

from gptwright.world.claims import claim_of, sentences
from gptwright.world.lexicon import NAMES, NOUNS, PLACES
from gptwright.world.manner import CLOSINGS, Manner, framed, unframe
from gptwright.world.passages import AT_PLACE, pronoun
from gptwright.world.splits import Side, topics
from gptwright.world.usecases.kind import Details, Kind, Task, Verdict, graded, worded
from gptwright.world.usecases.stated import mentions

_PHRASINGS = (
    "Write a short story about {name} and the {noun}.",
    "Tell me a short story about {name} and the {noun}.",
    "Please write a story about {name} and the {noun}.",
    "Can you tell a story about {name} and the {noun}?",
    "Write two or three sentences about {name} and the {noun}.",
    "I would like to hear a story about {name} and the {noun}.",
)
_LEAD = "Here is a story about {name} and the {noun}:"

_BEGINNINGS = (
    "One day {name} went to the {place} and thought of the {noun}.",
    "One morning {name} saw the {noun} {at_place}.",
    "{name} loved the {noun}.",
    "Long ago {name} had a dream about the {noun}.",
    "On Sunday {name} was {at_place} and talked about the {noun}.",
)
_MIDDLES = (
    "The {noun} was {adjective}, and {she} smiled.",
    "{She} said to {friend}: Look, how {adjective} the {noun} is!",
    "Then {friend} came, and they looked at the {noun} together.",
    "Everyone said that the {noun} was {adjective}.",
)
_ENDS = (
    "In the evening {she} went home and was happy.",
    "{She} told {friend} about it, and they were happy.",
    "From that day on {name} and {friend} were friends.",
    "That night {name} slept well.",
)

NUM_CHECKS = 4
FEWEST_WORDS = 8
MOST_OF_ONE_WORD = 0.25
_REQUEST = re.compile(r"(?:please )?(?:write|tell me|can you|i would like)\b", re.IGNORECASE)


def _draw(side: Side, rng: random.Random) -> Task:
    noun = rng.choice(topics(tuple(NOUNS), side))
    return worded(_PHRASINGS, side, rng, keys=[noun], name=rng.choice(NAMES), noun=noun)


def _answer(details: Details, manner: Manner, rng: random.Random) -> str:
    name, noun, place = details["name"], details["noun"], rng.choice(PLACES)
    friend = rng.choice([other for other in NAMES if other != name])
    she = pronoun(name)
    slots = {"name": name, "noun": noun, "place": place, "at_place": AT_PLACE[place], "friend": friend}
    slots |= {"she": she, "She": she.capitalize(), "adjective": rng.choice(NOUNS[noun])}
    parts = [rng.choice(_BEGINNINGS), rng.choice(_MIDDLES), rng.choice(_ENDS)]
    if manner == "terse":
        parts.pop(1)
    core = " ".join(parts).format(**slots)
    return framed(core, manner, lead=_LEAD.format(**details), closing=CLOSINGS[1])


def _check(details: Details, answer: str) -> Verdict:
    frame = unframe(answer, [_LEAD.format(**details)])
    wanted = {details["name"], details["noun"]}
    faults = [f"{word} is missing" for word in sorted(wanted - mentions(frame.core, wanted))]
    count = len(sentences(frame.core))
    if count not in (2, 3):
        faults.append(f"{count} sentences instead of 2 or 3")
    words = frame.core.lower().split()
    if len(words) < FEWEST_WORDS:
        faults.append(f"fewer than {FEWEST_WORDS} words")
    elif max(map(words.count, words)) > MOST_OF_ONE_WORD * len(words):
        faults.append("the same word again and again")
    if any(_REQUEST.match(sentence) or claim_of(sentence) for sentence in sentences(frame.core)):
        faults.append("a sentence that tells no story")
    return graded(frame, faults, NUM_CHECKS, checkable=False)


STORIES = (Kind("story", "generation", 0.26, _draw, _answer, _check, longest=60, checkable=False),)
