"""Short texts that must keep several rules at once: how many sentences, which words, how they begin and end.

Here the manner shows in the text itself, since a lead or a closing sentence would break the rules.
"""

from __future__ import annotations

import random

from gptwright.world.claims import sentences
from gptwright.world.lexicon import NAMES, NOUNS, NUMBER_WORDS, PLACES
from gptwright.world.manner import HELPFUL_OF, MANNERS, Manner
from gptwright.world.passages import AT_PLACE
from gptwright.world.splits import Side, topics
from gptwright.world.usecases.kind import Details, Kind, Task, Verdict, faulty, worded
from gptwright.world.usecases.stated import mentions

_COUNTS = {count: NUMBER_WORDS[count] for count in (2, 3)}
_ENDINGS = {"?": "a question mark", "!": "an exclamation mark", ".": "a full stop"}
_STARTS = ("Today", "Yesterday", "Tonight", "Now", "Sometimes", "Here")

_NOTE_PHRASINGS = (
    "Write a thank-you note to {name} for the {noun}. Use exactly {number} sentences and the word {word}. "
    "End with {ending}.",
    "Thank {name} for the {noun} in exactly {number} sentences. Use the word {word} and end with {ending}.",
    "Please write {number} sentences to thank {name} for the {noun}. Use the word {word}. End with {ending}.",
    "I need a thank-you note to {name} for the {noun}: {number} sentences, with the word {word}, ending with {ending}.",
    "Write to {name} and say thank you for the {noun}. It must be {number} sentences long, have the word {word} and "
    "end with {ending}.",
)
_SENTENCE_PHRASINGS = (
    "Write one sentence about the {noun}. Begin with the word {start}, use the word {word} and end with {ending}.",
    "Write one sentence about the {noun} that begins with {start}, has the word {word} and ends with {ending}.",
    "Please write a sentence with the words {noun} and {word}. Begin with {start} and end with {ending}.",
    "I need one sentence about the {noun}: it begins with {start}, has the word {word} and ends with {ending}.",
    "Make one sentence with {noun} and {word} in it. It must begin with {start} and end with {ending}.",
)

_NOTE_ENDS = {
    "?": ("Will you visit me soon?", "May I come and see you?", "Shall we meet again?"),
    "!": ("Come and visit me soon!", "I want to see you again!", "You must come again!"),
}
_NOTE_BARE_ENDS = {"?": "Is there more?", "!": "I like it!"}
_NOTE_MIDDLE = "It made me very happy."
_WARM_WORDS = frozenset({"happy", "glad", "visit", "meet", "come", "see", "again"})

NUM_NOTE_CHECKS = 5
NUM_SENTENCE_CHECKS = 5
PLAIN_WORDS, EXCELLENT_WORDS, MOST_WORDS = 6, 10, 18
"""A sentence of so many words is plain, is excellent, is too long to be either."""


def _draw_note(side: Side, rng: random.Random) -> Task:
    noun = rng.choice(topics(tuple(NOUNS), side))
    count, mark = rng.choice(sorted(_COUNTS)), rng.choice("?!")
    slots = {"name": rng.choice(NAMES), "noun": noun, "word": rng.choice(NOUNS[noun])}
    more = {"count": count, "mark": mark}
    number, ending = _COUNTS[count], _ENDINGS[mark]
    return worded(_NOTE_PHRASINGS, side, rng, keys=[noun], more=more, number=number, ending=ending, **slots)


def _answer_note(details: Details, manner: Manner, rng: random.Random) -> str:
    name, noun, word, mark = (details[slot] for slot in ("name", "noun", "word", "mark"))
    parts = [
        f"Thank you for the {word} {noun}." if manner == "terse" else f"Dear {name}, thank you for the {word} {noun}."
    ]
    if details["count"] == 3:
        parts.append(_NOTE_MIDDLE if manner == "excellent" else "It is very good.")
    parts.append(rng.choice(_NOTE_ENDS[mark]) if manner == "excellent" else _NOTE_BARE_ENDS[mark])
    return " ".join(parts)


def _check_note(details: Details, answer: str) -> Verdict:
    faults = _shared_faults(details, answer)
    count = len(sentences(answer))
    if count != details["count"]:
        faults.append(f"{count} sentences instead of {details['count']}")
    if "thank you" not in answer.lower():
        faults.append("no thanks are said")
    others = {name for name in NAMES if name != details["name"] and name.lower() != details["noun"]}  # a lily, a rose
    faults += [f"{name} is not the one to thank" for name in sorted(mentions(answer, others))]
    if faults:
        return faulty(faults, NUM_NOTE_CHECKS)
    addressed = answer.startswith(f"Dear {details['name']},")
    warm = bool(mentions(answer, _WARM_WORDS))
    return Verdict(True, HELPFUL_OF[MANNERS[addressed + (addressed and warm)]])


def _draw_sentence(side: Side, rng: random.Random) -> Task:
    noun = rng.choice(topics(tuple(NOUNS), side))
    mark = rng.choice("!.")
    slots = {"noun": noun, "word": rng.choice(NOUNS[noun]), "start": rng.choice(_STARTS), "ending": _ENDINGS[mark]}
    return worded(_SENTENCE_PHRASINGS, side, rng, keys=[noun], more={"mark": mark}, **slots)


def _answer_sentence(details: Details, manner: Manner, rng: random.Random) -> str:
    start, noun, word, mark = (details[slot] for slot in ("start", "noun", "word", "mark"))
    was = "was" if start == "Yesterday" else "is"
    if manner == "terse":
        return f"{start} the {noun} {was} {word}{mark}"
    place = AT_PLACE[rng.choice(PLACES)]
    tail = f", and {rng.choice(NAMES)} {was} happy" if manner == "excellent" else ""
    return f"{start} the {word} {noun} {was} {place}{tail}{mark}"


def _check_sentence(details: Details, answer: str) -> Verdict:
    faults = _shared_faults(details, answer)
    count = len(sentences(answer))
    if count != 1:
        faults.append(f"{count} sentences instead of 1")
    if not answer.startswith(f"{details['start']} "):
        faults.append(f"it does not begin with {details['start']}")
    if faults:
        return faulty(faults, NUM_SENTENCE_CHECKS)
    length = len(answer.split())
    fullness = (length > PLAIN_WORDS) + (EXCELLENT_WORDS <= length <= MOST_WORDS)
    return Verdict(True, HELPFUL_OF[MANNERS[fullness]])


def _shared_faults(details: Details, answer: str) -> list[str]:
    wanted = {details["noun"], details["word"]}
    faults = [f"the word {word} is missing" for word in sorted(wanted - mentions(answer, wanted))]
    if not answer.rstrip().endswith(details["mark"]):
        faults.append(f"it does not end with {_ENDINGS[details['mark']]}")
    return faults


CONSTRAINTS = (
    Kind("note", "generation", 0.15, _draw_note, _answer_note, _check_note),
    Kind("sentence", "generation", 0.10, _draw_sentence, _answer_sentence, _check_sentence, longest=25),
)
