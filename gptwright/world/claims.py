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

from gptwright.world.arithmetic import SIGNS, STATEMENTS, STORIES, Operator, Sum
from gptwright.world.facts import FACTS, RELATIONS, Fact, facts_about, value_of, values_of
from gptwright.world.lexicon import DIGITS, NUMBER_WORDS
from gptwright.world.splits import Side, fact_side
from gptwright.world.tables_earth import ALSO_TRUE, SEVERAL_TRUTHS

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"[a-z]+")
_SLOTS = {
    "left": r"\d{1,4}", "right": r"\d{1,4}", "value": r"-?\d{1,6}", "operator": "plus|minus|times", "sign": "[-+*]",
    "things": r"\w+",
}  # fmt: skip
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


@cache
def _sum_patterns() -> tuple[tuple[re.Pattern[str], Operator | None], ...]:
    """Every wording of a sum, and its operator where the words alone tell it."""
    wordings: dict[str, Operator | None] = dict.fromkeys((*STATEMENTS, "{left} {sign} {right} is {value}"))
    wordings |= {template: operator for operator, template in STORIES.items()}
    patterns = []
    for template, operator in wordings.items():
        escaped = re.escape(template.rstrip(".").lower())
        for slot, pattern in _SLOTS.items():
            first, *rest = escaped.split(re.escape("{" + slot + "}"))
            if rest:
                escaped = f"(?P={slot})".join((f"{first}(?P<{slot}>{pattern}){rest[0]}", *rest[1:]))
        patterns.append((re.compile(escaped), operator))
    return tuple(patterns)


def _sum_of(sentence: str) -> Claim | None:
    """The sum that a sentence states, its numbers in digits or in words."""
    plain = _WORD.sub(lambda word: DIGITS.get(word[0], word[0]), sentence.rstrip(".!").lower())
    for pattern, operator in _sum_patterns():
        match = pattern.fullmatch(plain)
        if match:
            sign = operator or _OPERATORS[match.groupdict().get("operator") or match["sign"]]
            said = Sum(int(match["left"]), sign, int(match["right"]))
            return Claim(sign, f"{said.left}/{said.right}", match["value"], said.value == int(match["value"]))
    return None


@lru_cache(maxsize=1 << 16)
def claim_of(sentence: str) -> Claim | None:
    """The fact that a sentence states, whatever its first letter and its end mark; where it fits several, a true
    reading wins, then one with a known value.
    """
    if sentence.endswith("?"):
        return None
    written = f"{sentence.rstrip('.! ')}.".replace(" comes right after ", " comes after ")
    return _sum_of(sentence) or _fact_of(written) or _fact_of(f"{written[0].upper()}{written[1:]}")


def _fact_of(sentence: str) -> Claim | None:
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
        value, values = _as_listed(value, relation), _values()[relation]
        if value.startswith("not ") and value != f"not {truth}":  # a true denial states no value
            continue
        if value in {truth, *ALSO_TRUE.get((relation, subject), ())} or _goes_on(value, truth, values):
            return Claim(relation, subject, value, true=True)
        # Of what is no value here, only another name or number is surely false: "a city" may well be true.
        names = truth[0].isupper() and value[0].isupper() and relation not in SEVERAL_TRUTHS
        surely = names or (_is_number(truth) and _is_number(value))
        if value in values or (own_words and surely and found is None):
            found = Claim(relation, subject, value, true=False)
    return found


def _as_listed(value: str, relation: str) -> str:
    """A small number as the relation's table has it, in digits or in words."""
    if value in _values()[relation]:
        return value
    digits = DIGITS.get(value, value)
    words = NUMBER_WORDS[int(digits)] if digits.isdecimal() and int(digits) < len(NUMBER_WORDS) else value
    return next((way for way in (digits, words) if way in _values()[relation]), value)


def _is_number(value: str) -> bool:
    return value.isdecimal() or value in DIGITS


def _goes_on(value: str, truth: str, values: frozenset[str]) -> bool:
    """Whether more is said behind the truth that is no other value, unless it is denied: "Warsaw, not Rome"."""
    if value.startswith(f"{truth}, not "):
        return True
    rest = f" {value.removeprefix(f'{truth} ').lower()} "
    return value.startswith(f"{truth} ") and not any(f" {other.lower()} " in rest for other in values)


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
