"""Work on a given passage: its summary, a question about it, or one thing to find in it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from gptwright.world.claims import sentences
from gptwright.world.lexicon import NAMES, PLACES
from gptwright.world.manner import CLOSINGS, Manner, framed, unframe
from gptwright.world.passages import AT_PLACE, FEELINGS, Passage, passage
from gptwright.world.splits import Side, text_side
from gptwright.world.tables_earth import DAYS
from gptwright.world.usecases.kind import Details, Kind, Task, Verdict, graded, worded
from gptwright.world.usecases.stated import Target, check_stated, mentions

_SUMMARY_PHRASINGS = (
    "Summarize this text: {text}",
    "Say this in one sentence: {text}",
    "What is this text about? {text}",
    "{text} Give me a short summary.",
    "Sum up this text in a few words: {text}",
)
_SUMMARY_LEAD = "In short:"
LONGEST_SUMMARY = 12
"""Words; the shortest passage has more."""

_COUNTS = tuple(str(count) for count in range(2, 13))


@dataclass(frozen=True, slots=True)
class _Slot:
    """One thing that a passage says: how it is asked for, answered in full, and what else it could be."""

    questions: tuple[str, ...]
    statement: str
    candidates: tuple[str, ...]
    bare: str = "{value}"
    also: tuple[str, ...] = ()
    """Other sentences that say it rightly, such as the passage's own."""


_QUESTIONS: dict[str, _Slot] = {
    "person": _Slot(
        ("Who went to the {place}?", "Who went there?", "Who felt {feeling}?", "Who is this text about?"),
        "It was {value}.",
        NAMES,
        also=("{value} went to the {place}.", "{value} was {at_place}.", "{value} felt {feeling}."),
    ),
    "place": _Slot(
        ("Where was {person}?", "Where did {person} go?", "In which place was {person}?"),
        "{person} was {at_place}.",
        PLACES,
        "{at_place}",
        ("{person} went to the {value}.",),
    ),
    "day": _Slot(
        ("On which day was {person} there?", "When was {person} there?", "What day was it?"),
        "It was on {value}.",
        DAYS,
        "on {value}",
        ("{person} was there on {value}.",),
    ),
    "count": _Slot(
        ("How many {item} were there?", "What is the number of the {item}?", "Tell me how many {item} there were."),
        "There were {value} {item}.",
        _COUNTS,
        also=("{value} {item}.",),
    ),
    "feeling": _Slot(
        ("How was {person}?", "How did {person} feel?", "What did {person} feel?"),
        "{person} was {value}.",
        FEELINGS,
        also=("{person} felt {value}.",),
    ),
}
# What is to be found, and the words for it; the last is held out.
_FINDS: dict[str, _Slot] = {
    "day": _Slot(
        ("Find the day in this text: {text}", "Which day is in this text? {text}", "{text} What day is named here?"),
        "The day is {value}.",
        DAYS,
    ),
    "place": _Slot(
        (
            "Find the place in this text: {text}",
            "Which place is in this text? {text}",
            "{text} What place is named here?",
        ),
        "The place is the {value}.",
        PLACES,
    ),
    "count": _Slot(
        ("Find the number in this text: {text}", "Which number is in this text? {text}", "{text} What number is here?"),
        "The number is {value}.",
        _COUNTS,
    ),
    "item": _Slot(
        (
            "Find what was counted in this text: {text}",
            "Which things have a number in this text? {text}",
            "{text} Which things are counted here?",
        ),
        "The things are {value}.",
        (),
    ),
}


def _draw_passage(side: Side, rng: random.Random) -> Passage:
    while True:
        drawn = passage(rng)
        if text_side(drawn.text) == side:
            return drawn


def _details(drawn: Passage) -> Details:
    return {
        "person": drawn.person,
        "place": drawn.place,
        "at_place": AT_PLACE[drawn.place],
        "day": drawn.day,
        "item": drawn.item,
        "count": str(drawn.count),
        "feeling": drawn.feeling,
        "summary": drawn.summary,
    }


