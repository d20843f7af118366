"""Our own poems and haiku have no faults, and each fault is found in a spoilt one."""

from __future__ import annotations

import random

import pytest

from gptwright.errors import InputError
from gptwright.world.lexicon import HAIKU_TOPICS, NOUNS
from gptwright.world.verse import haiku, haiku_faults, poem, poem_faults

GOOD_POEM = (
    "I love the bread, I always do,\nI keep a little just for you.\nThe cheese comes, the cheese goes,\nno one knows."
)
GOOD_HAIKU = "The moon in the sun,\nthe river whispers a song,\nspring is here again."


def test_500_poems_have_no_faults() -> None:
    rng = random.Random(1)
    for _ in range(500):
        one, other = rng.sample(tuple(NOUNS), 2)
        text = poem(rng, one, other)
        assert poem_faults(text, one, other) == [], text


def test_500_haiku_have_no_faults() -> None:
    rng = random.Random(2)
    for _ in range(500):
        word = rng.choice(HAIKU_TOPICS)
        text = haiku(rng, word)
        assert haiku_faults(text, word) == [], text


def test_poems_keep_their_sentences_whole_and_crossed_rhymes_are_right_too() -> None:
    lines = poem(random.Random(3), "bread", "moon").splitlines()
    assert lines[1].endswith(".")
    crossed = "\n".join((lines[0], lines[2], lines[1].replace(".", ","), lines[3]))
    assert poem_faults(crossed, "bread", "moon") == []


def test_same_seed_same_poem() -> None:
    assert poem(random.Random(4), "bread", "cheese") == poem(random.Random(4), "bread", "cheese")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("bread", "salt", "the word 'bread' is missing"),
        ("goes,\n", "goes, ", "3 lines instead of 4"),
        ("just for you", "just for me", "don't rhyme"),
        ("just for you", "always do", "don't rhyme"),
        ("no one knows.", "no one knows,", "unfinished"),
        ("no one knows.", "knows.", "line 4 has 1 words"),
        ("I love the bread", "I love and love and love and love the bread", "line 1 has 13 words"),
    ],
)
def test_each_fault_of_a_poem_is_found(old: str, new: str, fault: str) -> None:
    assert poem_faults(GOOD_POEM, "bread", "cheese") == []
    assert any(fault in found for found in poem_faults(GOOD_POEM.replace(old, new), "bread", "cheese"))


def test_a_repeated_line_is_a_fault() -> None:
    lines = GOOD_POEM.splitlines()
    found = poem_faults("\n".join((lines[0], lines[1], lines[0], lines[1])), "bread", "bread")
    assert "a line is repeated" in found


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("moon", "tea", "the word 'moon' is missing"),
        ("song,\n", "song, ", "2 lines instead of 3"),
        ("whispers", "sings", "line 2 has 6 syllables instead of 7"),
        ("river", "zephyr", "can't be counted: zephyr"),
        ("again.", "again", "unfinished"),
    ],
)
def test_each_fault_of_a_haiku_is_found(old: str, new: str, fault: str) -> None:
    assert haiku_faults(GOOD_HAIKU, "moon") == []
    assert any(fault in found for found in haiku_faults(GOOD_HAIKU.replace(old, new), "moon"))


def test_case_does_not_matter() -> None:
    assert poem_faults(GOOD_POEM.upper(), "Bread", "CHEESE") == []
    assert haiku_faults(GOOD_HAIKU.upper(), "Moon") == []


def test_empty_text_is_faulty_and_not_an_error() -> None:
    assert poem_faults("", "bread", "cheese")[0] == "0 lines instead of 4"
    assert haiku_faults(" \n", "moon")[0] == "0 lines instead of 3"


def test_a_long_word_is_refused() -> None:
    with pytest.raises(InputError, match="'bicycle'"):
        haiku(random.Random(1), "bicycle")
