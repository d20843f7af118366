"""Documents of a data set on the Hugging Face hub, or of a local folder that `datasets` can read; extra `hf`.

    read_hub("owner/name", config="en", split="train")    a row at a time, nothing downloaded ahead

Text alone is read: a data set's own loading script is never run.
"""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator
from typing import Any

from gptwright.data.rows import LANGUAGE_KEYS, language_of
from gptwright.errors import InputError, pip_install
from gptwright.records import Document

BATCH_ROWS = 256


def read_hub(
    name: str, *, config: str | None = None, split: str = "train", revision: str | None = None, text_key: str = "text"
) -> Iterator[Document]:
    """Every document of one split that is not blank or null, in the data set's order; ids are "name:row".

    Raises InputError when `datasets` is not installed, the data set, configuration or split is not there or cannot be
    reached, and for a row without text.
    """
    batches = _batches(name, config, split, revision)
    number = 0
    empty = True
    try:
        for batch in batches:
            if text_key not in batch:
                found = ", ".join(batch) or "none"
                raise InputError(
                    f"hub data set {name}, split {split}: no column {text_key!r} (columns: {found}); set text_key to "
                    "the one with the text"
                )
            said = {key: batch[key] for key in LANGUAGE_KEYS if key in batch}
            for place, text in enumerate(batch[text_key]):
                number += 1
                if not isinstance(text, str | None):
                    raise InputError(
                        f"hub data set {name}, split {split}, row {number}: {text_key!r} is {type(text).__name__}, not "
                        "text; set text_key to another column"
                    )
                if text and text.strip():
                    empty = False
                    language = language_of({key: column[place] for key, column in said.items()})
                    yield Document(text, source=name, id=f"{name}:{number}", language=language)
    finally:
        # Threads of a Parquet scan that was not read to its end abort the interpreter when it exits before they are
        # collected (apache/arrow#45214).
        batches.close()
        del batches
        gc.collect()
    if empty:
        raise InputError(f"hub data set {name}, split {split} holds no text: choose another split or text_key")


def _batches(
    name: str, config: str | None, split: str, revision: str | None
) -> Generator[dict[str, list[Any]], None, None]:
    """BATCH_ROWS rows at a time, by column: an eighth of the time that single rows take."""
    try:
        import datasets  # noqa: PLC0415
    except ImportError:
        raise InputError(f"hub data set {name} needs datasets, which is not installed: {pip_install('hf')}") from None
    number = 0
    try:
        loaded = datasets.load_dataset(name, config, split=split, revision=revision, streaming=True)
        for batch in loaded.iter(batch_size=BATCH_ROWS):
            yield batch
            number += BATCH_ROWS
    except Exception as error:  # the network, the hub and each file format have their own
        lines = str(error).strip().splitlines()
        reason = lines[0].rstrip(".") if lines else type(error).__name__
        raise InputError(
            f"hub data set {name} (config {config or 'default'}, split {split}) cannot be read after row {number} "
            f"({reason}): check these names and the network; where there is none, give the path of a local copy"
        ) from error
