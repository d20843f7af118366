"""What a vocabulary makes of texts: how it cuts them, which tokens it wastes, and that nothing is lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gptwright.errors import InputError
from gptwright.records import Document
from gptwright.tokenizer.stats import TokenStats
from gptwright.tokenizer.tokenizer import Tokenizer

RARE = 10
"""A token that occurs less often than this is hardly learned."""
EXAMPLES = 12
PROBES = {"numbers": "In 2026 it was 1234567.89", "white space": "if x:\n\n\treturn  [1,   2]\n        pass"}


@dataclass(frozen=True, slots=True)
class Inspection:
    """All that `gptwright tokenizer inspect` tells. `changed` counts documents that did not come back byte
    for byte; `languages` has only documents whose language is known."""

    vocab_size: int
    special: int
    fingerprint: str
    sources: dict[str, TokenStats]
    languages: dict[str, TokenStats]
    unused: int
    unused_examples: tuple[str, ...]
    rare: int
    rare_examples: tuple[str, ...]
    changed: int
    changed_examples: tuple[str, ...]
    probes: dict[str, tuple[str, ...]]

    def to_json(self) -> dict[str, Any]:
        values = asdict(self)
        for key, found in (("sources", self.sources), ("languages", self.languages)):
            for name, stats in found.items():
                values[key][name] |= {
                    "bytes_per_token": stats.bytes_per_token,
                    "words_per_token": stats.words_per_token,
                }
        return values


def inspect(tokenizer: Tokenizer, documents: Iterable[Document]) -> Inspection:
    """Encode and decode every document. Raises InputError without one."""
    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    by_source: dict[str, TokenStats] = {}
    by_language: dict[str, TokenStats] = {}
    changed, examples = 0, list[str]()
    for document in documents:
        ids = tokenizer.encode(document.text)
        np.add.at(counts, ids, 1)
        if tokenizer.decode_bytes(ids) != document.text.encode():
            changed += 1
            examples += [document.id] if len(examples) < EXAMPLES else []
        for counted, name in ((by_source, document.source), (by_language, document.language)):
            if name:
                counted[name] = counted.get(name, TokenStats()).plus(document.text, len(ids))
    if not by_source:
        raise InputError("there is no document to inspect the tokenizer with: give a file with text in it")
    of_text = tokenizer.byte_lengths > 0
    unused, rare = np.flatnonzero(of_text & (counts == 0)), np.flatnonzero((counts > 0) & (counts < RARE))
    return Inspection(
        vocab_size=tokenizer.vocab_size,
        special=tokenizer.vocab_size - int(of_text.sum()),
        fingerprint=tokenizer.fingerprint,
        sources=by_source,
        languages=by_language,
        unused=len(unused),
        unused_examples=_examples(tokenizer, unused),
        rare=len(rare),
        rare_examples=_examples(tokenizer, rare),
        changed=changed,
        changed_examples=tuple(examples),
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
