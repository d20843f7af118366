"""Answers that state one value: a fact, a sum, something said earlier or in a passage.

Such an answer may hold the bare value ("Paris."), the whole sentence, related true additions and a closing sentence;
everything else drifts from the question. Naming another candidate beside the right one is not an answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from gptwright.world.claims import claim_of, sentences
from gptwright.world.lexicon import DIGITS
from gptwright.world.manner import CLOSINGS, HELPFUL_OF
from gptwright.world.usecases.kind import Verdict

_LEAD = re.compile(
    r"^(?:(?:it|that) (?:is|has|lives)|they (?:speak|have)|you get|its [a-z ]+ is|the answer is)\s+", re.IGNORECASE
)
_SMALL_WORDS = re.compile(r"^(?:(?:in|at|on|to|a|an|the)\s+)+", re.IGNORECASE)
_UNIT = re.compile(r"\s+(?:legs|days)$")

MOST_ADDITIONS = 2


@dataclass(frozen=True, slots=True)
class Target:
    """What a right answer states: a value, in whole sentences that `says` recognises, with additions that fit.

    `says(sentence)` is True for the right statement, False for a wrong one and None for anything else.
    """

    value: str
    candidates: Collection[str]
    says: Callable[[str], bool | None]
    also: Collection[str] = frozenset()
    """Candidates that are right as well."""
    related: Collection[str] = field(default_factory=frozenset)
    """Keys of the facts that may be added."""
    remarks: Collection[str] = ()
    """Sentences that may be added though they state no fact."""


@dataclass(slots=True)
class _Count:
    bare: int = 0
    whole: int = 0
    wrong: int = 0
    added: int = 0
    closed: int = 0
    drift: int = 0
    false: int = 0


def bare_value(sentence: str) -> str:
    """bare_value("It is the Seine.") -> "seine"; small numbers come as digits, however they were written."""
    words = _SMALL_WORDS.sub("", _LEAD.sub("", sentence.strip().rstrip(".!")))
    return _in_digits(_UNIT.sub("", words))


def _in_digits(value: str) -> str:
    return DIGITS.get(value.lower(), value.lower())


def mentions(text: str, candidates: Collection[str]) -> set[str]:
    """The candidates that stand in a text as whole words."""
    words = f" {re.sub(r'[^a-z0-9 ]', ' ', text.lower())} "
    words = re.sub(r" +", " ", words)
    return {candidate for candidate in candidates if f" {candidate.lower()} " in words}


def check_stated(answer: str, target: Target) -> Verdict:
    count = _Count()
    for sentence in dict.fromkeys(sentences(answer)):
        _read(sentence, target, count)
    right = (count.bare or count.whole) and not count.wrong
    form = 0.6 ** (count.drift + max(0, count.added - MOST_ADDITIONS) + max(0, count.closed - 1))
    if not right:
        fault = "a wrong value is stated" if count.wrong else "the answer is not stated"
        return Verdict(False, 0.0, truthful=0.0, form=form, why=(fault,))
    helpful = HELPFUL_OF["plain" if count.whole else "terse"]
    if count.false:
        return Verdict(True, HELPFUL_OF["terse"], truthful=0.0, form=form, why=("a false statement is added",))
    if count.added or (count.closed and not (target.related or target.remarks)):
        helpful += 1 / 3
    elif count.closed:
        helpful += 1 / 6
    why = ("something is added that does not belong",) if form < 1 else ()
    return Verdict(True, min(helpful, 1.0), form=form, why=why)


def _read(sentence: str, target: Target, count: _Count) -> None:
    said = target.says(sentence)
    bare = bare_value(sentence)
    if said is not None:
        count.whole += said
        count.wrong += not said
    elif bare in {_in_digits(value) for value in (target.value, *target.also)}:
        count.bare += 1
    elif bare in {_in_digits(candidate) for candidate in target.candidates}:
        count.wrong += 1
    elif sentence in CLOSINGS:
        count.closed += 1
    elif sentence in target.remarks:
        count.added += 1
    else:
        claim = claim_of(sentence)
        if claim is None:
            others = mentions(sentence, target.candidates) - {target.value, *target.also}
            count.wrong += bool(others)
            count.drift += 1
        elif not claim.true:
            count.false += 1
        elif claim.key in target.related:
            count.added += 1
        else:
            count.drift += 1
