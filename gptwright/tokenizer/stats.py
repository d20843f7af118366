"""How well a vocabulary fits texts: bytes and words per token."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gptwright.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class TokenStats:
    """Counts over some texts; a word is what white space separates."""

    texts: int = 0
    tokens: int = 0
    bytes: int = 0
    words: int = 0

    @property
    def bytes_per_token(self) -> float:
        return self.bytes / max(1, self.tokens)

    @property
    def words_per_token(self) -> float:
        return self.words / max(1, self.tokens)

    def plus(self, text: str, tokens: int) -> TokenStats:
        """With one more text, which was cut into that many tokens."""
        return TokenStats(
            self.texts + 1,
            self.tokens + tokens,
            self.bytes + len(text.encode(errors="replace")),
            self.words + len(text.split()),
        )


def token_stats(tokenizer: Tokenizer, texts: Iterable[str]) -> TokenStats:
    """Encode texts and count; special tokens are not part of text."""
    stats = TokenStats()
    for text in texts:
        stats = stats.plus(text, len(tokenizer.encode(text)))
    return stats
