"""What a tokenizer is built on: one that gptwright trained (here), or one that came with a model (adopted.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import tiktoken

from gptwright.errors import InputError
from gptwright.tokenizer import tokenizer_json
from gptwright.tokenizer.special import SpecialToken


class Vocabulary(Protocol):
    """Ids, the bytes behind them, and how text becomes ids."""

    pieces: list[bytes]
    """The bytes of every id; none where an id stands for nothing."""
    marks: frozenset[int]
    """Ids that no text is encoded to."""
    special_ids: dict[SpecialToken, int]
    opening: int
    """What stands in front of a document."""

    def encode(self, text: str) -> list[int]: ...

    def dump(self) -> str:
        """The text of `tokenizer.json`."""

    def settings(self) -> dict[str, object]:
        """What `tokenizer_config.json` says of it, beside the chat marks."""


class OwnVocabulary:
    """A byte-level BPE vocabulary followed by the special tokens; tiktoken encodes.

    `text_pieces` are the text tokens as bytes, in order of id. A vocabulary that lacks some of the 256 single bytes is
    a character vocabulary: its tokens are ASCII characters, and `encode` refuses any other one.
    """

    def __init__(self, text_pieces: Sequence[bytes], pattern: str) -> None:
        self.pattern, self._text_pieces = pattern, list(text_pieces)
        self.pieces = [*text_pieces, *(token.encode() for token in SpecialToken)]
        self.special_ids = {token: len(text_pieces) + index for index, token in enumerate(SpecialToken)}
        self.marks = frozenset(self.special_ids.values())
        self.opening = self.special_ids[SpecialToken.DOCUMENT_END]
        ranks = {piece: rank for rank, piece in enumerate(text_pieces)}
        single_bytes = {piece for piece in ranks if len(piece) == 1}
        complete = len(single_bytes) == 256
        self._characters = None if complete else frozenset(byte.decode("ascii") for byte in single_bytes)
        # No special tokens are given to tiktoken: it must not be able to find any in text.
        self._encoding = tiktoken.Encoding("gptwright", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})

    def encode(self, text: str) -> list[int]:
        self._refuse_unknown_characters(text)
        return self._encoding.encode_ordinary(text)

    def dump(self) -> str:
        return tokenizer_json.dump(self._text_pieces, self.pattern)

    def settings(self) -> dict[str, object]:
        # A text is preceded by the end of the one before it, so this is also what a text begins after.
        return {"bos_token": str(SpecialToken.DOCUMENT_END), "add_bos_token": False, "add_eos_token": False}

    def _refuse_unknown_characters(self, text: str) -> None:
        if self._characters is None:
            return
        unknown = sorted(set(text) - self._characters)
        if unknown:
            raise InputError(
                f"the character vocabulary of {len(self._characters)} characters has no {unknown[0]!r} "
                f"(U+{ord(unknown[0]):04X}): train the tokenizer on text that holds it, or use byte-level BPE"
            )
