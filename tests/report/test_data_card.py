"""The data card's two files."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from gptwright.report import write_data_card


def source(name: str, **other: Any) -> dict[str, Any]:
    return {
        "name": name, "origin": f"{name}/<all>.txt", "licence": None, "share": 0.5, "epochs": 1.25,
        "bytes": 123_456, "documents": 1_234, "tokens": 34_567,
        "held_out": {"bytes": 4_321, "documents": 21, "tokens": 1_111}, "cleaning": None, **other,
    }  # fmt: skip


@pytest.fixture
def card() -> dict[str, Any]:
    removed = {"short": 1_500, "near duplicate": 20}
    cleaning = {"documents_in": 3_040, "documents_out": 1_520, "removed": removed}
    return {
        "recipe": "mine", "tokens_read": 5_000_000, "context": 256, "held_out_share": 0.02,
        "tokenizer": {"fingerprint": "0123", "vocab_size": 2048},
        "sources": [source("books", licence="public domain", cleaning=cleaning), source("web")],
    }  # fmt: skip


def cells(page: str) -> list[list[str]]:
    """The words of each table row."""
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]


def test_the_page_holds_what_the_file_does_and_asks_for_nothing(card: dict[str, Any], tmp_path: Path) -> None:
    write_data_card(tmp_path, card)
    assert json.loads((tmp_path / "card.json").read_text(encoding="utf-8")) == card
    page = (tmp_path / "card.html").read_text(encoding="utf-8")
    rows = cells(page)
    assert ["books", "50.0%", "1.25", "123,456", "1,234", "34,567"] in rows
    assert ["books", "books/&lt;all&gt;.txt", "public domain"] in rows
    assert ["web", "web/&lt;all&gt;.txt", "not stated"] in rows
    assert ["books", "4,321", "21", "1,111"] in rows
    assert ["books", "3,040", "1,520", "50.0%"] in rows
    assert ["short", "books", "1,500"] in rows and ["near duplicate", "books", "20"] in rows
    assert "mine - gptwright data card" in page
    assert re.findall(r"""(?:src|href)=["'](?!data:|#)[^"']*|@import|url\(|<script""", page) == []


def test_a_corpus_that_was_not_cleaned_says_so(card: dict[str, Any], tmp_path: Path) -> None:
    card["sources"] = [source("web")]
    write_data_card(tmp_path, card)
    assert "No source was cleaned by gptwright data clean" in (tmp_path / "card.html").read_text(encoding="utf-8")


def test_without_jinja2_there_is_the_file_alone(
    card: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    write_data_card(tmp_path, card)
    assert [path.name for path in tmp_path.iterdir()] == ["card.json"]
