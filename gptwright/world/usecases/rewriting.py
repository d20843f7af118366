"""Saying a given sentence in another way: in the past, in capital letters, politely."""

from __future__ import annotations

import random

from gptwright.world.claims import sentences
from gptwright.world.lexicon import NOUNS
from gptwright.world.manner import CLOSINGS, HELPFUL_OF, MANNERS, Manner, framed, unframe
from gptwright.world.passages import tense_pair
from gptwright.world.splits import Side, text_side, topics
from gptwright.world.usecases.kind import Details, Kind, Task, Verdict, faulty, graded, worded

_PAST_PHRASINGS = (
    "Put this sentence into the past: {sentence}",
    "Write this in the past: {sentence}",
    "Say this as if it was yesterday: {sentence}",
    "{sentence} Write it in the past.",
    "Change this sentence to the past: {sentence}",
)
_CAPITALS_PHRASINGS = (
    "Write this in capital letters: {words}",
    "Put this in capital letters: {words}",
    "Make all letters big: {words}",
    "I need this in capital letters: {words}",
    "Change this to capital letters: {words}",
)
_POLITE_PHRASINGS = (
    "Make this polite: {order}",
    "Say this in a polite way: {order}",
    "Write this politely: {order}",
    "{order} How do I say this politely?",
    "Change this so that it is polite: {order}",
)
_PAST_LEAD = "In the past it is:"
_CAPITALS_LEAD = "In capital letters it is:"

_ORDERS = ("Give me", "Bring me", "Show me", "Help me with", "Tell me about", "Look at", "Send me", "Wait for")
NUM_CHECKS = 3


def _draw_past(side: Side, rng: random.Random) -> Task:
    while True:
        present, past = tense_pair(rng)
        if text_side(present) == side:
            return worded(_PAST_PHRASINGS, side, rng, keys=[present], more={"past": past}, sentence=present)


def _answer_past(details: Details, manner: Manner, rng: random.Random) -> str:
    return framed(details["past"], manner, lead=_PAST_LEAD, closing=CLOSINGS[0])


def _check_past(details: Details, answer: str) -> Verdict:
    frame = unframe(answer, [_PAST_LEAD])
    return graded(frame, _word_faults(frame.core, details["past"]), NUM_CHECKS)


def _draw_capitals(side: Side, rng: random.Random) -> Task:
    noun = rng.choice(topics(tuple(NOUNS), side))
    words = f"the {rng.choice(NOUNS[noun])} {noun}"
    return worded(_CAPITALS_PHRASINGS, side, rng, keys=[noun], words=words)


def _answer_capitals(details: Details, manner: Manner, rng: random.Random) -> str:
    return framed(f"{details['words'].upper()}.", manner, lead=_CAPITALS_LEAD, closing=CLOSINGS[0])


def _check_capitals(details: Details, answer: str) -> Verdict:
    frame = unframe(answer, [_CAPITALS_LEAD])
    return graded(frame, _word_faults(frame.core, f"{details['words'].upper()}."), NUM_CHECKS)


def _word_faults(core: str, wanted: str) -> list[str]:
    """Words in place, up to three faults: a wrong word, a missing one and one too many."""
    said, right = core.rstrip(".").split(), wanted.rstrip(".").split()
    faults = ["a word is wrong"] if any(one != other for one, other in zip(said, right, strict=False)) else []
    if len(said) != len(right):
        faults += ["the number of words is wrong"]
    if not set(said) & set(right):
        faults += ["nothing of it is right"]
    return faults


def _draw_polite(side: Side, rng: random.Random) -> Task:
    noun = rng.choice(topics(tuple(NOUNS), side))
    request = f"{rng.choice(_ORDERS)} the {noun}"
    request = request[0].lower() + request[1:]
    order = f"{request[0].upper()}{request[1:]}."
    return worded(_POLITE_PHRASINGS, side, rng, keys=[noun], more={"request": request}, order=order)


def _answer_polite(details: Details, manner: Manner, rng: random.Random) -> str:
    if manner == "terse":
        return f"Please {details['request']}."
    answer = f"Could you please {details['request']}?"
    return f"{answer} Thank you." if manner == "excellent" else answer


def _check_polite(details: Details, answer: str) -> Verdict:
    said = sentences(answer)
    first = said[0] if said else ""
    asked = first == f"Could you please {details['request']}?"
    if not asked and first != f"Please {details['request']}.":
        faults = ["it is not the request in a polite form"]
        if details["request"] not in answer:
            faults.append("the request is not kept")
        return faulty(faults, NUM_CHECKS)
    rest = said[1:]
    thanked = "Thank you." in rest
    drift = len(rest) - thanked
    return Verdict(True, HELPFUL_OF[MANNERS[asked + (asked and thanked)]], form=0.6**drift)


REWRITING = (
    Kind("past", "rewriting", 0.5, _draw_past, _answer_past, _check_past, longest=25),
    Kind("capitals", "rewriting", 0.15, _draw_capitals, _answer_capitals, _check_capitals, longest=20),
    Kind("polite", "rewriting", 0.35, _draw_polite, _answer_polite, _check_polite, longest=20),
)
