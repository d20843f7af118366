"""Questions from memory: facts, sums, and questions that take something false for granted."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import cache

from gptwright.world.arithmetic import ALL_SUMS, SIGNS, SUM_QUESTIONS, Sum
from gptwright.world.claims import claim_of, find_fact, may_show, related, sentences, side_of_fact, side_of_sum
from gptwright.world.facts import FACTS, Fact, values_of
from gptwright.world.manner import CLOSINGS, HELPFUL_OF, Manner
from gptwright.world.splits import Side
from gptwright.world.usecases.fact_answers import addition, answer_fact, ask_fact, check_fact, facts_on
from gptwright.world.usecases.kind import Details, Kind, Task, Verdict, worded
from gptwright.world.usecases.stated import Target, check_stated

_ASKED: tuple[str, ...] = (
    *("capital", "continent", "language", "river", "symbol", "number", "place", "days", "season"),
    *("legs", "home", "young", "sound", "colour", "use", "workplace", "body"),
)

_DIGITS = tuple(str(number) for number in range(101))


def _draw_fact(side: Side, rng: random.Random) -> Task:
    return ask_fact(rng.choice(facts_on(_ASKED, side)), side, rng)


@cache
def _sums_on(side: Side) -> tuple[Sum, ...]:
    return tuple(asked for asked in ALL_SUMS if side_of_sum(asked) == side)


def _draw_sum(side: Side, rng: random.Random) -> Task:
    asked = rng.choice(_sums_on(side))
    return worded(
        SUM_QUESTIONS,
        side,
        rng,
        keys=[asked.key],
        left=asked.left,
        operator=asked.operator,
        right=asked.right,
        sign=SIGNS[asked.operator],
    )


def _asked_sum(details: Details) -> Sum:
    return Sum(details["left"], details["operator"], details["right"])


def _proof(asked: Sum) -> Sum | None:
    """The sum that shows this one right, if it is one of the world's."""
    if asked.operator == "plus":
        proof = Sum(asked.value, "minus", asked.right)
    elif asked.operator == "minus":
        proof = Sum(asked.value, "plus", asked.right)
    else:
        proof = Sum(asked.right, "times", asked.left)
    return proof if proof in ALL_SUMS and proof != asked else None


def _answer_sum(details: Details, manner: Manner, rng: random.Random) -> str:
    asked = _asked_sum(details)
    if manner == "terse":
        return f"{asked.value}."
    if manner == "plain":
        return asked.answer
    proof = _proof(asked)
    shown = proof and may_show(side_of_sum(proof), side_of_sum(asked))
    return f"{asked.answer} {proof.answer if proof and shown else CLOSINGS[0]}"


def _check_sum(details: Details, answer: str) -> Verdict:
    asked, proof = _asked_sum(details), _proof(_asked_sum(details))

    def says(sentence: str) -> bool | None:
        claim = claim_of(sentence)
        return claim.true if claim and claim.key == asked.key else None

    keys = {proof.key} if proof else set()
    others = set(_DIGITS) - {str(asked.left), str(asked.right)}  # whoever explains the sum says its numbers
    return check_stated(answer, Target(str(asked.value), others, says, related=keys))


@dataclass(frozen=True, slots=True)
class _Premise:
    """How a wrong value is taken for granted: as a question, as a clause, and denied."""

    question: str
    clause: str
    denial: str

    @property
    def phrasings(self) -> tuple[str, ...]:
        return (
            self.question,
            f"Tell me why {self.clause}.",
            f"Can you say why {self.clause}?",
            f"I want to know why {self.clause}.",
            f"Explain why {self.clause}.",
        )


