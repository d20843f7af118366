"""How well a vocabulary fits texts: bytes and words per token, and how much of it is used."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gptwright.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class TokenStats:
    """Counts over some texts; a word is what white space separates."""

    texts: int
    tokens: int
    bytes: int
    words: int
    distinct_tokens: int
    vocab_size: int

    @property
    def bytes_per_token(self) -> float:
        return self.bytes / max(1, self.tokens)

    @property
    def words_per_token(self) -> float:
        return self.words / max(1, self.tokens)

    @property
    def used_share(self) -> float:
        """Share of the vocabulary that occurs in the texts at all."""
        return self.distinct_tokens / self.vocab_size


def token_stats(tokenizer: Tokenizer, texts: Iterable[str]) -> TokenStats:
    """Encode texts and count; special tokens are not part of text."""
    num_texts = tokens = num_bytes = words = 0
    seen = np.zeros(tokenizer.vocab_size, dtype=bool)
    texts, again = itertools.tee(texts)
    for ids, text in zip(tokenizer.encode_stream(texts), again, strict=True):
        num_texts += 1
        tokens += len(ids)
        num_bytes += int(tokenizer.byte_lengths[ids].sum(dtype=np.int64))
        words += len(text.split())
        seen[ids] = True
    return TokenStats(num_texts, tokens, num_bytes, words, int(seen.sum()), tokenizer.vocab_size)
