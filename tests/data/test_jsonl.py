"""Writing and reading JSON Lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptwright.data.jsonl import read_jsonl, write_jsonl
from gptwright.errors import InputError

ROWS = [{"text": "a\nb"}, {"text": "\u5b66\u2028\x85", "n": 1.5, "none": None}]
values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_rows_come_back_with_their_line_numbers(tmp_path: Path, name: str) -> None:
    assert write_jsonl(tmp_path / name, ROWS) == 2
    assert list(read_jsonl(tmp_path / name)) == list(enumerate(ROWS, start=1))


@given(rows=st.lists(st.dictionaries(st.text(), values, min_size=1), max_size=4))
def test_any_rows_come_back(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    write_jsonl(path, rows)
    assert [row for _, row in read_jsonl(path)] == rows


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_same_rows_give_the_same_bytes(tmp_path: Path, name: str) -> None:
    for folder in ("one", "two"):
        write_jsonl(tmp_path / folder / name, ROWS)
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_writer_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    def failing() -> Iterator[dict[str, str]]:
        yield {"text": "new"}
        raise RuntimeError("no more")

    write_jsonl(tmp_path / "a.jsonl", [{"text": "old"}])
    with pytest.raises(RuntimeError, match="no more"):
        write_jsonl(tmp_path / "a.jsonl", failing())
    assert list(read_jsonl(tmp_path / "a.jsonl")) == [(1, {"text": "old"})]
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder: name one file in it"):
        read_jsonl(tmp_path)
