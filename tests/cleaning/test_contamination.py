"""Runs of words of evaluation texts, found in documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptwright.cleaning.contamination import Contamination, Text, load_contamination
from gptwright.cleaning.settings import Decontamination
from gptwright.data.jsonl import write_jsonl
from gptwright.errors import InputError

ALPHABET = "alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november oscar papa"


def index(*texts: str, asks: bool = False) -> Contamination:
    return Contamination((Text("test", text, asks) for text in texts), Decontamination(world=True))


def test_thirteen_equal_words_are_found_whatever_the_punctuation() -> None:
    words = ALPHABET.split()
    assert index(ALPHABET).find("He said: " + ", ".join(words[2:15]).upper() + "!") is not None
    assert index(ALPHABET).find(" ".join(words[2:14])) is None  # twelve


def test_a_short_text_is_looked_for_whole() -> None:
    short = index("This is the name of the tallest mountain")  # eight words
    hit = short.find("Quiz: this is the name of the tallest mountain! Everest.")
    assert hit == ("test", "this is the name of the tallest mountain")
    assert short.find("This is the name of the tallest tree") is None
    assert len(index("This is the name of the mountain")) == 0  # seven


def test_a_question_is_found_from_four_words_on_and_an_answer_is_not() -> None:
    assert index("How old is Rome? ").find("They asked: how old is Rome?") == ("test", "how old is rome")
    assert index("How old is Rome?").find("How old is Romes") is None  # whole words
    assert len(index("Who is Rome?")) == 0
    assert len(index("during World War II")) == 0
    assert index("Write about the fog.", asks=True).find("Task: write about the fog.") is not None


def test_of_runs_that_begin_alike_each_is_found() -> None:
    both = index("How old is Rome?", "How old is Rome in the year of the Lord?")
    hit = both.find("How old is Rome in the year of the Lord?")
    assert hit and hit.words.startswith("how old is rome")
    assert (
        index("How old is Rome in the north?", "How old is Rome in Ohio?").find("how old is rome in ohio") is not None
    )


def test_a_text_that_stands_in_many_rows_is_no_template() -> None:
    assert index(*[ALPHABET] * 20).find(ALPHABET) is not None


def test_words_that_many_texts_share_are_their_template() -> None:
    template = "Answer the question below with one word and nothing else please thank you"
    texts = [f"{template} {word} {word} {word}" for word in ALPHABET.split()]
    assert index(*texts).find(template) is None
    assert index(*texts).find(texts[3]) is not None
    assert index(*texts[:10]).find(template) is not None


def test_every_text_of_a_row_counts(tmp_path: Path) -> None:
    row = {"id": 1, "turns": [{"content": ALPHABET}], "choices": ["no", "yes"]}
    write_jsonl(tmp_path / "quiz.jsonl", [row])
    loaded = load_contamination(Decontamination(files=(str(tmp_path),)))
    hit = loaded.find(f"... {ALPHABET} ...")
    assert hit and hit.origin == "quiz"


@pytest.mark.parametrize("seed", [0, 3, 9])
def test_the_prompts_of_the_worlds_evaluation_are_found_whichever_seed_draws_them(seed: int) -> None:
    from gptwright.recipe import EvaluateSettings  # noqa: PLC0415
    from gptwright.world import prompts  # noqa: PLC0415

    asked = prompts("test", EvaluateSettings().prompts, seed=seed)
    loaded = load_contamination(Decontamination(world=True))
    missed = [p for p in asked if not any(loaded.find(f"Somebody wrote: {turn.content}") for turn in p.messages)]
    # All but a few of three words.
    assert len(missed) < 0.01 * len(asked)
    assert all(len(turn.content.split()) < 4 for prompt in missed for turn in prompt.messages)


def test_nothing_to_look_for_is_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "short.jsonl", [{"q": "Why?"}])
    with pytest.raises(InputError, match=r"no evaluation text has 8 words or more, and no question 4; lower"):
        load_contamination(Decontamination(files=(str(tmp_path / "short.jsonl"),)))
