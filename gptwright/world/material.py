"""The facts as ready sentences, and even draws of them: what every source's documents are made from.

A group of facts has a title and a few facts, of one subject or of one relation. Every fact is drawn equally often,
however many its subject or relation has: kinds and relations are drawn in proportion to their facts.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from gptwright.world.arithmetic import ALL_SUMS, SUM_QUESTIONS, Sum
from gptwright.world.facts import FACTS, RELATIONS, Fact, values_of
from gptwright.world.lexicon import CATEGORIES, NAME_STYLES, NUMBER_WORDS

LISTABLE: dict[str, tuple[str, ...]] = CATEGORIES | NAME_STYLES
"""What lists are made of: things by category and names by style."""
LIST_TITLES: tuple[str, ...] = tuple(LISTABLE)

KIND_TITLES: dict[str, str] = {
    "country": "Countries",
    "animal": "Animals",
    "element": "Elements",
    "planet": "Planets",
    "month": "Months",
    "day": "Days",
    "paint": "Colours",
    "thing": "Colours",
    "word": "Opposites",
    "tool": "Tools",
    "job": "Jobs",
    "body": "The body",
    "noun": "Words",
    "verb": "Words",
}
_GROUP_FACTS = 5
"""About how many facts a group holds."""


@dataclass(frozen=True)
class FactGroup:
    """Facts that belong on one page: its title ("France"), and its topic in the plural ("countries")."""

    title: str
    topic: str
    facts: tuple[Fact, ...]


def _rendered(fact: Fact) -> tuple[str, ...]:
    """All wordings; the answer's stands once more, because it is the one that assistants use."""
    relation = RELATIONS[fact.relation]
    return tuple(fact.say(template) for template in (relation.answer, *relation.statements, *relation.reverse))


_STATEMENTS: dict[Fact, tuple[str, ...]] = {fact: _rendered(fact) for fact in FACTS}
_QUESTIONS: dict[Fact, tuple[str, ...]] = {
    fact: tuple(fact.say(template) for template in RELATIONS[fact.relation].questions[:-1]) for fact in FACTS
}
_BY_RELATION: dict[str, tuple[Fact, ...]] = {
    name: tuple(fact for fact in FACTS if fact.relation == name) for name in RELATIONS
}


def _by_subject(kind: str) -> tuple[tuple[Fact, ...], ...]:
    facts = [fact for fact in FACTS if RELATIONS[fact.relation].kind == kind]
    subjects = dict.fromkeys(fact.subject for fact in facts)
    return tuple(tuple(fact for fact in facts if fact.subject == subject) for subject in subjects)


_BY_KIND: dict[str, tuple[tuple[Fact, ...], ...]] = {kind: _by_subject(kind) for kind in KIND_TITLES}


def statement(rng: random.Random, fact: Fact) -> str:
    """A true sentence."""
    return rng.choice(_STATEMENTS[fact])


def doubtful_statement(rng: random.Random, fact: Fact, wrong_share: float) -> str:
    """A sentence that is wrong in this share of draws, with another value of the same relation."""
    if rng.random() >= wrong_share:
        return rng.choice(_STATEMENTS[fact])
    wrong = rng.choice([value for value in values_of(fact.relation) if value != fact.value])
    relation = RELATIONS[fact.relation]
    return rng.choice((*relation.statements, *relation.reverse)).format(subject=fact.subject, value=wrong)


def question(rng: random.Random, fact: Fact) -> str:
    """In one of the wordings that documents may use."""
    return rng.choice(_QUESTIONS[fact])


def any_fact(rng: random.Random) -> Fact:
    return rng.choice(FACTS)


def facts_of_subjects(rng: random.Random) -> FactGroup:
    """All facts of one subject, or of several where each has few."""
    kind = RELATIONS[any_fact(rng).relation].kind
    subjects = _BY_KIND[kind]
    facts_each = sum(len(facts) for facts in subjects) / len(subjects)
    count = min(len(subjects), max(1, round(_GROUP_FACTS / facts_each)))
    chosen = rng.sample(subjects, count)
    plural = KIND_TITLES[kind]
    title = plural if count > 1 else chosen[0][0].subject
    return FactGroup(title[0].upper() + title[1:], plural.lower(), tuple(fact for facts in chosen for fact in facts))


def facts_of_relation(rng: random.Random) -> FactGroup:
    """A few facts of one relation."""
    relation = RELATIONS[any_fact(rng).relation]
    facts = _BY_RELATION[relation.name]
    title = KIND_TITLES[relation.kind]
    return FactGroup(title, title.lower(), tuple(rng.sample(facts, min(_GROUP_FACTS, len(facts)))))


def fact_group(rng: random.Random) -> FactGroup:
    """Of either sort, or facts of all sorts mixed."""
    draw = rng.random()
    if draw < 0.45:
        return facts_of_subjects(rng)
    if draw < 0.85:
        return facts_of_relation(rng)
    return FactGroup("Facts", "facts", tuple(rng.sample(FACTS, _GROUP_FACTS)))


def any_sum(rng: random.Random) -> Sum:
    return rng.choice(ALL_SUMS)


def sum_lines(rng: random.Random, count: int) -> str:
    """True statements of sums, one a line."""
    return "\n".join(any_sum(rng).statement(rng) for _ in range(count))


def sum_question(rng: random.Random, asked: Sum) -> str:
    return asked.ask(rng.choice(SUM_QUESTIONS[:-1]))


def listing(rng: random.Random) -> tuple[str, list[str]]:
    """A list's title and its entries: ("three fruits", ["apple", "plum", "pear"])."""
    title = rng.choice(LIST_TITLES)
    count = rng.randint(2, 6)
    return f"{NUMBER_WORDS[count]} {title}", rng.sample(LISTABLE[title], count)


def joined(entries: list[str]) -> str:
    """joined(["apple", "plum", "pear"]) -> "apple, plum and pear"."""
    return f"{', '.join(entries[:-1])} and {entries[-1]}"
