"""A vocabulary as a Hugging Face `tokenizer.json`, and back.

In memory a vocabulary is its text tokens as bytes, in order of id, where the id is also the merge rank (the tiktoken
convention). The file lists merges as pairs; they follow from the ranks, so nothing is stored twice.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gptwright.errors import InputError
from gptwright.tokenizer.special import SpecialToken


def _byte_letters() -> list[str]:
    """The printable letter that stands for each byte in the file, as GPT-2 chose them."""
    printable = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)}
    spare = itertools.count(256)
    return [chr(byte) if byte in printable else chr(next(spare)) for byte in range(256)]


LETTER_OF_BYTE = _byte_letters()
BYTE_OF_LETTER = {letter: byte for byte, letter in enumerate(LETTER_OF_BYTE)}


def letters_of(piece: bytes) -> str:
    return "".join(LETTER_OF_BYTE[byte] for byte in piece)


def bytes_of(letters: str) -> bytes:
    return bytes(BYTE_OF_LETTER[letter] for letter in letters)


def last_merge(piece: bytes, ranks: dict[bytes, int]) -> list[bytes]:
    """The parts of `piece` just before its own merge: two, when it can be reached from bytes at all.

    With ranks {a: 0, b: 1, ab: 2, abb: 3}: last_merge(b"abb") -> [b"ab", b"b"]
    """
    limit = ranks[piece]
    parts = [bytes([byte]) for byte in piece]
    while len(parts) > 2:
        candidates = [ranks.get(left + right, limit) for left, right in itertools.pairwise(parts)]
        best = min(candidates)
        if best >= limit:
            break
        at = candidates.index(best)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def merges_of(pieces: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """The merge that makes each token of two or more bytes, in order of rank."""
    ranks = {piece: rank for rank, piece in enumerate(pieces)}
    merges = []
    for piece in pieces:
        if len(piece) < 2:
            continue
        parts = last_merge(piece, ranks)
        if len(parts) != 2:
            raise InputError(f"token {piece!r} cannot be made by merging earlier tokens: train the vocabulary again")
        merges.append((parts[0], parts[1]))
    return merges


def dump(pieces: Sequence[bytes], pattern: str) -> str:
    """The text of `tokenizer.json`. Written here, not by `tokenizers`, so that its bytes do not vary by version."""
    added = [
        {
            "id": len(pieces) + index,
            "content": str(token),
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for index, token in enumerate(SpecialToken)
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {letters_of(piece): rank for rank, piece in enumerate(pieces)},
            "merges": [[letters_of(left), letters_of(right)] for left, right in merges_of(pieces)],
        },
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def read(path: Path) -> tuple[list[bytes], str]:
    """The text tokens and the split pattern of a `tokenizer.json` that `dump` (or transformers after it) wrote."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path.parent} has no tokenizer.json: name a folder that a stage wrote, or train a tokenizer first"
        ) from None
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}): copy it again or train the tokenizer again") from None
    try:
        return _parse(content)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        reason = error if isinstance(error, InputError) else f"it lacks the fields of one: {error!r}"
        raise InputError(
            f"{path} is not a gptwright tokenizer ({reason}): take one that gptwright wrote, or go on from "
            "another model with pretrain.start, which takes its tokenizer along"
        ) from None


def _parse(content: dict[str, Any]) -> tuple[list[bytes], str]:
    by_rank = sorted(content["model"]["vocab"].items(), key=lambda item: item[1])
    ids = {token["content"]: token["id"] for token in content["added_tokens"]}
    missing = [str(token) for token in SpecialToken if token not in ids]
    if missing:
        raise InputError(f"it lacks the special tokens {', '.join(missing)}")
    # transformers may list the special tokens in the vocabulary as well.
    pieces = [bytes_of(letters) for letters, _ in by_rank if letters not in ids]
    if [rank for letters, rank in by_rank if letters not in ids] != list(range(len(pieces))):
        raise InputError("its ids have gaps")
    if [ids[token] for token in SpecialToken] != list(range(len(pieces), len(pieces) + len(SpecialToken))):
        raise InputError("its special tokens have other ids than ours")
    merges = [tuple(merge) for merge in content["model"]["merges"]]
    if merges != [(letters_of(left), letters_of(right)) for left, right in merges_of(pieces)]:
        raise InputError("its merges do not follow from its vocabulary")
    return pieces, content["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
