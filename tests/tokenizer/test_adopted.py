"""Vocabularies that others trained: the ids of transformers for any text, our marks behind them, nothing lost."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from gptwright.errors import InputError
from gptwright.records import Message
from gptwright.tokenizer.chat import render
from gptwright.tokenizer.parallel import encode_batch
from gptwright.tokenizer.special import SpecialToken
from gptwright.tokenizer.tokenizer import Tokenizer

TEXTS = (
    "The cat isn't 1234  years old.\n\n\t\u5b66\u800c \U0001f408",
    " and the dog",
    "a <|im_start|> <think> <|end_of_text|> </s> <|user|> b",
    "",
)
Write = Callable[..., Path]


PLAIN = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
KINDS = ("qwen", "llama3", "llama2")
ENDS = {"qwen": "<|endoftext|>", "llama3": "<|end_of_text|>", "llama2": "</s>"}
OPENINGS = {"qwen": "<|endoftext|>", "llama3": "<|begin_of_text|>", "llama2": "<s>"}


@pytest.fixture
def write(foreign_tokenizer: Write) -> Write:
    return foreign_tokenizer


def rows_of(folder: Path) -> int:
    return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size()


def adopted(folder: Path, spare: int = 20) -> Tokenizer:
    return Tokenizer.taken_along(folder, rows_of(folder) + spare)


@pytest.mark.parametrize("kind", KINDS)
def test_text_has_the_ids_that_it_has_there(write: Write, kind: str) -> None:
    folder = write(kind)
    theirs, ours = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")), adopted(folder)
    for text in TEXTS[:2]:  # the others hold what they take for special tokens
        blank = " " if kind == "llama2" else ""  # theirs puts one in front, ours does not
        assert ours.encode(blank + text) == theirs.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("kind", KINDS)
def test_text_comes_back_and_is_only_ever_text(write: Write, kind: str) -> None:
    tokenizer = adopted(write(kind))
    special = {token for token in range(tokenizer.vocab_size) if not tokenizer.byte_lengths[token]}
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert not set(ids) & special
        assert tokenizer.byte_lengths[ids].sum() == len(text.encode())
    assert tokenizer.decode(tokenizer.encode("a\ud83d")) == "a\ufffd"


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_in_another_process_reads_the_same_ids(write: Write, kind: str) -> None:
    tokenizer = adopted(write(kind))
    copied = pickle.loads(pickle.dumps(tokenizer))
    for text in [*TEXTS, "a <|endoftext|> b <|im_start|> c </s> <|user|>"]:
        assert copied.encode(text) == tokenizer.encode(text)


@pytest.mark.parametrize("kind", KINDS)
def test_documents_end_and_open_as_they_did_in_pretraining(write: Write, kind: str) -> None:
    folder = write(kind)
    theirs, tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")), adopted(folder)
    end, opening = theirs.token_to_id(ENDS[kind]), theirs.token_to_id(OPENINGS[kind])
    assert (tokenizer.document_end, tokenizer.opening) == (end, opening)
    document = encode_batch(tokenizer, ["cat"]).ids
    assert document.tolist() == [*tokenizer.encode("cat"), *([end] if end == opening else [end, opening])]


def test_an_unknown_end_of_documents_is_what_the_maker_calls_eos(write: Write) -> None:
    folder = write("qwen", eos_token={"content": "<stop>"})
    path = folder / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace("<|endoftext|>", "<stop>"), encoding="utf-8")
    tokenizer = adopted(folder)
    assert tokenizer.decode([tokenizer.document_end]) == "<stop>"
    (folder / "tokenizer_config.json").unlink()
    assert adopted(folder).decode([adopted(folder).document_end]) == SpecialToken.DOCUMENT_END


def test_marks_stand_behind_all_ids_and_take_rows_that_are_left_over(write: Write) -> None:
    folder = write("qwen")
    end = rows_of(folder)
    tokenizer = adopted(folder, spare=20)
    assert tokenizer.vocab_size == end + 20
    marks = [token for name, token in tokenizer.special_ids.items() if name != SpecialToken.DOCUMENT_END]
    assert sorted(marks) == list(range(end, end + 11))
    assert tokenizer.decode([end + 11, end + 19]) == "<|reserved_0|><|reserved_8|>"
    assert tokenizer.decode([end, end + 19, *tokenizer.encode("cat")], skip_special=True) == "cat"


def test_without_rows_to_spare_the_vocabulary_grows_to_a_multiple_of_64(write: Write) -> None:
    folder = write("qwen")
    size = adopted(folder, spare=10).vocab_size
    assert size % 64 == 0
    assert rows_of(folder) + 11 <= size < rows_of(folder) + 11 + 64


def test_a_mark_that_is_there_already_keeps_its_id(write: Write) -> None:
    folder = write("qwen")
    theirs = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    theirs.add_tokens(["<|user|>"])
    theirs.save(str(folder / "tokenizer.json"))
    tokenizer = adopted(folder)
    assert tokenizer.user == theirs.token_to_id("<|user|>")
    assert tokenizer.user not in tokenizer.encode("<|user|>")


@pytest.mark.parametrize("kind", KINDS)
def test_saved_it_is_the_same_tokenizer_to_us_and_to_transformers(write: Write, tmp_path: Path, kind: str) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = adopted(write(kind))
    tokenizer.save(tmp_path)
    again = Tokenizer.taken_along(tmp_path, tokenizer.vocab_size)
    assert (again.fingerprint, again.special_ids) == (tokenizer.fingerprint, tokenizer.special_ids)
    other = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert other(TEXTS[0], add_special_tokens=False)["input_ids"] == tokenizer.encode(TEXTS[0])
    assert other.decode(tokenizer.encode(TEXTS[0])) == TEXTS[0]
    ids = (other.bos_token_id, other.eos_token_id, other.pad_token_id)
    assert ids == (tokenizer.opening, tokenizer.end_of_turn, tokenizer.pad)
    messages = [Message("user", "Is it a cat?"), Message("assistant", "Yes.")]
    chat = [{"role": message.role, "content": message.content} for message in messages]
    assert other.apply_chat_template(chat)["input_ids"] == render(messages, tokenizer).ids
    other.save_pretrained(tmp_path / "again")
    written_again = Tokenizer.load(tmp_path / "again")
    assert written_again.special_ids == tokenizer.special_ids
    assert (written_again.opening, written_again.vocab_size) == (tokenizer.opening, tokenizer.vocab_size)
    assert [written_again.encode(text) for text in TEXTS] == [tokenizer.encode(text) for text in TEXTS]


def test_our_own_tokenizer_comes_as_it_is(tokenizer: Tokenizer, saved: Path) -> None:
    assert Tokenizer.taken_along(saved, tokenizer.vocab_size).fingerprint == tokenizer.fingerprint


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": {"type": "Unigram", "vocab": []}}, "its kind is Unigram, and only BPE is known"),
        ({"pre_tokenizer": None}, "it has no token for single bytes"),
        ({"normalizer": {"type": "Lowercase"}}, r"it makes .the cat .* so text would be lost"),
        ({"model": None}, "it lacks the fields of one"),
        ({"decoder": {"type": "Spoken"}}, "did not match any variant"),
        ({"added_tokens": [{"id": 900, "content": "<|far|>", "special": True, **PLAIN}]}, "its ids have gaps before"),
    ],
)
def test_a_vocabulary_that_cannot_be_taken_along_is_refused(write: Write, changes: dict[str, Any], named: str) -> None:
    folder = write("qwen")
    edit(folder, **changes)
    with pytest.raises(InputError, match=rf"tokenizer\.json cannot be taken along.*{named}"):
        adopted_or_refused(folder)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no tokenizer\.json, and a model is worth nothing without its tokenizer"):
        adopted_or_refused(tmp_path)


def test_a_damaged_copy_of_an_adopted_vocabulary_is_refused(write: Write, tmp_path: Path) -> None:
    adopted(write("qwen")).save(tmp_path)
    edit(tmp_path, added_tokens=[])
    with pytest.raises(InputError, match=r"tokenizer\.json is damaged"):
        Tokenizer.load(tmp_path)


def adopted_or_refused(folder: Path) -> Tokenizer:
    return Tokenizer.taken_along(folder, 512)
