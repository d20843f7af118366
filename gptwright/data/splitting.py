"""Holding out a part of the documents that training never sees."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

from gptwright.errors import InputError
from gptwright.records import Document


def split_documents(documents: Sequence[Document], held_out_share: float) -> tuple[list[Document], list[Document]]:
    """(training, held out) documents, with that share of the characters held out.

    Documents are taken in order of their text's hash, so that the split does not follow the order of the corpus and
    equal texts go the same way. Only the last one taken is cut: its tail is held out. A corpus of one text therefore
    loses its last tenth to 0.1, which is nanoGPT's split of Shakespeare.
    """
    if not 0 < held_out_share < 1:
        raise InputError(
            f"a held-out share of {held_out_share} is impossible: choose one between 0 and 1, such as 0.05"
        )
    total = sum(len(document.text) for document in documents)
    wanted = total - int(total * (1 - held_out_share))
    if not 0 < wanted < total:
        raise InputError(f"{total} characters are too few to hold out a share of {held_out_share}: give more text")
    digests = [hashlib.sha256(document.text.encode()).digest() for document in documents]
    kept_characters = [len(document.text) for document in documents]
    for index in sorted(range(len(documents)), key=lambda index: (digests[index], index)):
        taken = min(wanted, kept_characters[index])
        kept_characters[index] -= taken
        wanted -= taken
        if not wanted:
            break
    training, held_out = [], []
    for document, kept in zip(documents, kept_characters, strict=True):
        if kept:
            training.append(dataclasses.replace(document, text=document.text[:kept]))
        if kept < len(document.text):
            held_out.append(dataclasses.replace(document, text=document.text[kept:]))
    return training, held_out