def _draw_summary(side: Side, rng: random.Random) -> Task:
    drawn = _draw_passage(side, rng)
    return worded(_SUMMARY_PHRASINGS, side, rng, keys=[drawn.text], more=_details(drawn), text=drawn.text)


def _answer_summary(details: Details, manner: Manner, rng: random.Random) -> str:
    return framed(details["summary"], manner, lead=_SUMMARY_LEAD, closing=CLOSINGS[0])


def _check_summary(details: Details, answer: str) -> Verdict:
    """One sentence that names who, what, how many and where, in words of the passage's summary."""
    frame = unframe(answer, [_SUMMARY_LEAD])
    wanted = {details["person"], details["item"], details["place"], details["count"]}
    faults = [f"{word} is missing" for word in sorted(wanted - mentions(frame.core, wanted))]
    others = mentions(frame.core, {*NAMES, *PLACES, *_COUNTS}) - mentions(details["text"], {*NAMES, *PLACES, *_COUNTS})
    faults += [f"{word} is not in the text" for word in sorted(others)]
    verb = details["summary"].split()[1]
    if not mentions(frame.core, {verb}):
        faults.append("what was done is missing")
    if len(sentences(frame.core)) != 1:
        faults.append("it is not one sentence")
    if len(frame.core.split()) > LONGEST_SUMMARY:
        faults.append(f"more than {LONGEST_SUMMARY} words")
    return graded(frame, faults, len(wanted) + 2)


def _draw_question(side: Side, rng: random.Random) -> Task:
    drawn = _draw_passage(side, rng)
    details = _details(drawn)
    slot = rng.choice(sorted(_QUESTIONS))
    phrasings = tuple(f"{{text}} {question}" for question in _QUESTIONS[slot].questions)
    return worded(phrasings, side, rng, keys=[drawn.text], more={"slot": slot}, text=drawn.text, **details)


def _draw_find(side: Side, rng: random.Random) -> Task:
    drawn = _draw_passage(side, rng)
    slot = rng.choice(sorted(_FINDS))
    more = {"slot": slot, **_details(drawn)}
    return worded(_FINDS[slot].questions, side, rng, keys=[drawn.text], more=more, text=drawn.text)


def _answer_from(slots: dict[str, _Slot], details: Details, manner: Manner) -> str:
    slot = slots[details["slot"]]
    filling = {**details, "value": details[details["slot"]]}
    if manner == "terse":
        bare = slot.bare.format(**filling)
        return f"{bare[0].upper()}{bare[1:]}."
    answer = slot.statement.format(**filling)
    return f"{answer} {CLOSINGS[0]}" if manner == "excellent" else answer


def _check_from(slots: dict[str, _Slot], details: Details, answer: str) -> Verdict:
    slot, value = slots[details["slot"]], details[details["slot"]]
    filling = {**details, "value": value}
    right = {statement.format(**filling) for statement in (slot.statement, *slot.also)}
    # The statement with its value left open: what begins and ends like it states a value.
    open_statement = slot.statement.replace("{at_place}", "{value}").format(**{**details, "value": "\n"})
    before, after = open_statement.split("\n")

    def says(sentence: str) -> bool | None:
        if sentence in right:
            return True
        return False if sentence.startswith(before) and sentence.endswith(after) else None

    return check_stated(answer, Target(value, slot.candidates, says))


def _answer_question(details: Details, manner: Manner, rng: random.Random) -> str:
    return _answer_from(_QUESTIONS, details, manner)


def _check_question(details: Details, answer: str) -> Verdict:
    return _check_from(_QUESTIONS, details, answer)


def _answer_find(details: Details, manner: Manner, rng: random.Random) -> str:
    return _answer_from(_FINDS, details, manner)


def _check_find(details: Details, answer: str) -> Verdict:
    return _check_from(_FINDS, details, answer)


READING = (
    Kind("summary", "summarization", 1.0, _draw_summary, _answer_summary, _check_summary, longest=30),
    Kind("passage_question", "closed_qa", 1.0, _draw_question, _answer_question, _check_question, longest=25),
    Kind("find_in_passage", "extraction", 1.0, _draw_find, _answer_find, _check_find, longest=25),
)
