"""Runs of words of evaluation texts, found in documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptwright.cleaning.contamination import Contamination, load_contamination
from gptwright.cleaning.settings import Decontamination
from gptwright.data.jsonl import write_jsonl
from gptwright.errors import InputError

ALPHABET = "alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november oscar papa"


def index(*texts: str, n_grams: int = 13, shortest: int = 8) -> Contamination:
    settings = Decontamination(world=True, n_grams=n_grams, shortest=shortest)
    return Contamination((("test", text) for text in texts), settings)


def test_thirteen_equal_words_are_found_whatever_the_punctuation() -> None:
    words = ALPHABET.split()
    assert index(ALPHABET).find("He said: " + ", ".join(words[2:15]).upper() + "!") is not None
    assert index(ALPHABET).find(" ".join(words[2:14])) is None  # twelve


def test_a_short_text_is_looked_for_whole() -> None:
    short = index("What is the name of the tallest mountain?")  # eight words
    hit = short.find("Quiz: what is the name of the tallest mountain? Everest.")
    assert hit == ("test", "what is the name of the tallest mountain")
    assert short.find("What is the name of the tallest tree?") is None
    assert len(index("What is the name of the mountain?")) == 0  # seven


def test_words_that_many_texts_share_are_their_template() -> None:
    template = "Answer the question below with one word and nothing else please thank you"
    texts = [f"{template} {word} {word} {word}" for word in ALPHABET.split()]
    assert index(*texts).find(template) is None
    assert index(*texts).find(texts[3]) is not None
    assert index(*texts[:10]).find(template) is not None


def test_every_text_of_a_row_counts(tmp_path: Path) -> None:
    row = {"id": 1, "turns": [{"content": ALPHABET}], "choices": ["no", "yes"]}
    write_jsonl(tmp_path / "quiz.jsonl", [row])
    loaded = load_contamination(Decontamination(files=(str(tmp_path),)), 0)
    hit = loaded.find(f"... {ALPHABET} ...")
    assert hit and hit.origin == "quiz"


def test_the_worlds_own_prompts_can_be_kept_out() -> None:
    from gptwright.world import prompts  # noqa: PLC0415

    settings = Decontamination(world=True, world_prompts=50)
    asked = [p.messages[-1].content for p in prompts("test", 50, seed=0)]
    long = [text for text in asked if len(text.split()) > 13]
    assert long
    assert all(load_contamination(settings, 0).find(f"Somebody wrote: {text}") for text in long)


def test_nothing_to_look_for_is_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "short.jsonl", [{"q": "Why?"}])
    with pytest.raises(InputError, match=r"no evaluation text has 8 words or more"):
        load_contamination(Decontamination(files=(str(tmp_path / "short.jsonl"),)), 1)
