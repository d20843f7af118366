"""The page of a cleaning: every reason is explained, every example shown, nothing is fetched."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gptwright.report.cleaning_page import meaning, write_cleaning_page

pytest.importorskip("jinja2", reason="the extra `report` is not installed")

SOURCE = {
    "documents_in": 1234,
    "documents_out": 1000,
    "characters_in": 2_000_000,
    "characters_out": 1_500_000,
    "removed": {"gopher_quality/short_doc": 200, "duplicate/near": 34},
    "trimmed": {"c4/line_policy": {"number": 7, "characters": 300}},
    "redacted": {"email": 5},
    "examples": {
        "gopher_quality/short_doc": [{"id": "a", "text": "Too <b>short"}],
        "duplicate/near": [{"id": "b", "text": "copy", "kept": {"id": "c", "source": "web", "text": "original"}}],
        "contamination/quiz": [{"id": "d", "text": "asked", "found": "which river is it"}],
    },
}


@pytest.fixture
def page(tmp_path: Path) -> str:
    summary: dict[str, Any] = {
        "sources": {"web": SOURCE},
        "steps": {"c4": {"documents": 500, "bytes": 4_000_000, "seconds": 2.0}},
    }
    (tmp_path / "cleaning.json").write_text(json.dumps(summary))
    return write_cleaning_page(tmp_path).read_text()


def test_counts_and_speeds_stand_in_tables(page: str) -> None:
    for shown in ("1,234", "75.0%", "<td>200</td>", "<td>7</td>", "<td>250</td>", "<td>2.00</td>"):
        assert shown in page, shown


def test_examples_are_shown_as_text_with_what_explains_them(page: str) -> None:
    for shown in ("Too &lt;b&gt;short", "kept instead: web", "original", "which river is it", "too few words"):
        assert shown in page, shown


def test_nothing_is_fetched_or_run(page: str) -> None:
    assert re.findall(r"""(?:src|href)=["'](?!data:|#)|@import|<script""", page) == []


@pytest.mark.parametrize(
    "reason", ["language/uncertain", "language/de", "duplicate/near", "c4/line_policy", "fineweb/x"]
)
def test_meanings(reason: str) -> None:
    assert bool(meaning(reason)) == (reason != "fineweb/x")
