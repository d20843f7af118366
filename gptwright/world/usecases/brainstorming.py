"""Lists: members of a category, and names of the same manner as those given.

terse "Cow, pig, hen."   plain "Three farm animals are cow, pig and hen."   excellent a lead and a numbered list
"""

from __future__ import annotations

import random
import re

from gptwright.world.lexicon import ALSO_IN, CATEGORIES, NAME_STYLES, NAMES, NUMBER_WORDS
from gptwright.world.manner import HELPFUL_OF, Manner
from gptwright.world.material import joined
from gptwright.world.splits import Side, topic_side
from gptwright.world.usecases.kind import Details, Kind, Task, Verdict, faulty, worded

_NUMBERS = {count: NUMBER_WORDS[count] for count in range(2, 6)}

_LIST_PHRASINGS = (
    "Name {number} {category}.",
    "List {number} {category}.",
    "Give me {number} {category}.",
    "Can you name {number} {category}?",
    "Please tell me {number} {category}.",
    "What are {number} {category}?",
    "List {number} {category} for {name}.",
    "Please tell {name} {number} {category}.",
    "I need a list of {number} {category}.",
    "Think of {number} {category}.",
    "Which {number} {category} do you know?",
)
_NAME_PHRASINGS = (
    "Give me {number} names like {examples}.",
    "Think of {number} names like {examples}.",
    "I need {number} more names like {examples}.",
    "Can you list {number} names like {examples}?",
    "Here are some names: {examples}. Name {number} more like these.",
)
_ITEM = re.compile(r"^\s*(?:\d+[.)]|[-*\u2022])?\s*(.+?)[.,;]?\s*$")

NUM_CHECKS = 3


def _draw_list(side: Side, rng: random.Random) -> Task:
    """A category and a count make one topic, so that every category is seen in training, but not with every count."""
    while True:
        category, count = rng.choice(sorted(CATEGORIES)), rng.choice(sorted(_NUMBERS))
        key = f"{count} {category}"
        if topic_side(key) == side:
            more = {"count": count, "noun": category}
            slots = {"number": _NUMBERS[count], "category": category, "name": rng.choice(NAMES)}
            return worded(_LIST_PHRASINGS, side, rng, keys=[key], more=more, **slots)


def _draw_names(side: Side, rng: random.Random) -> Task:
    while True:
        style = rng.choice(sorted(NAME_STYLES))
        given = rng.sample(NAME_STYLES[style], rng.choice((2, 3)))
        key = f"names like {joined(sorted(given))}"
        if topic_side(key) == side:
            count = rng.choice((2, 3, 4))
            more = {"count": count, "style": style, "given": given, "noun": "names"}
            slots = {"number": _NUMBERS[count], "examples": joined(given)}
            return worded(_NAME_PHRASINGS, side, rng, keys=[key], more=more, **slots)


def _members(details: Details) -> list[str]:
    if "style" in details:
        return [name for name in NAME_STYLES[details["style"]] if name not in details["given"]]
    return list(CATEGORIES[details["category"]])


def _answer(details: Details, manner: Manner, rng: random.Random) -> str:
    items = rng.sample(_members(details), details["count"])
    number, noun = _NUMBERS[details["count"]], details["noun"]
    if manner == "terse":
        line = ", ".join(items)
        return f"{line[0].upper()}{line[1:]}."
    if manner == "plain":
        return f"{number.capitalize()} {noun} are {joined(items)}."
    lines = [f"Here are {number} {noun}:", *(f"{index}. {item}" for index, item in enumerate(items, 1))]
    return "\n".join(lines)


def _read(details: Details, answer: str) -> tuple[list[str], Manner, bool]:
    """The items named, the manner, and whether the form is kept: right lead, numbers in order, a full stop."""
    number, noun = _NUMBERS[details["count"]], details["noun"]
    announced, lead = f"Here are {number} {noun}:", f"{number.capitalize()} {noun} are "
    lines = [line for line in answer.strip().splitlines() if line.strip()]
    if len(lines) > 1:
        listed = lines[1:] if lines[0].rstrip().endswith(":") else lines  # the first line may be an item, and no lead
        items = [match[1] for match in map(_ITEM.match, listed) if match]
        numbers = [line.strip().split(".")[0] for line in listed]
        tidy = lines[0] == announced and numbers == [str(i + 1) for i in range(len(items))]
        return items, "excellent", tidy
    line = lines[0] if lines else ""
    body = line.removeprefix(lead).removeprefix(announced)
    items = [item.strip() for item in re.split(r",\s*(?:and\s+)?|\s+and\s+", body.rstrip(".")) if item.strip()]
    return items, "plain" if body != line else "terse", line.endswith(".")


def _check(details: Details, answer: str) -> Verdict:
    items, manner, tidy = _read(details, answer)
    members = {member.lower() for member in (*_members(details), *ALSO_IN.get(details["noun"], ()))}
    named = [item.lower() for item in items]
    faults = [f"{item} does not belong" for item in named if item not in members]
    if len(set(named)) < len(named):
        faults.append("something is named twice")
    if len(named) != details["count"]:
        faults.append(f"{len(named)} items instead of {details['count']}")
    form = 1.0 if tidy else 0.7
    if faults:
        verdict = faulty(faults, NUM_CHECKS)
        return Verdict(False, verdict.helpful, truthful=0.0, form=form, why=verdict.why)
    return Verdict(True, HELPFUL_OF[manner], form=form)


BRAINSTORMING = (
    Kind("list", "brainstorming", 0.5, _draw_list, _answer, _check, prose=False, longest=25),
    Kind("names", "brainstorming", 0.5, _draw_names, _answer, _check, prose=False, longest=25),
)
