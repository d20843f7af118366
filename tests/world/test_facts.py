"""Facts are true by table, asked and answered in whole sentences, and sums are right."""

from __future__ import annotations

import random
import re

import pytest

from gptwright.world.arithmetic import ALL_SUMS, SUM_QUESTIONS, Sum
from gptwright.world.facts import FACTS, RELATIONS, Fact, facts_about, value_of, values_of


@pytest.mark.parametrize(
    ("relation", "subject", "value"),
    [
        ("capital", "France", "Paris"),
        ("continent", "Peru", "South America"),
        ("language", "Brazil", "Portuguese"),
        ("river", "Egypt", "Nile"),
        ("class", "whale", "mammal"),
        ("legs", "spider", "eight"),
        ("young", "cow", "calf"),
        ("symbol", "iron", "Fe"),
        ("number", "gold", "79"),
        ("place", "Mars", "fourth"),
        ("days", "February", "28"),
        ("season", "May", "spring"),
        ("next_month", "December", "January"),
        ("next_day", "Sunday", "Monday"),
        ("mixture", "red and yellow", "orange"),
        ("opposite", "small", "big"),
        ("plural", "mouse", "mice"),
        ("past", "go", "went"),
    ],
)
def test_known_truths(relation: str, subject: str, value: str) -> None:
    assert value_of(relation, subject) == value


def test_keys_are_unique_and_every_relation_has_facts() -> None:
    keys = [fact.key for fact in FACTS]
    assert len(set(keys)) == len(keys) >= 500
    assert {fact.relation for fact in FACTS} == set(RELATIONS)


def test_there_are_six_wordings_and_five_questions_of_each_relation() -> None:
    for relation in RELATIONS.values():
        assert len({*relation.statements, *relation.reverse}) >= 6, relation.name
        assert len(set(relation.questions)) >= 5, relation.name


def test_questions_name_the_subject_and_never_the_value() -> None:
    for relation in RELATIONS.values():
        assert all("{subject}" in question and "{value}" not in question for question in relation.questions)


def test_answer_is_a_whole_sentence_with_subject_and_value() -> None:
    assert Fact("capital", "France", "Paris").answer == "The capital of France is Paris."
    for fact in FACTS:
        assert fact.subject in fact.answer and fact.value in fact.answer and fact.answer.endswith(".")


def test_no_wording_needs_the_article_an() -> None:
    for fact in FACTS:
        relation = RELATIONS[fact.relation]
        for template in (*relation.statements, *relation.reverse, *relation.questions):
            assert not re.search(r"\ba [aeiou](?!se)", fact.say(template)), fact.say(template)


def test_sentences_begin_with_a_capital_or_a_number() -> None:
    for fact in FACTS:
        for template in (*RELATIONS[fact.relation].statements, *RELATIONS[fact.relation].reverse):
            assert re.match(r"[A-Z0-9]", fact.say(template)), fact.say(template)


def test_facts_about_a_subject_and_values_of_a_relation() -> None:
    assert [fact.value for fact in facts_about("France")] == ["Paris", "Europe", "French", "Seine"]
    assert facts_about("Atlantis") == ()
    assert values_of("season") == ("winter", "spring", "summer", "autumn")


def test_sums_by_hand() -> None:
    assert Sum(3, "plus", 4).value == 7
    assert Sum(9, "minus", 4).value == 5
    assert Sum(6, "times", 7).value == 42
    assert Sum(3, "plus", 4).key == "plus/3/4"
    assert Sum(3, "plus", 4).answer == "3 plus 4 is 7."
    assert Sum(3, "plus", 4).ask(SUM_QUESTIONS[2]) == "What is 3 + 4?"


def test_all_sums_are_distinct_and_differences_are_small() -> None:
    assert len({each.key for each in ALL_SUMS}) == len(ALL_SUMS) == 121 + 108 + 81
    assert all(0 <= each.value <= 10 for each in ALL_SUMS if each.operator == "minus")


def test_equations_among_the_statements_hold() -> None:
    rng = random.Random(1)
    seen = 0
    for each in ALL_SUMS:
        for _ in range(5):
            equation = re.fullmatch(r"(\d+) ([-+*]) (\d+) = (\d+)", each.statement(rng))
            if equation:
                left, sign, right, value = equation.groups()
                wanted = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}[sign](int(left), int(right))
                assert wanted == int(value)
                seen += 1
    assert seen > 100
