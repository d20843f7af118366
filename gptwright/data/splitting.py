"""Holding out a part of the documents that training never sees, however many there are.

    for part, document in split_stream(read_documents("books/"), 0.02): ...    part is "train" or "held_out"

What fits in memory easily is split exactly; of more, each text's own hash says where it goes, so that nothing has to
be known of the others. Both take the texts with the smallest hashes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from gptwright.errors import InputError
from gptwright.records import Document

Part = Literal["train", "held_out"]

EXACT_CHARACTERS = 64_000_000
"""A corpus of fewer is held in memory for a while and split exactly."""
LEAST_HELD_OUT = 8
"""Documents that a larger corpus holds out on average, or more: one that is too long for that is cut instead."""


def split_stream(
    documents: Iterable[Document], held_out_share: float, *, exact_characters: int = EXACT_CHARACTERS
) -> Iterator[tuple[Part, Document]]:
    """Each document with its part, in the order of the corpus; equal texts always go the same way.

    Fewer than `exact_characters` are split by `split_documents`. Of more, a document is held out when its hash, as a
    share of the largest, is below `held_out_share`; one longer than exact_characters * held_out_share / LEAST_HELD_OUT
    is cut, its tail held out, since a few such documents could all fall on one side.
    """
    _check_share(held_out_share)
    stream, start, taken = iter(documents), [], 0
    for document in stream:
        start.append(document)
        taken += len(document.text)
        if taken >= exact_characters:
            yield from _split_each(itertools.chain(_handed_over(start), stream), held_out_share, exact_characters)
            return
    for document, kept in zip(start, _kept_characters(start, held_out_share), strict=True):
        yield from _cut(document, kept)


def split_documents(documents: Sequence[Document], held_out_share: float) -> tuple[list[Document], list[Document]]:
    """(training, held out) documents, with that share of the characters held out.

    Documents are taken in order of their text's hash, so that the split does not follow the order of the corpus. Only
    the last text taken is cut: its tail is held out, of each copy of it as much to a character. A corpus of one text
    therefore loses its last tenth to 0.1, which is nanoGPT's split of Shakespeare.
    """
    _check_share(held_out_share)
    parts: dict[Part, list[Document]] = {"train": [], "held_out": []}
    for document, kept in zip(documents, _kept_characters(documents, held_out_share), strict=True):
        for part, piece in _cut(document, kept):
            parts[part].append(piece)
    return parts["train"], parts["held_out"]


def _check_share(held_out_share: float) -> None:
    if not 0 < held_out_share < 1:
        raise InputError(
            f"a held-out share of {held_out_share} is impossible: choose one between 0 and 1, such as 0.05"
        )


def _kept_characters(documents: Sequence[Document], held_out_share: float) -> list[int]:
    """How many characters of each document training keeps."""
    lengths = [len(document.text) for document in documents]
    total = sum(lengths)
    wanted = total - int(total * (1 - held_out_share))
    if not 0 < wanted < total:
        raise InputError(f"{total} characters are too few to hold out a share of {held_out_share}: give more text")
    copies: dict[bytes, list[int]] = {}
    for index, document in enumerate(documents):
        copies.setdefault(_digest(document.text), []).append(index)
    for digest in sorted(copies):
        for left, index in zip(range(len(copies[digest]), 0, -1), copies[digest], strict=True):
            taken = min(lengths[index], -(-wanted // left))
            lengths[index] -= taken
            wanted -= taken
        if not wanted:
            break
    return lengths


def _split_each(
    documents: Iterable[Document], held_out_share: float, exact_characters: int
) -> Iterator[tuple[Part, Document]]:
    # No text is cut of which the share is less than a character.
    longest = max(1 / held_out_share, exact_characters * held_out_share / LEAST_HELD_OUT)
    count = held_out = 0
    for document in documents:
        count += 1
        size = len(document.text)
        if size > longest:
            kept = int(size * (1 - held_out_share))
        else:
            kept = 0 if int.from_bytes(_digest(document.text)[:8], "big") < held_out_share * 2**64 else size
        held_out += kept < size
        yield from _cut(document, kept)
    if not held_out:
        raise InputError(f"none of {count} documents fell to a held-out share of {held_out_share}: raise it")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def _cut(document: Document, kept: int) -> Iterator[tuple[Part, Document]]:
    """The document, or its beginning for training and its tail held out."""
    if kept == len(document.text):
        yield "train", document
    elif not kept:
        yield "held_out", document
    else:
        yield "train", dataclasses.replace(document, text=document.text[:kept])
        yield "held_out", dataclasses.replace(document, text=document.text[kept:])


def _handed_over(documents: list[Document]) -> Iterator[Document]:
    """The documents, each forgotten as it is given."""
    documents.reverse()
    while documents:
        yield documents.pop()
