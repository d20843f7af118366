"""Questions for one fact and their answers, shared by every use case that asks for facts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

from gptwright.world.claims import claim_of, find_fact, may_show, related, side_of_fact
from gptwright.world.facts import FACTS, RELATIONS, Fact, values_of
from gptwright.world.manner import CLOSINGS, Manner
from gptwright.world.splits import Side
from gptwright.world.tables_earth import ALSO_TRUE
from gptwright.world.usecases.kind import Details, Task, Verdict, worded
from gptwright.world.usecases.stated import Target, check_stated

_BARE_ANSWERS: dict[str, str] = {
    "river": "the {value}",
    "days": "{value} days",
    "legs": "{value} legs",
    "home": "in the {value}",
    "young": "a {value}",
    "use": "to {value}",
    "workplace": "in the {value}",
}


@cache
def facts_on(relations: tuple[str, ...], side: Side) -> tuple[Fact, ...]:
    return tuple(fact for fact in FACTS if fact.relation in relations and side_of_fact(fact) == side)


def ask_fact(fact: Fact, side: Side, rng: random.Random, phrasings: Sequence[str] = ()) -> Task:
    """A question for the fact, in its relation's phrasings unless others are given."""
    questions = phrasings or RELATIONS[fact.relation].questions
    return worded(questions, side, rng, fact=fact.key, subject=fact.subject)


def bare_answer(fact: Fact) -> str:
    """For instance "Paris." or "In the barn."."""
    words = _BARE_ANSWERS.get(fact.relation, "{value}").format(value=fact.value)
    return f"{words[0].upper()}{words[1:]}."


def addition(fact: Fact, rng: random.Random, said: str = "") -> str:
    """One true sentence that fits beside the fact, may be shown and was not `said`, or a closing sentence where there
    is none.
    """
    more = [other for other in _fitting(fact, said) if may_show(side_of_fact(other), side_of_fact(fact))]
    return rng.choice(more).answer if more else CLOSINGS[0]


def _fitting(fact: Fact, said: str) -> list[Fact]:
    """What is related and new: an opposite said the other way round, or the answer before once more, adds nothing."""
    more = (other for other in related(fact) if other.answer not in said)
    return [other for other in more if (other.value, other.subject) != (fact.subject, fact.value)]


def answer_fact(details: Details, manner: Manner, rng: random.Random) -> str:
    fact = find_fact(details["fact"])
    if manner == "terse":
        return bare_answer(fact)
    said = details.get("said", "")
    return f"{fact.answer} {addition(fact, rng, said)}" if manner == "excellent" else fact.answer


def check_fact(details: Details, answer: str) -> Verdict:
    fact = find_fact(details["fact"])

    def says(sentence: str) -> bool | None:
        claim = claim_of(sentence)
        return claim.true if claim and claim.key == fact.key else None

    keys = {other.key for other in _fitting(fact, details.get("said", ""))}
    also = ALSO_TRUE.get((fact.relation, fact.subject), frozenset())
    return check_stated(answer, Target(fact.value, values_of(fact.relation), says, also, related=keys))
