"""The tokenizer: text to ids and back, saved as a Hugging Face folder.

Text is encoded by the vocabulary below it: our own, by tiktoken from the same merges that `tokenizer.json` holds (same
ids as `tokenizers`, several times faster), or one that came with a model (adopted.py). Text is only ever text here: a
special token's string inside it stays ordinary characters. Chats are rendered by `chat.py`; training a vocabulary is
`bpe.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np

from gptwright.data.atomic import write_bytes_atomically
from gptwright.errors import InputError
from gptwright.records import Role
from gptwright.tokenizer import tokenizer_json
from gptwright.tokenizer.adopted import adopt, is_ours, open_adopted
from gptwright.tokenizer.special import SpecialToken
from gptwright.tokenizer.template import EARLIER_HASHES, TEMPLATE_JINJA
from gptwright.tokenizer.vocabulary import OwnVocabulary, Vocabulary


class Tokenizer:
    """A vocabulary with the special tokens, ours or one that came with a model."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self.pieces = vocabulary.pieces
        """The bytes of every id; of special tokens, their names."""
        self.marks = vocabulary.marks
        """Ids that no text is encoded to."""
        ids = vocabulary.special_ids
        self.special_ids = ids
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
        self.opening = vocabulary.opening
        """What stands in front of a document; ours begin after the end of the one before."""

    @property
    def vocab_size(self) -> int:
        """Text tokens and special tokens together."""
        return len(self.pieces)

    @property
    def border(self) -> tuple[int, ...]:
        """What stands between two documents: the end of one, and the opening of the next where that is another id."""
        return (self.document_end,) if self.opening == self.document_end else (self.document_end, self.opening)

    @cached_property
    def byte_lengths(self) -> np.ndarray:
        """UTF-8 bytes of text that each id stands for; 0 for special tokens. Sums turn a loss into bits per byte."""
        lengths = np.array([len(piece) for piece in self.pieces], dtype=np.int32)
        lengths[list(self.marks)] = 0
        return lengths

    @cached_property
    def fingerprint(self) -> str:
        """16 hex characters that differ when the vocabulary, the special tokens or the chat template do."""
        content = self._vocabulary.dump() + TEMPLATE_JINJA
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def role_mark(self, role: Role) -> int:
        """The id that opens a turn of this role."""
        return self.special_ids[SpecialToken(f"<|{role}|>")]

    def encode(self, text: str) -> list[int]:
        """Ids of plain text. Half of a surrogate pair, which UTF-8 cannot hold, becomes U+FFFD."""
        return self._vocabulary.encode(text)

    def decode_bytes(self, ids: Iterable[int], *, skip_special: bool = False) -> bytes:
        """The bytes behind ids, which need not be whole characters."""
        skipped = self.marks if skip_special else frozenset()
        pieces = []
        for token in ids:
            if not 0 <= token < self.vocab_size:
                raise ValueError(f"token id {token} is not in this vocabulary of {self.vocab_size}")
            if token not in skipped:
                pieces.append(self.pieces[token])
        return b"".join(pieces)

    def decode(self, ids: Iterable[int], *, skip_special: bool = False) -> str:
        """The text behind ids; bytes that are not UTF-8, such as half a character, become U+FFFD."""
        return self.decode_bytes(ids, skip_special=skip_special).decode("utf-8", errors="replace")

    def save(self, folder: str | Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json`, which transformers' AutoTokenizer loads."""
        folder = Path(folder)
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **self._vocabulary.settings(),
            "eos_token": str(SpecialToken.END_OF_TURN),
            "pad_token": str(SpecialToken.PAD),
            "clean_up_tokenization_spaces": False,
            "chat_template": TEMPLATE_JINJA,
        }
        write_bytes_atomically(folder / "tokenizer.json", self._vocabulary.dump().encode())
        write_bytes_atomically(folder / "tokenizer_config.json", (json.dumps(config, indent=1) + "\n").encode())

    @classmethod
    def load(cls, folder: str | Path) -> Tokenizer:
        """The tokenizer that `save` wrote; a folder with another chat template is refused."""
        folder = Path(folder)
        vocabulary = open_adopted(folder) or OwnVocabulary(*tokenizer_json.read(folder / "tokenizer.json"))
        _refuse_other_template(folder)
        return cls(vocabulary)

    @classmethod
    def taken_along(cls, folder: Path, rows: int) -> Tokenizer:
        """The tokenizer of any model folder with this many rows of embeddings; one of gptwright's comes as it is."""
        return cls.load(folder) if is_ours(folder) else cls(adopt(folder, rows))


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
    if template is None or template == TEMPLATE_JINJA:
        return
    if hashlib.sha256(template.encode()).hexdigest()[:16] not in EARLIER_HASHES:
        raise InputError(
            f"{folder} has another chat template than this version of gptwright renders: "
            "use the version that wrote it, or train the tokenizer again"
        )
