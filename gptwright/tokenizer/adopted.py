"""The vocabulary of a model that others trained, taken along with it: its own ids for text, our marks behind them.

In goes a Hugging Face folder with a `tokenizer.json` of the BPE kind: byte-level as in Llama 3 and Qwen, or with byte
fallback as in Llama 2. Text gets the ids that it gets there, save that no special token is ever read out of text and
that no blank is put in front of a text. Our special tokens that it lacks get ids after all of its own; the end of a
document is the one that the model already knows, and where its documents open with a token of their own, ours do too.
Rows of the model that are left over get reserved tokens, so that every row has a name and any id can be decoded.
"""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import tokenizers

from gptwright.errors import InputError
from gptwright.tokenizer.special import SpecialToken
from gptwright.tokenizer.tokenizer_json import BYTE_OF_LETTER, bytes_of

DOCUMENT_ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>")
"""What ends a document in the pretraining of Qwen and GPT-2, of Llama 3, of Llama 2. An assistant's eos_token ends its
turn, so these are looked for first.
"""
DOCUMENT_END_KEY = "document_end_token"
"""Where our tokenizer_config.json names the one that was taken; it also tells an adopted vocabulary from our own."""
RESERVED = "<|reserved_{}|>"
ROW_MULTIPLE = 64
"""Matrices grow to a multiple of this, which GPUs multiply fastest."""
PROBE = "The cat isn't 1,234 years old.\n\n\tif x:  y = [1]\r\n Stra\u00dfe, \u5b66\u800c\u65f6, \U0001f408 end "
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


class AdoptedVocabulary:
    """A `tokenizer.json` as parsed, which already holds our special tokens; `document_end` is a token of it."""

    def __init__(self, content: dict[str, Any], document_end: str) -> None:
        self._content, self._document_end = content, document_end
        added = {token["content"]: token["id"] for token in content["added_tokens"]}
        special = {token["id"] for token in content["added_tokens"] if token["special"]}
        self.special_ids = {token: added[token] for token in SpecialToken if token in added}
        self.special_ids[SpecialToken.DOCUMENT_END] = added[document_end]
        self.marks = frozenset(special)
        self.pieces = _pieces(content)
        self._encoder = _encoder(content)
        self.opening = _first_of_a_document(content, added[document_end])

    def __reduce__(self) -> tuple[type[AdoptedVocabulary], tuple[dict[str, Any], str]]:
        # `tokenizers` pickles without the flag that keeps special tokens from being read out of text.
        return AdoptedVocabulary, (self._content, self._document_end)

    def encode(self, text: str) -> list[int]:
        found: list[int] = self._encoder.encode(_whole(text), add_special_tokens=False).ids
        return found

    def dump(self) -> str:
        return json.dumps(self._content, ensure_ascii=False, indent=1) + "\n"

    def settings(self) -> dict[str, object]:
        return {"bos_token": self.pieces[self.opening].decode(), DOCUMENT_END_KEY: self._document_end}


def adopt(folder: Path, rows: int) -> AdoptedVocabulary:
    """The vocabulary of a folder that gptwright did not write, whose model has this many rows of embeddings.

    Raises InputError for one that can't be taken along.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise InputError(
            f"{folder} has no tokenizer.json, and a model is worth nothing without its tokenizer: copy it there, or "
            "have transformers write it with AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        )
    content = _read_object(path)
    try:
        _refuse_other_kinds(content)
        content = _without_leading_blank(content)
        document_end = _document_end(content, folder)
        _add_marks(content, document_end, rows)
        vocabulary = AdoptedVocabulary(content, document_end)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        lacking = isinstance(error, (KeyError, TypeError, AttributeError))
        reason = f"it lacks the fields of one: {error!r}" if lacking else error
        raise InputError(
            f"{path} cannot be taken along ({reason}): start from a model with a BPE tokenizer, or from random weights"
        ) from None
    probe = PROBE + "".join(str(token) for token in SpecialToken)
    ids = vocabulary.encode(probe)
    back = b"".join(vocabulary.pieces[token] for token in ids).decode(errors="replace")
    if back != probe or vocabulary.marks.intersection(ids):
        raise InputError(f"{path} cannot be taken along: it makes {back!r} of {probe!r}, so text would be lost")
    return vocabulary


def open_adopted(folder: Path) -> AdoptedVocabulary | None:
    """The vocabulary that `dump` and `settings` wrote for an adopted one; None for any other folder."""
    document_end = _read_object(folder / "tokenizer_config.json").get(DOCUMENT_END_KEY)
    if document_end is None:
        return None
    path = folder / "tokenizer.json"
    try:
        return AdoptedVocabulary(_read_object(path), document_end)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error!r}): copy it again or run the stage that wrote it") from None


def is_ours(folder: Path) -> bool:
    """Whether gptwright wrote the folder's tokenizer."""
    added = _read_object(folder / "tokenizer.json").get("added_tokens", [])
    return DOCUMENT_END_KEY in _read_object(folder / "tokenizer_config.json") or any(
        token["content"] == SpecialToken.DOCUMENT_END for token in added
    )


def _read_object(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}): copy the folder again") from None
    return values if isinstance(values, dict) else {}


def _refuse_other_kinds(content: dict[str, Any]) -> None:
    model = content["model"]
    if model.get("type") != "BPE":
        raise InputError(f"its kind is {model.get('type')}, and only BPE is known")
    if not _is_byte_level(content) and not model.get("byte_fallback"):
        raise InputError("it has no token for single bytes, so some text could not be written")


def _is_byte_level(content: dict[str, Any]) -> bool:
    return any(part["type"] == "ByteLevel" for part in _parts(content.get("pre_tokenizer"), "pretokenizers"))


