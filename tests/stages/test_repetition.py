"""Something said twice: lines, items of a list, sentences; always the same for the same generator."""

from __future__ import annotations

import random

import pytest

from gptwright.stages.repetition import said_twice


def variants(answer: str, count: int = 60) -> set[str]:
    return {said_twice(answer, random.Random(seed)) for seed in range(count)}


def test_a_sentence_comes_again_behind_itself_or_in_the_place_of_another() -> None:
    assert variants("It is big. It barks.") == {
        "It is big. It is big.",
        "It is big. It is big. It barks.",
        "It is big. It barks. It is big.",
        "It is big. It barks. It barks.",
    }


def test_an_only_sentence_comes_again() -> None:
    assert variants("It barks.") == {"It barks. It barks."}


def test_an_item_of_a_list_in_a_sentence_takes_the_place_of_a_later_one() -> None:
    made = variants("Three are ant, bee and cow.")
    assert {"Three are ant, ant and cow.", "Three are ant, bee and ant.", "Three are ant, bee and bee."} < made
    assert made - {"Three are ant, ant and cow.", "Three are ant, bee and ant.", "Three are ant, bee and bee."} == {
        "Three are ant, bee and cow. Three are ant, bee and cow."
    }


def test_a_word_from_the_start_loses_its_capital_among_small_words() -> None:
    assert "Red, red, blue." in variants("Red, pink, blue.")
    assert "Ben, Ben, Tom." in variants("Ben, Max, Tom.")


@pytest.mark.parametrize("marks", [("1. ", "2. "), ("1) ", "2) "), ("- ", "- ")])
def test_marked_items_keep_their_marks(marks: tuple[str, str]) -> None:
    one, two = marks
    assert variants(f"Here are two:\n{one}ant\n{two}bee") == {f"Here are two:\n{one}ant\n{two}ant"}


def test_a_line_comes_again() -> None:
    made = variants("a b\nc d\ne f")
    assert {"a b\nc d\ne f\ne f", "a b\na b\ne f", "a b\na b\nc d\ne f"} < made
    assert all(len(set(text.split("\n"))) < len(text.split("\n")) for text in made)


def test_the_same_generator_makes_the_same() -> None:
    text = "One, two and three. Four."
    assert said_twice(text, random.Random(5)) == said_twice(text, random.Random(5))
