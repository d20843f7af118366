"""What a vocabulary makes of texts: how it cuts them, which tokens it wastes, and that nothing is lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gptwright.errors import InputError
from gptwright.records import Document
from gptwright.tokenizer.tokenizer import Tokenizer

RARE = 10
"""A token that occurs less often than this is hardly learned."""
EXAMPLES = 12
PROBES = {"numbers": "In 2026 it was 1234567.89", "white space": "if x:\n\n\treturn  [1,   2]\n        pass"}


@dataclass(frozen=True, slots=True)
class SourceFit:
    """How one source's documents are cut; a word is what white space separates."""

    source: str
    documents: int
    bytes: int
    words: int
    tokens: int

    @property
    def bytes_per_token(self) -> float:
        return self.bytes / max(1, self.tokens)

    @property
    def words_per_token(self) -> float:
        return self.words / max(1, self.tokens)


@dataclass(frozen=True, slots=True)
class Inspection:
    """All that `gptwright tokenizer inspect` tells. `changed` names documents that did not come back byte for byte."""

    vocab_size: int
    special: int
    fingerprint: str
    sources: tuple[SourceFit, ...]
    unused: int
    unused_examples: tuple[str, ...]
    rare: int
    rare_examples: tuple[str, ...]
    changed: tuple[str, ...]
    probes: dict[str, tuple[str, ...]]

    def to_json(self) -> dict[str, Any]:
        values = asdict(self)
        for source, fit in zip(values["sources"], self.sources, strict=True):
            source |= {"bytes_per_token": fit.bytes_per_token, "words_per_token": fit.words_per_token}
        return values


def inspect(tokenizer: Tokenizer, documents: Iterable[Document]) -> Inspection:
    """Encode and decode every document. Raises InputError without one."""
    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    fits: dict[str, SourceFit] = {}
    changed: list[str] = []
    for document in documents:
        ids = tokenizer.encode(document.text)
        content = document.text.encode()
        np.add.at(counts, ids, 1)
        if tokenizer.decode_bytes(ids) != content and len(changed) < EXAMPLES:
            changed.append(document.id)
        was = fits.get(document.source, SourceFit(document.source, 0, 0, 0, 0))
        fits[document.source] = SourceFit(
            document.source,
            was.documents + 1,
            was.bytes + len(content),
            was.words + len(document.text.split()),
            was.tokens + len(ids),
        )
    if not fits:
        raise InputError("there is no document to inspect the tokenizer with: give a file with text in it")
    of_text = counts[: tokenizer.first_special]
    unused, rare = np.flatnonzero(of_text == 0), np.flatnonzero((of_text > 0) & (of_text < RARE))
    return Inspection(
        vocab_size=tokenizer.vocab_size,
        special=tokenizer.vocab_size - tokenizer.first_special,
        fingerprint=tokenizer.fingerprint,
        sources=tuple(fits.values()),
        unused=len(unused),
        unused_examples=_examples(tokenizer, unused),
        rare=len(rare),
        rare_examples=_examples(tokenizer, rare),
        changed=tuple(changed),
        probes={name: tuple(pieces(tokenizer, text)) for name, text in PROBES.items() if _writable(tokenizer, text)},
    )


def pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    """The text of each token, in order; bytes that are no whole character show as U+FFFD."""
    return [tokenizer.decode([token]) for token in tokenizer.encode(text)]


def _examples(tokenizer: Tokenizer, tokens: np.ndarray) -> tuple[str, ...]:
    """The longest first: a long token that is never met cost most to have."""
    longest = sorted((int(token) for token in tokens), key=lambda token: -int(tokenizer.byte_lengths[token]))
    return tuple(tokenizer.decode([token]) for token in longest[:EXAMPLES])


def _writable(tokenizer: Tokenizer, text: str) -> bool:
    """Whether a vocabulary of characters has these."""
    try:
        tokenizer.encode(text)
    except InputError:
        return False
    return True
