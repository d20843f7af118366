"""Reading what an answer says: its sentences, and which of them state a fact, truly or falsely.

    claim_of("The capital of France is Rome.") -> Claim("capital", "France", "Rome", true=False)
    claim_of("3 plus 4 is 7.")                 -> Claim("plus", "3/4", "7", true=True)

A sentence is a claim when it fits a statement of a relation and its subject is one of that relation's. Statements taken
from the prompt, such as a passage's, are not the answer's own and are the caller's to leave out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache

from gptwright.world.arithmetic import SIGNS, Operator, Sum
from gptwright.world.facts import FACTS, RELATIONS, Fact, facts_about, value_of, values_of
from gptwright.world.splits import Side, fact_side

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_SUM = re.compile(r"(\d{1,4}) (plus|minus|times|[-+*]) (\d{1,4}) (?:is|equals|=) (-?\d{1,6})\.?")
_OPERATORS: dict[str, Operator] = {**{operator: operator for operator in SIGNS}, **{s: o for o, s in SIGNS.items()}}


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement of a fact; `relation` is the operator and `subject` "3/4" where it is a sum."""

    relation: str
    subject: str
    value: str
    true: bool

    @property
    def key(self) -> str:
        return f"{self.relation}/{self.subject}"


def sentences(text: str) -> list[str]:
    """Split at sentence ends and line breaks. sentences("A b. C?") -> ["A b.", "C?"]."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]


@cache
def _statement_patterns() -> dict[str, list[tuple[str, re.Pattern[str], bool]]]:
    """Relation, pattern and whether its wording is its own, by the pattern's first word ("" if that is a placeholder).

    "The {subject} {value}." fits almost anything, so such a wording makes a claim only with a value of its relation.
    """
    patterns: dict[str, list[tuple[str, re.Pattern[str], bool]]] = {}
    for relation in RELATIONS.values():
        for template in (*relation.statements, *relation.reverse):
            escaped = re.escape(template)
            for slot in ("subject", "value"):
                escaped = escaped.replace(re.escape("{" + slot + "}"), f"(?P<{slot}>.+)")
            own_words = len(re.sub(r"\{\w+\}|\W", " ", template).split()) >= 3
            first = template.split()[0]
            patterns.setdefault("" if "{" in first else first, []).append(
                (relation.name, re.compile(escaped), own_words)
            )
    return patterns


@cache
def _values() -> dict[str, frozenset[str]]:
    return {name: frozenset(values_of(name)) for name in RELATIONS}


@cache
def _truths() -> dict[tuple[str, str], str]:
    return {(fact.relation, fact.subject): fact.value for fact in FACTS}


@lru_cache(maxsize=1 << 16)
def claim_of(sentence: str) -> Claim | None:
    """The fact that a sentence states; where it fits several, a true reading wins, then one with a known value."""
    added = _SUM.fullmatch(sentence)
    if added:
        left, sign, right, value = added.groups()
        said = Sum(int(left), _OPERATORS[sign], int(right))
        return Claim(said.operator, f"{said.left}/{said.right}", value, said.value == int(value))
    found: Claim | None = None
    first = sentence.split(" ", 1)[0]
    for relation, pattern, own_words in (*_statement_patterns().get(first, ()), *_statement_patterns()[""]):
        match = pattern.fullmatch(sentence)
        if not match:
            continue
        subject, value = match["subject"], match["value"]
        truth = _truths().get((relation, subject))
        if truth is None:
            continue
        known = value in _values()[relation]
        if value.startswith("not ") and value != f"not {truth}":  # a true denial states no value
            continue
        if value == truth or value.startswith(f"{truth}, "):  # "Warsaw, not Rome"
            return Claim(relation, subject, value, true=True)
        if known or (own_words and found is None):
            found = Claim(relation, subject, value, true=False)
    return found


@cache
def related(fact: Fact) -> tuple[Fact, ...]:
    """True additions that fit an answer with this fact: more on its subject, else more with its value."""
    more = facts_about(fact.subject) + facts_about(fact.value)
    if not more[1:]:
        more += tuple(other for other in FACTS if (other.relation, other.value) == (fact.relation, fact.value))
    return tuple(other for other in dict.fromkeys(more) if other != fact)


def may_show(other: Side, asked: Side) -> bool:
    """Whether a demonstration may add something of one side to an answer on another: it must leak nothing held out."""
    return other in ("train", asked)


def side_of_fact(fact: Fact) -> Side:
    """Opposites are one fact said both ways, so both ways lie on one side."""
    if fact.relation == "opposite":
        return fact_side("opposite/" + "/".join(sorted((fact.subject, fact.value))))
    return fact_side(fact.key)


def side_of_sum(asked: Sum) -> Side:
    """3 plus 4 and 4 plus 3 lie on one side."""
    if asked.operator == "minus":
        return fact_side(asked.key)
    low, high = sorted((asked.left, asked.right))
    return fact_side(Sum(low, asked.operator, high).key)


def find_fact(key: str) -> Fact:
    relation, subject = key.split("/", 1)
    return Fact(relation, subject, value_of(relation, subject))
