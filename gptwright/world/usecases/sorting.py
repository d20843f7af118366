"""Classification: whether a review praises, and what kind of animal an animal is."""

from __future__ import annotations

import random

from gptwright.world.manner import Manner
from gptwright.world.passages import review
from gptwright.world.splits import Side, text_side
from gptwright.world.usecases.fact_answers import answer_fact, ask_fact, check_fact, facts_on
from gptwright.world.usecases.kind import Details, Kind, Task, Verdict, worded
from gptwright.world.usecases.stated import Target, check_stated

_REVIEW_PHRASINGS = (
    "Is this review positive or negative? {text}",
    "Tell me if this review is positive or negative: {text}",
    "Positive or negative: {text}",
    "{text} Is this positive or negative?",
    "Say what this review is, positive or negative: {text}",
    "Does the writer like it? Say positive or negative. {text}",
)
_CLASS_PHRASINGS = (
    "Is a {subject} a mammal, a bird, a fish or something else?",
    "Mammal, bird, fish, reptile or insect: what is a {subject}?",
    "To which kind of animal does the {subject} belong?",
    "Put this animal in its group: {subject}.",
    "Sort this animal by its kind: {subject}.",
)
_SENTIMENTS = ("positive", "negative")
_REMARKS = {"positive": "The writer likes it.", "negative": "The writer does not like it."}


def _draw_review(side: Side, rng: random.Random) -> Task:
    while True:
        text, sentiment = review(rng)
        if text_side(text) == side:
            return worded(_REVIEW_PHRASINGS, side, rng, keys=[text], more={"sentiment": sentiment}, text=text)


def _answer_review(details: Details, manner: Manner, rng: random.Random) -> str:
    sentiment = details["sentiment"]
    if manner == "terse":
        return f"{sentiment.capitalize()}."
    answer = f"This review is {sentiment}."
    return f"{answer} {_REMARKS[sentiment]}" if manner == "excellent" else answer


def _check_review(details: Details, answer: str) -> Verdict:
    sentiment = details["sentiment"]
    other = next(label for label in _SENTIMENTS if label != sentiment)

    def says(sentence: str) -> bool | None:
        if sentence == _REMARKS[other] or sentence == f"This review is {other}.":
            return False
        return True if sentence == f"This review is {sentiment}." else None

    return check_stated(answer, Target(sentiment, _SENTIMENTS, says, remarks={_REMARKS[sentiment]}))


def _draw_class(side: Side, rng: random.Random) -> Task:
    return ask_fact(rng.choice(facts_on(("class",), side)), side, rng, _CLASS_PHRASINGS)


SORTING = (
    Kind("review", "classification", 0.7, _draw_review, _answer_review, _check_review, longest=25),
    Kind("animal_class", "classification", 0.3, _draw_class, answer_fact, check_fact, longest=35),
)
