"""What a passage's fields say stands in its text; sentences have two tenses; reviews are told apart."""

from __future__ import annotations

import random
import re

from gptwright.world.lexicon import CATEGORIES, FEMALE_NAMES, NAME_STYLES, NAMES, NOUNS
from gptwright.world.passages import VERBS, passage, pronoun, review, simple_sentence, tense_pair


def test_every_field_stands_in_the_text() -> None:
    rng = random.Random(1)
    for _ in range(300):
        told = passage(rng)
        for word in (told.person, told.place, told.day, told.item, str(told.count), told.feeling):
            assert re.search(rf"\b{word}\b", told.text), (word, told.text)


def test_passage_has_three_or_four_sentences_and_no_open_slots() -> None:
    rng = random.Random(2)
    for _ in range(300):
        text = passage(rng).text
        assert text.count(".") in (3, 4) and "{" not in text


def test_summary_is_one_sentence_with_its_words_from_the_text() -> None:
    rng = random.Random(3)
    for _ in range(100):
        told = passage(rng)
        assert re.fullmatch(rf"{told.person} \w+ {told.count} {told.item} (at|in) the {told.place}\.", told.summary), (
            told.summary
        )


def test_pronoun_fits_the_name() -> None:
    assert pronoun("Anna") == "she"
    assert pronoun("Tom") == "he"
    assert set(NAMES) >= FEMALE_NAMES


def test_tense_pair_differs_in_the_verb_alone() -> None:
    rng = random.Random(4)
    for _ in range(100):
        present, past = tense_pair(rng)
        verb, past_verb = next((a, b) for a, b in VERBS if f" {a} the" in present)
        assert present.replace(f" {verb} the", f" {past_verb} the") == past != present


def test_simple_sentence_takes_the_wanted_tense() -> None:
    present, past = tense_pair(random.Random(5))
    assert simple_sentence(random.Random(5)) == present
    assert simple_sentence(random.Random(5), "past") == past


def test_no_review_is_both_positive_and_negative() -> None:
    rng = random.Random(6)
    by_text: dict[str, set[str]] = {}
    for _ in range(2000):
        text, sentiment = review(rng)
        by_text.setdefault(text, set()).add(sentiment)
    assert all(len(sentiments) == 1 for sentiments in by_text.values())
    assert {next(iter(sentiments)) for sentiments in by_text.values()} == {"positive", "negative"}


def test_lists_have_enough_distinct_members() -> None:
    assert len(CATEGORIES) == 14
    for members in CATEGORIES.values():
        assert 8 <= len(set(members)) == len(members) <= 12
    for members in NAME_STYLES.values():
        assert 6 <= len(set(members)) == len(members) <= 8


def test_topics_have_adjectives() -> None:
    assert len(NOUNS) >= 120
    assert all(2 <= len(adjectives) <= 3 for adjectives in NOUNS.values())
