"""How far files have been read, whatever they are packed with."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gptwright.data.jsonl import read_lines, write_jsonl
from gptwright.data.opened import ShareRead
from gptwright.data.sources import read_found


def written(folder: Path, name: str, rows: int) -> Path:
    path, rng = folder / name, random.Random(name)
    values = [{"text": f"{row} {rng.random()} {rng.random()}"} for row in range(rows)]
    if name.endswith(".parquet"):
        parquet = pytest.importorskip("pyarrow.parquet")
        table = pytest.importorskip("pyarrow").Table.from_pylist(values)
        parquet.write_table(table, path, row_group_size=256)
    else:
        write_jsonl(path, values)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.parquet"])
def test_the_share_grows_with_what_is_read(tmp_path: Path, name: str) -> None:
    files = [written(tmp_path, name, 20_000)]
    share_read = ShareRead(files)
    shares = [share_read() for number, _ in enumerate(read_found(files)) if number % 5_000 == 4_999]
    assert shares == pytest.approx([0.25, 0.5, 0.75, 1.0], abs=0.1)


def test_files_behind_count_whole_and_none_counts_when_all_are_closed(tmp_path: Path) -> None:
    files = [written(tmp_path, name, 10_000) for name in ("a.jsonl", "b.jsonl")]
    share_read = ShareRead(files)
    assert share_read() is None
    shares = [share_read() for _ in read_found(files)]
    assert shares[9_999] == pytest.approx(0.5, abs=0.05)
    assert shares[10_000] == pytest.approx(0.5, abs=0.05)
    assert shares[-1] == pytest.approx(1.0)
    assert share_read() is None


def test_a_reader_that_was_left_does_not_hide_the_next(tmp_path: Path) -> None:
    files = [written(tmp_path, "a.jsonl", 10)]
    left, after = read_lines(files[0]), read_lines(files[0])
    next(left), next(after)
    left.close()
    assert ShareRead(files)() is not None


def test_many_files_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at every file for every batch would be hours of a corpus of a hundred thousand files."""
    files = [written(tmp_path, f"{number}.jsonl", 10) for number in range(5)]
    share_read, stat = ShareRead(files), Path.stat
    looked = list[Path]()
    monkeypatch.setattr(Path, "stat", lambda path, **options: looked.append(path) or stat(path, **options))
    shares = [share_read() for _ in read_found(files)]
    assert len(shares) == 50 and shares[-1] == 1.0
    assert len(looked) < len(shares)  # reading looks at each a few times
