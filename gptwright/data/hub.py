"""Documents of a data set on the Hugging Face hub, or of a local folder that `datasets` can read; extra `hf`.

    read_hub("owner/name", config="en", split="train")    a row at a time, nothing downloaded ahead

Text alone is read: a data set's own loading script is never run.
"""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator
from typing import Any

from gptwright.errors import InputError
from gptwright.records import Document


def read_hub(
    name: str, *, config: str | None = None, split: str = "train", revision: str | None = None, text_key: str = "text"
) -> Iterator[Document]:
    """Every document of one split that is not blank, in the data set's order; ids are "name:row".

    Raises InputError when `datasets` is not installed, the data set, configuration or split is not there or cannot be
    reached, and for a row without text.
    """
    where = f"{name}, split {split}"
    rows = _rows(name, config, split, revision)
    empty = True
    try:
        for number, row in enumerate(rows, start=1):
            text = row.get(text_key)
            if not isinstance(text, str):
                found = ", ".join(row) or "none"
                raise InputError(
                    f"hub data set {where}, row {number}: no text under {text_key!r} (columns: {found}); set text_key "
                    "to the one with the text"
                )
            if text.strip():
                empty = False
                yield Document(text, source=name, id=f"{name}:{number}")
    finally:
        # Threads of a Parquet scan that was not read to its end abort the interpreter when it exits before they are
        # collected (apache/arrow#45214).
        rows.close()
        del rows
        gc.collect()
    if empty:
        raise InputError(f"hub data set {where} holds no text: choose another split or text_key")


def _rows(name: str, config: str | None, split: str, revision: str | None) -> Generator[dict[str, Any], None, None]:
    try:
        import datasets  # noqa: PLC0415
    except ImportError:
        raise InputError(
            f"hub data set {name} needs datasets, which is not installed: pip install 'gptwright[hf]'"
        ) from None
    number = 0
    try:
        loaded = datasets.load_dataset(name, config, split=split, revision=revision, streaming=True)
        for row in loaded:
            yield row
            number += 1
    except Exception as error:  # the network, the hub and each file format have their own
        lines = str(error).strip().splitlines()
        reason = lines[0].rstrip(".") if lines else type(error).__name__
        raise InputError(
            f"hub data set {name} (config {config or 'default'}, split {split}) cannot be read after row {number} "
            f"({reason}): check these names and the network; where there is none, give the path of a local copy"
        ) from error
