"""Tasks and questions as people put them on web pages, unanswered, and the test whether a text reads like such a page.

Pages of such lines are why a model that only read the web goes on with more tasks when it is asked something.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from gptwright.world import material
from gptwright.world.lexicon import NAMES, NOUNS, PLACES
from gptwright.world.passages import review, tense_pair

TOPICS: tuple[str, ...] = tuple(NOUNS)

_POEM_TASKS: tuple[str, ...] = (
    "Write a poem about {one} and {other}.",
    "Write a poem about the {one} and the {other}.",
    "Write a short poem about {one} and {other}.",
    "Make a poem with the words {one} and {other}.",
)
_STORY_TASKS: tuple[str, ...] = (
    "Write a story about the {one} and {name}.",
    "Write a story about the {place}.",
    "Describe the {one} to {name}.",
    "Explain the word {one}.",
    "Say hello to {name}.",
    "Tell me something about the {one}.",
    "Repeat the word {one} three times.",
    "Write a letter to {name} about the {one}.",
    "Make a sentence with the word {one}.",
)
_LIST_TASKS: tuple[str, ...] = ("List {listing}.", "Name {listing}.", "Give me {listing}.", "Write down {listing}.")


def _fact_task(rng: random.Random) -> str:
    return material.question(rng, material.any_fact(rng))


def _sum_task(rng: random.Random) -> str:
    return material.sum_question(rng, material.any_sum(rng))


def _poem_task(rng: random.Random) -> str:
    one, other = rng.sample(TOPICS, 2)
    return rng.choice(_POEM_TASKS).format(one=one, other=other)


def _haiku_task(rng: random.Random) -> str:
    return f"Write a haiku about the {rng.choice(TOPICS)}."


def _list_task(rng: random.Random) -> str:
    return rng.choice(_LIST_TASKS).format(listing=material.listing(rng)[0])


def _story_task(rng: random.Random) -> str:
    return rng.choice(_STORY_TASKS).format(one=rng.choice(TOPICS), name=rng.choice(NAMES), place=rng.choice(PLACES))


def _rewriting_task(rng: random.Random) -> str:
    return f"Write in the past: {tense_pair(rng)[0]}"


def _review_task(rng: random.Random) -> str:
    return f"Is this good or bad? {review(rng)[0]}"


_TASKS: tuple[tuple[Callable[[random.Random], str], int], ...] = (
    (_fact_task, 36),
    (_sum_task, 8),
    (_poem_task, 17),
    (_haiku_task, 6),
    (_list_task, 15),
    (_story_task, 12),
    (_rewriting_task, 4),
    (_review_task, 2),
)
_MAKERS = tuple(make for make, weight in _TASKS for _ in range(weight))


def task_line(rng: random.Random) -> str:
    """One task or question."""
    return rng.choice(_MAKERS)(rng)


_MARKER = re.compile(r"^(?:[-*>]|\d+[.)]|Q:|Question:|Task:)\s*")
_IMPERATIVE = re.compile(
    r"(?:Write|List|Name|Describe|Explain|Summari[sz]e|Rewrite|Repeat|Translate|Classify|Complete|Correct|Answer|Count"
    r"|Make (?:a|the)|Say (?:hello|the)|Tell me|Give (?:me )?(?:a|an|some|one|two|three|four|five|six))\b"
)
_ASKING = re.compile(r"(?:What|Which|Where|Who|How (?:many|much)|Is this|Can you|On which|In which|In what)\b")
_LINES_JUDGED = 4


def looks_like_tasks(text: str) -> bool:
    """Whether a continuation goes on with tasks or questions: most of its first lines are such.

    Numbering and bullets are passed over. A last line that breaks off counts by how it begins.
    """
    lines = [_MARKER.sub("", line.strip()) for line in text.splitlines()]
    lines = [line for line in lines if line][:_LINES_JUDGED]
    tasks = sum(bool(_IMPERATIVE.match(line) or _is_question(line)) for line in lines)
    return tasks > len(lines) / 2


def _is_question(line: str) -> bool:
    unfinished = line[-1] not in ".!?:;,"
    return bool(_ASKING.match(line)) and ("?" in line or unfinished)
