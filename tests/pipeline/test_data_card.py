"""The data card: what was read, from where, under which terms, and what cleaning took away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gptwright.cleaning.run import clean
from gptwright.cleaning.settings import load_settings
from gptwright.data.jsonl import write_jsonl
from gptwright.errors import InputError
from gptwright.pipeline.data_card import data_card, what_was_cleaned
from gptwright.recipe import Recipe

COUNTS = {
    "epochs": 2.0, "bytes": 900, "documents": 9, "tokens": 300,
    "held_out_bytes": 90, "held_out_documents": 1, "held_out_tokens": 30,
}  # fmt: skip


def card_of(**data: Any) -> dict[str, dict[str, Any]]:
    """The card's sources by name; every source has the same counts."""
    recipe = Recipe.model_validate({"name": "mine", "data": data})
    names = list(data.get("sources", {"text": None} if "files" in data else {"web": None, "books": None}))
    entries = [{"name": name, "share": 1 / len(names), **COUNTS} for name in names]
    card = data_card(recipe, {"tokenizer": "0123", "sources": entries}, 276, what_was_cleaned(recipe))
    assert (card["recipe"], card["tokenizer"]) == ("mine", {"fingerprint": "0123", "vocab_size": 276})
    return {source["name"]: source for source in card["sources"]}


@pytest.fixture
def books(tmp_path: Path) -> Path:
    """Cleaned text as `gptwright data clean` leaves it: one file of novels, two of plays, one that it did not write."""
    for name in ("novels.jsonl.gz", "plays/000.jsonl", "plays/001.jsonl", "other.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text", encoding="utf-8")
    sources = {
        "novels": {"documents_in": 100, "documents_out": 70, "removed": {"short": 20, "duplicate": 10}},
        "plays": {"documents_in": 50, "documents_out": 45, "removed": {"duplicate": 5}},
        "letters": {"documents_in": 7, "documents_out": 0, "removed": {"short": 7}},
    }
    (tmp_path / "cleaning.json").write_text(json.dumps({"sources": sources}), encoding="utf-8")
    return tmp_path


def test_every_source_has_its_counts_origin_and_licence(books: Path) -> None:
    cards = card_of(
        sources={
            "mine": {"files": str(books / "other.txt"), "share": 1, "licence": "public domain"},
            "hub": {"hub": "owner/name", "config": "en", "revision": "abc", "share": 1},
            "code": {"builtin": "python", "share": 1},
            "world": {"builtin": "world", "share": 1},
        }
    )
    assert cards["mine"] == {
        "name": "mine",
        "origin": str(books / "other.txt"),
        "licence": "public domain",
        "share": 0.25,
        "epochs": 2.0,
        "bytes": 900,
        "documents": 9,
        "tokens": 300,
        "held_out": {"bytes": 90, "documents": 1, "tokens": 30},
        "cleaning": None,
    }
    assert (cards["hub"]["origin"], cards["hub"]["licence"]) == (
        "owner/name (config en, split train, revision abc)",
        None,
    )
    assert cards["code"]["licence"] == "Python Software Foundation License"
    assert cards["world"]["licence"] == "Apache-2.0, as gptwright"


def test_the_default_world_has_a_card_too() -> None:
    assert {card["licence"] for card in card_of().values()} == {"Apache-2.0, as gptwright"}


def test_cleaning_counts_are_those_of_the_files_that_are_read(books: Path) -> None:
    one = card_of(sources={"a": {"files": str(books / "novels.jsonl.gz"), "share": 1}})
    assert one["a"]["cleaning"] == {
        "documents_in": 100, "documents_out": 70, "removed": {"short": 20, "duplicate": 10}
    }  # fmt: skip
    folder = card_of(files=str(books / "plays"))
    assert folder["text"]["cleaning"] == {"documents_in": 50, "documents_out": 45, "removed": {"duplicate": 5}}
    both = card_of(files=str(books))
    assert both["text"]["cleaning"] == {
        "documents_in": 150, "documents_out": 115, "removed": {"short": 20, "duplicate": 15}
    }  # fmt: skip
    # A file of another name is known by the name of its source.
    named = card_of(sources={"letters": {"files": str(books / "other.txt"), "share": 1}})
    assert named["letters"]["cleaning"]["removed"] == {"short": 7}


@pytest.mark.parametrize("content", ["{", "[]", '{"sources": {"novels": {"documents_in": 3}}}', '{"sources": 5}'])
def test_a_damaged_cleaning_file_is_named(books: Path, content: str) -> None:
    (books / "cleaning.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"cleaning\.json is damaged .*clean the files again, or delete it"):
        card_of(files=str(books))


def test_the_card_finds_what_a_real_cleaning_left(tmp_path: Path) -> None:
    pytest.importorskip("datatrove")
    rows = [f"The river number {n} runs to the sea, and that is where it ends with all of its water." for n in range(5)]
    write_jsonl(tmp_path / "notes.jsonl", [{"text": text} for text in [*rows, rows[0]]])
    filters = ["language", "gopher_repetition", "gopher_quality", "c4", "fineweb", "near_duplicates", "decontaminate"]
    settings = load_settings(
        None, {"notes": str(tmp_path / "notes.jsonl")}, ["executor.workers=1", *(f"{name}=null" for name in filters)]
    )
    clean(settings, tmp_path / "out", lambda folder: None)
    expected = {"documents_in": 6, "documents_out": 5, "removed": {"duplicate/exact": 1}}
    for files in (tmp_path / "out" / "documents", tmp_path / "out" / "documents" / "notes"):
        assert card_of(sources={"notes": {"files": str(files), "share": 1}})["notes"]["cleaning"] == expected


def test_sources_that_the_finish_brings_are_on_the_card() -> None:
    finish = {"books": {"share": 1}, "code": {"builtin": "python", "share": 1}}
    recipe = Recipe.model_validate({"name": "mine", "data": {"finish": {"sources": finish}}})
    entries = [{"name": name, "share": 0.5, **COUNTS} for name in ("books", "code")]
    card = data_card(recipe, {"tokenizer": "0123", "sources": entries}, 276, what_was_cleaned(recipe))
    assert [source["origin"] for source in card["sources"]] == [
        "the built-in world, written by gptwright", "the standard library of Python"
    ]  # fmt: skip