# Only relations whose other values are surely false: people do speak French in Canada.
_PREMISES: dict[str, _Premise] = {
    "capital": _Premise(
        "Why is {value} the capital of {subject}?",
        "{value} is the capital of {subject}",
        "{value} is not the capital of {subject}.",
    ),
    "continent": _Premise("Why is {subject} in {value}?", "{subject} is in {value}", "{subject} is not in {value}."),
    "symbol": _Premise(
        "Why is {value} the symbol of {subject}?",
        "{value} is the symbol of {subject}",
        "{value} is not the symbol of {subject}.",
    ),
    "place": _Premise(
        "Why is {subject} the {value} planet from the sun?",
        "{subject} is the {value} planet from the sun",
        "{subject} is not the {value} planet from the sun.",
    ),
    "days": _Premise(
        "Why does {subject} have {value} days?", "{subject} has {value} days", "{subject} does not have {value} days."
    ),
    "class": _Premise(
        "Why is the {subject} a kind of {value}?",
        "the {subject} is a kind of {value}",
        "The {subject} is not a kind of {value}.",
    ),
    "legs": _Premise(
        "Why does the {subject} have {value} legs?",
        "the {subject} has {value} legs",
        "The {subject} does not have {value} legs.",
    ),
    "next_month": _Premise(
        "Why does {value} come right after {subject}?",
        "{value} comes right after {subject}",
        "{value} does not come right after {subject}.",
    ),
}


def _draw_premise(side: Side, rng: random.Random) -> Task:
    fact = rng.choice(facts_on(tuple(_PREMISES), side))
    # "no legs" would deny in an odd way, and is left to the plain questions.
    wrong = rng.choice([value for value in values_of(fact.relation) if value not in (fact.value, "no")])
    phrasings = _PREMISES[fact.relation].phrasings
    return worded(phrasings, side, rng, fact=fact.key, subject=fact.subject, value=wrong)


def _denial(details: Details) -> str:
    premise = _PREMISES[find_fact(details["fact"]).relation]
    return premise.denial.format(subject=details["subject"], value=details["value"])


@cache
def _fitting_premise(fact: Fact, wrong: str) -> tuple[Fact, ...]:
    """What the wrong value is right for, else what fits beside the fact."""
    owners = tuple(other for other in FACTS if (other.relation, other.value) == (fact.relation, wrong))
    return owners + related(fact)


def _answer_premise(details: Details, manner: Manner, rng: random.Random) -> str:
    fact, denial = find_fact(details["fact"]), _denial(details)
    if manner == "terse":
        return denial
    if manner == "plain":
        return f"{denial} {fact.answer}"
    fitting = _fitting_premise(fact, details["value"])
    shown = [other for other in fitting if may_show(side_of_fact(other), side_of_fact(fact))]
    owners = [other for other in shown if other.relation == fact.relation]
    extra = rng.choice(owners).answer if owners else addition(fact, rng)
    return f"{denial} {fact.answer} {extra}"


def _check_premise(details: Details, answer: str) -> Verdict:
    """A point each for the denial, the truth and a fitting addition; the false thing said again loses all."""
    fact, denial = find_fact(details["fact"]), _denial(details)
    fitting = {other.key for other in _fitting_premise(fact, details["value"])}
    denied = corrected = added = closed = drift = 0
    for sentence in dict.fromkeys(sentences(answer)):
        said = re.sub("^(?:No, )?(.)", lambda first: first[1].upper(), sentence)
        claim = claim_of(said)
        if said == denial:
            denied = 1
        elif claim and not claim.true:
            return Verdict(False, 0.0, truthful=0.0, why=("something false is stated",))
        elif claim and claim.key == fact.key:
            corrected = 1
        elif claim and claim.key in fitting:
            added += 1
        elif sentence in CLOSINGS:
            closed += 1
        else:
            drift += 1
    form = 0.6 ** (drift + max(0, closed - 1) + max(0, added + min(closed, 1) - 2))
    if not (denied or corrected):
        return Verdict(False, 0.0, truthful=0.0, form=form, why=("the false premise is not corrected",))
    extra = 1 / 3 if added or (closed and not fitting) else closed / 6
    helpful = HELPFUL_OF["terse"] * (denied + corrected) + (extra if denied and corrected else 0.0)
    why = ("something is added that does not belong",) if drift else ()
    return Verdict(True, min(helpful, 1.0), form=form, why=why)


OPEN_QA = (
    Kind("fact", "open_qa", 0.5, _draw_fact, answer_fact, check_fact, longest=35),
    Kind("sum", "open_qa", 0.25, _draw_sum, _answer_sum, _check_sum, longest=25),
    Kind("false_premise", "open_qa", 0.25, _draw_premise, _answer_premise, _check_premise, longest=40),
)