def _parts(section: dict[str, Any] | None, name: str) -> list[dict[str, Any]]:
    """The steps of a normalizer, pre-tokenizer or decoder, be it one or a sequence."""
    if section is None:
        return []
    return section[name] if section["type"] == "Sequence" else [section]


def _without_leading_blank(content: dict[str, Any]) -> dict[str, Any]:
    """The same vocabulary, but text comes back as it went in: some put a blank in front of it and take it off again,
    which is wrong for a text that goes on where another ended.
    """
    found = copy.deepcopy(content)
    for section, name in (("normalizer", "normalizers"), ("pre_tokenizer", "pretokenizers"), ("decoder", "decoders")):
        parts = [part for part in _parts(found.get(section), name) if part["type"] not in ("Prepend", "Strip")]
        for part in parts:
            if "add_prefix_space" in part:
                part["add_prefix_space"] = False
            if "prepend_scheme" in part:
                part["prepend_scheme"] = "never"
        found[section] = {"type": "Sequence", name: parts} if parts else None
    return found


def _document_end(content: dict[str, Any], folder: Path) -> str:
    """The token that ends a document, or ours where the vocabulary has none."""
    added = {token["content"] for token in content["added_tokens"]}
    named = _read_object(folder / "tokenizer_config.json").get("eos_token")
    eos = named.get("content") if isinstance(named, dict) else named
    known = (name for name in (*DOCUMENT_ENDS, str(eos)) if name in added)
    return next(known, str(SpecialToken.DOCUMENT_END))


def end_of_ids(folder: Path) -> int:
    """The first id after all that a folder's `tokenizer.json` knows."""
    return _end_of_ids(_read_object(folder / "tokenizer.json"))


def grown_rows(folder: Path, rows: int) -> int:
    """How many rows of embeddings a model of so many needs once its tokenizer is taken along."""
    if is_ours(folder):
        return rows
    content = _read_object(folder / "tokenizer.json")
    return _rows_for(content, _wanted(content, _document_end(content, folder)), rows)


def _end_of_ids(content: dict[str, Any]) -> int:
    return 1 + max(*content["model"]["vocab"].values(), *(token["id"] for token in content["added_tokens"]))


def _wanted(content: dict[str, Any], document_end: str) -> list[SpecialToken]:
    """Our special tokens that the vocabulary lacks."""
    there = {token["content"] for token in content["added_tokens"]}
    if document_end in there:
        there.add(SpecialToken.DOCUMENT_END)
    return [token for token in SpecialToken if token not in there]


def _rows_for(content: dict[str, Any], wanted: list[SpecialToken], rows: int) -> int:
    needed = _end_of_ids(content) + len(wanted)
    return rows if needed <= rows else -(-needed // ROW_MULTIPLE) * ROW_MULTIPLE


def _add_marks(content: dict[str, Any], document_end: str, rows: int) -> None:
    """Give ids after all others to our special tokens that the vocabulary lacks, and reserved ones to the rest."""
    first, wanted = _end_of_ids(content), _wanted(content, document_end)
    spare = _rows_for(content, wanted, rows) - first - len(wanted)
    for token in content["added_tokens"]:
        if token["content"] in (*SpecialToken, document_end):
            token["special"] = True  # or text could forge it
    names = [*map(str, wanted), *(RESERVED.format(number) for number in range(spare))]
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    content["added_tokens"] += [
        {"id": first + index, "content": name, **plain, "special": True} for index, name in enumerate(names)
    ]


def _pieces(content: dict[str, Any]) -> list[bytes]:
    """The bytes of every id; none for the ids that a vocabulary skips."""
    ids: dict[str, int] = content["model"]["vocab"]
    added = {token["content"]: token["id"] for token in content["added_tokens"]}
    pieces = [b""] * (1 + max(*ids.values(), *added.values()))
    byte_level = _is_byte_level(content)
    for letters, token in ids.items():
        byte = _BYTE.fullmatch(letters)
        if byte_level and BYTE_OF_LETTER.keys() >= set(letters):
            pieces[token] = bytes_of(letters)
        elif byte and not byte_level:
            pieces[token] = bytes([int(byte[1], 16)])
        else:
            pieces[token] = letters.replace("\u2581", " ").encode()
    for written, token in added.items():
        pieces[token] = written.encode()
    return pieces


def _built(content: dict[str, Any], **changes: None) -> tokenizers.Tokenizer:
    """Raises ValueError for a content that `tokenizers` can't use."""
    try:
        return tokenizers.Tokenizer.from_str(json.dumps({**content, "truncation": None, "padding": None, **changes}))
    except Exception as error:  # it raises nothing narrower
        raise ValueError(str(error)) from None


def _encoder(content: dict[str, Any]) -> tokenizers.Tokenizer:
    """Encodes text alone: special tokens are neither found in it nor put around it."""
    found = _built(content, post_processor=None)
    found.encode_special_tokens = True  # as the text that they are written with
    for token in content["added_tokens"]:
        if found.token_to_id(token["content"]) != token["id"]:
            raise ValueError(f"its ids have gaps before {token['content']!r}")
    return found


def _first_of_a_document(content: dict[str, Any], document_end: int) -> int:
    """The token that the vocabulary itself puts in front of a text, or else the end of the document before."""
    whole = _built(content)
    plain: list[int] = whole.encode("a", add_special_tokens=False).ids
    full: list[int] = whole.encode("a", add_special_tokens=True).ids
    return full[0] if full[0] != plain[0] else document_end


def _whole(text: str) -> str:
    """Half of a surrogate pair, which UTF-8 cannot hold, becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
