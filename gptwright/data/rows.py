"""Rows of a data file, whatever the file: JSON Lines, one JSON array, or Parquet. Each knows where it came from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gptwright.data.jsonl import decode_text, existing_file, read_jsonl, read_lines
from gptwright.data.opened import opened
from gptwright.errors import InputError

ROW_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".json.gz", ".json.zst", ".parquet")
LANGUAGE_KEYS = ("lang", "language")
PARQUET_BATCH = 256  # rows held in memory at a time; long documents are common


@dataclass(frozen=True, slots=True)
class Row:
    """One object and its place: `where` is for messages, `name` for ids ("books:7")."""

    values: dict[str, Any]
    where: str
    name: str


def language_of(values: Mapping[str, Any]) -> str:
    """What a row says of its text's language, under `lang` or `language`; "" where it says nothing."""
    named = (values.get(key) for key in LANGUAGE_KEYS)
    return next((name for name in named if isinstance(name, str)), "")


def plain_name(path: Path) -> str:
    """data/books.jsonl.gz -> books"""
    return unpacked_name(path).rsplit(".", 1)[0]


def unpacked_name(path: Path) -> str:
    """data/books.jsonl.zst -> books.jsonl"""
    return path.name.removesuffix(".gz").removesuffix(".zst")


def read_rows(path: str | Path) -> Iterator[Row]:
    """The rows of one file, by its suffix."""
    path = existing_file(path)
    name = unpacked_name(path)
    if name.endswith(".jsonl"):
        return (Row(row, f"{path}, line {line}", f"{plain_name(path)}:{line}") for line, row in read_jsonl(path))
    if name.endswith(".json"):
        return _read_array(path)
    if path.suffix == ".parquet":
        return _read_parquet(path)
    raise InputError(f"{path}: cannot read rows of this kind of file: give one of {', '.join(ROW_SUFFIXES)}")


def _read_array(path: Path) -> Iterator[Row]:
    text = decode_text(b"".join(line for _, line in read_lines(path)), path)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: not valid JSON ({error}); mend it, or name it .jsonl if it has one object per line"
        ) from None
    if not isinstance(values, list):
        raise InputError(f"{path}: a JSON {type(values).__name__} where an array of objects [...] is needed")
    for number, value in enumerate(values, start=1):
        where = f"{path}, item {number}"
        if not isinstance(value, dict):
            raise InputError(
                f"{where}: a JSON {type(value).__name__} where an object {{...}} is needed; mend or remove it"
            )
        yield Row(value, where, f"{plain_name(path)}:{number}")


def _read_parquet(path: Path) -> Iterator[Row]:
    # A third of a second to import, and most corpora are text.
    import pyarrow  # noqa: PLC0415
    import pyarrow.parquet  # noqa: PLC0415

    number = 0
    try:
        with opened(path) as content, pyarrow.parquet.ParquetFile(content) as file:
            # Asked for all groups at once, pyarrow reads far ahead.
            groups = ([group] for group in range(file.num_row_groups))
            for batch in (batch for group in groups for batch in file.iter_batches(PARQUET_BATCH, row_groups=group)):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(values, f"{path}, row {number}", f"{plain_name(path)}:{number}")
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path}: cannot be read as Parquet after row {number} ({reason}); copy or write it again"
        ) from None
