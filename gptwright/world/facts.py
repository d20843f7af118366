"""The facts of the small world: about 550 true statements, each a relation, a subject and a value.

    value_of("capital", "France") -> "Paris"
    Fact("capital", "France", "Paris").answer -> "The capital of France is Paris."

The tables are in `tables_earth` and `tables_life`, the wordings in `relations_earth` and `relations_life`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from gptwright.world import tables_earth as earth
from gptwright.world import tables_life as life
from gptwright.world.relations import Relation
from gptwright.world.relations_earth import EARTH_RELATIONS
from gptwright.world.relations_life import LIFE_RELATIONS

__all__ = ["FACTS", "RELATIONS", "Fact", "Relation", "facts_about", "value_of", "values_of"]

RELATIONS: dict[str, Relation] = {relation.name: relation for relation in (*EARTH_RELATIONS, *LIFE_RELATIONS)}


@dataclass(frozen=True)
class Fact:
    """One truth: its `value` is what `relation` gives for `subject`."""

    relation: str
    subject: str
    value: str

    @property
    def key(self) -> str:
        return f"{self.relation}/{self.subject}"

    @property
    def answer(self) -> str:
        """The one full-sentence answer to each of the relation's questions."""
        return self.say(RELATIONS[self.relation].answer)

    def say(self, template: str) -> str:
        """A statement or question template of this fact's relation, filled in."""
        return template.format(subject=self.subject, value=self.value)


def _columns(names: Iterable[str], table: Mapping[str, tuple[str, ...]]) -> Iterator[Fact]:
    """Facts from a table with several values per subject; an empty value is no fact."""
    for subject, values in table.items():
        for name, value in zip(names, values, strict=True):
            if value:
                yield Fact(name, subject, value)


def _single(name: str, table: Mapping[str, str]) -> Iterator[Fact]:
    for subject, value in table.items():
        yield Fact(name, subject, value)


def _cycle(name: str, members: tuple[str, ...]) -> Iterator[Fact]:
    for i, member in enumerate(members):
        yield Fact(name, member, members[(i + 1) % len(members)])


def _both_ways(name: str, pairs: Iterable[tuple[str, str]]) -> Iterator[Fact]:
    for one, other in pairs:
        yield Fact(name, one, other)
        yield Fact(name, other, one)


FACTS: tuple[Fact, ...] = (
    *_columns(("capital", "continent", "language", "river"), earth.COUNTRIES),
    *_columns(("symbol", "number"), earth.ELEMENTS),
    *_single("place", earth.PLANETS),
    *_columns(("days", "season"), earth.MONTHS),
    *_cycle("next_month", tuple(earth.MONTHS)),
    *_cycle("next_day", earth.DAYS),
    *_columns(("class", "legs", "home", "young", "sound"), life.ANIMALS),
    *_single("mixture", life.MIXED_COLOURS),
    *_single("colour", life.COLOURS_OF_THINGS),
    *_both_ways("opposite", life.OPPOSITES),
    *_single("use", life.TOOL_USES),
    *_single("workplace", life.WORKPLACES),
    *_single("body", life.BODY_USES),
    *_single("plural", life.PLURALS),
    *_single("past", life.PAST_TENSES),
)

_VALUES: dict[tuple[str, str], str] = {(fact.relation, fact.subject): fact.value for fact in FACTS}
_BY_SUBJECT: dict[str, tuple[Fact, ...]] = {
    subject: tuple(fact for fact in FACTS if fact.subject == subject)
    for subject in dict.fromkeys(fact.subject for fact in FACTS)
}
_DISTINCT_VALUES: dict[str, tuple[str, ...]] = {
    name: tuple(dict.fromkeys(fact.value for fact in FACTS if fact.relation == name)) for name in RELATIONS
}


def facts_about(subject: str) -> tuple[Fact, ...]:
    """Every fact of this subject, in table order; none for a subject that the world doesn't know."""
    return _BY_SUBJECT.get(subject, ())


def values_of(relation_name: str) -> tuple[str, ...]:
    """The distinct values of a relation, in table order: what a wrong answer may be drawn from."""
    return _DISTINCT_VALUES[relation_name]


def value_of(relation: str, subject: str) -> str:
    """The true value; KeyError for what the world doesn't know, which is a mistake of the caller's."""
    return _VALUES[(relation, subject)]
