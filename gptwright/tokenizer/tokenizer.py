"""The tokenizer: text to ids and back, saved as a Hugging Face folder.

Text is encoded by tiktoken from the same merges that `tokenizer.json` holds: same ids as `tokenizers`, several times
faster. Text is only ever text here: a special token's string inside it stays ordinary characters. Chats are
rendered by `chat.py`; training a vocabulary is `bpe.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import tiktoken

from gptwright.data.atomic import write_bytes_atomically
from gptwright.errors import InputError
from gptwright.records import Role
from gptwright.tokenizer import tokenizer_json
from gptwright.tokenizer.special import SpecialToken
from gptwright.tokenizer.template import TEMPLATE_JINJA


class Tokenizer:
    """A byte-level BPE vocabulary followed by the special tokens.

    `pieces` are the text tokens as bytes, in order of id. A vocabulary that lacks some of the 256 single bytes is a
    character vocabulary: its tokens are ASCII characters, and `encode` refuses any other one.
    """

    def __init__(self, pieces: Sequence[bytes], pattern: str) -> None:
        self.pattern = pattern
        self._pieces = [*pieces, *(token.encode() for token in SpecialToken)]
        self.first_special = len(pieces)
        ids = {token: self.first_special + index for index, token in enumerate(SpecialToken)}
        self.special_ids: dict[SpecialToken, int] = ids
        self.document_end = ids[SpecialToken.DOCUMENT_END]
        self.pad = ids[SpecialToken.PAD]
        self.end_of_turn = ids[SpecialToken.END_OF_TURN]
        self.system = ids[SpecialToken.SYSTEM]
        self.user = ids[SpecialToken.USER]
        self.assistant = ids[SpecialToken.ASSISTANT]
        self.tool = ids[SpecialToken.TOOL]
        self.reward = ids[SpecialToken.REWARD]
        self.tool_call = ids[SpecialToken.TOOL_CALL]
        self.tool_result = ids[SpecialToken.TOOL_RESULT]
        self.think = ids[SpecialToken.THINK]
        self.think_end = ids[SpecialToken.THINK_END]
        ranks = {piece: rank for rank, piece in enumerate(pieces)}
        single_bytes = {piece for piece in ranks if len(piece) == 1}
        complete = len(single_bytes) == 256
        self._characters = None if complete else frozenset(byte.decode("ascii") for byte in single_bytes)
        # No special tokens are given to tiktoken: it must not be able to find any in text.
        self._encoding = tiktoken.Encoding("gptwright", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})

    @property
    def vocab_size(self) -> int:
        """Text tokens and special tokens together."""
        return len(self._pieces)

    @cached_property
    def byte_lengths(self) -> np.ndarray:
        """UTF-8 bytes of text that each id stands for; 0 for special tokens. Sums turn a loss into bits per byte."""
        lengths = [len(piece) for piece in self._pieces[: self.first_special]]
        return np.array(lengths + [0] * len(SpecialToken), dtype=np.int32)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex characters that differ when the vocabulary, the special tokens or the chat template do."""
        content = tokenizer_json.dump(self._pieces[: self.first_special], self.pattern) + TEMPLATE_JINJA
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def role_mark(self, role: Role) -> int:
        """The id that opens a turn of this role."""
        return self.special_ids[SpecialToken(f"<|{role}|>")]

    def encode(self, text: str) -> list[int]:
        """Ids of plain text. Half of a surrogate pair, which UTF-8 cannot hold, becomes U+FFFD."""
        self._refuse_unknown_characters(text)
        return self._encoding.encode_ordinary(text)

    def _refuse_unknown_characters(self, text: str) -> None:
        if self._characters is None:
            return
        unknown = sorted(set(text) - self._characters)
        if unknown:
            raise InputError(
                f"the character vocabulary of {len(self._characters)} characters has no {unknown[0]!r} "
                f"(U+{ord(unknown[0]):04X}): train the tokenizer on text that holds it, or use byte-level BPE"
            )

    def decode_bytes(self, ids: Iterable[int], *, skip_special: bool = False) -> bytes:
        """The bytes behind ids, which need not be whole characters."""
        limit = self.first_special if skip_special else self.vocab_size
        pieces = []
        for token in ids:
            if not 0 <= token < self.vocab_size:
                raise ValueError(f"token id {token} is not in this vocabulary of {self.vocab_size}")
            if token < limit:
                pieces.append(self._pieces[token])
        return b"".join(pieces)

    def decode(self, ids: Iterable[int], *, skip_special: bool = False) -> str:
        """The text behind ids; bytes that are not UTF-8, such as half a character, become U+FFFD."""
        return self.decode_bytes(ids, skip_special=skip_special).decode("utf-8", errors="replace")

    def save(self, folder: str | Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json`, which transformers' AutoTokenizer loads."""
        folder = Path(folder)
        content = tokenizer_json.dump(self._pieces[: self.first_special], self.pattern)
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            # A text is preceded by the end of the one before it, so this is also what a text begins after.
            "bos_token": str(SpecialToken.DOCUMENT_END),
            "eos_token": str(SpecialToken.END_OF_TURN),
            "pad_token": str(SpecialToken.PAD),
            "add_bos_token": False,
            "add_eos_token": False,
            "clean_up_tokenization_spaces": False,
            "chat_template": TEMPLATE_JINJA,
        }
        write_bytes_atomically(folder / "tokenizer.json", content.encode())
        write_bytes_atomically(folder / "tokenizer_config.json", (json.dumps(config, indent=1) + "\n").encode())

    @classmethod
    def load(cls, folder: str | Path) -> Tokenizer:
        """The tokenizer that `save` wrote; a folder with another chat template is refused."""
        folder = Path(folder)
        pieces, pattern = tokenizer_json.read(folder / "tokenizer.json")
        _refuse_other_template(folder)
        return cls(pieces, pattern)


def _refuse_other_template(folder: Path) -> None:
    """Ours is the only renderer, so a folder trained with another template would silently be rendered wrong."""
    config_path, template_path = folder / "tokenizer_config.json", folder / "chat_template.jinja"
    template = None
    if template_path.exists():
        template = template_path.read_text(encoding="utf-8")
    elif config_path.exists():
        try:
            template = json.loads(config_path.read_text(encoding="utf-8")).get("chat_template")
        except ValueError as error:
            raise InputError(f"{config_path} is not valid JSON ({error}): copy the folder again") from None
    if template is not None and template != TEMPLATE_JINJA:
        raise InputError(
            f"{folder} has another chat template than this version of gptwright renders: "
            "use the version that wrote it, or train the tokenizer again"
        )
