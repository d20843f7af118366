"""Saving a tokenizer, loading it again, and what other tools make of the folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from gptwright.errors import InputError
from gptwright.tokenizer.bpe import train_bpe, train_characters
from gptwright.tokenizer.tokenizer import Tokenizer


def edit(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, **changes}), encoding="utf-8")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def test_a_loaded_tokenizer_is_the_saved_one(tokenizer: Tokenizer, saved: Path) -> None:
    loaded = Tokenizer.load(saved)
    assert loaded.fingerprint == tokenizer.fingerprint
    assert loaded.encode("The cat isn't 12") == tokenizer.encode("The cat isn't 12")
    assert loaded.special_ids == tokenizer.special_ids


def test_a_loaded_character_vocabulary_still_refuses_unseen_characters(tmp_path: Path) -> None:
    train_characters(["a b\nc"], strict=True).save(tmp_path)
    loaded = Tokenizer.load(tmp_path)
    assert loaded.encode("c\n") == [4, 0]
    with pytest.raises(InputError, match="has no 'd'"):
        loaded.encode("d")


def test_same_texts_give_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        train_bpe(["the cat sat on the mat"] * 3, 280).save(tmp_path / name)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_fingerprints_differ_with_the_vocabulary(tokenizer: Tokenizer) -> None:
    assert train_characters(["abc"]).fingerprint != tokenizer.fingerprint
    assert len(tokenizer.fingerprint) == 16


def test_transformers_gives_the_same_ids_and_special_tokens(tokenizer: Tokenizer, saved: Path) -> None:
    transformers = pytest.importorskip("transformers")
    other = transformers.AutoTokenizer.from_pretrained(saved)
    text = "The cat isn't 1234  years old.\n\n\t\u5b66\u800c"
    assert other(text)["input_ids"] == tokenizer.encode(text)
    assert other.decode(tokenizer.encode(text)) == text
    assert len(other) == tokenizer.vocab_size
    ids = (other.bos_token_id, other.eos_token_id, other.pad_token_id)
    assert ids == (tokenizer.document_end, tokenizer.end_of_turn, tokenizer.pad)


def test_a_folder_that_transformers_wrote_loads_as_the_same_tokenizer(
    tokenizer: Tokenizer, saved: Path, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    transformers.AutoTokenizer.from_pretrained(saved).save_pretrained(tmp_path)
    assert Tokenizer.load(tmp_path).fingerprint == tokenizer.fingerprint


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no tokenizer\.json: name a folder that a stage wrote"):
        Tokenizer.load(tmp_path)


def test_a_cut_file_is_refused(folder: Path) -> None:
    path = folder / "tokenizer.json"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"tokenizer\.json is not valid JSON"):
        Tokenizer.load(folder)


def test_another_projects_tokenizer_is_refused_by_what_it_lacks(folder: Path) -> None:
    edit(folder / "tokenizer.json", added_tokens=[])
    with pytest.raises(InputError, match=r"it lacks the special tokens <\|document_end\|>"):
        Tokenizer.load(folder)


def test_a_file_of_another_kind_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("[1, 2]", encoding="utf-8")
    with pytest.raises(InputError, match="is not a gptwright tokenizer"):
        Tokenizer.load(folder)


def test_merges_that_do_not_fit_the_vocabulary_are_refused(folder: Path) -> None:
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    edit(folder / "tokenizer.json", model={**model, "merges": model["merges"][::-1]})
    with pytest.raises(InputError, match="its merges do not follow from its vocabulary"):
        Tokenizer.load(folder)


def test_ids_with_gaps_are_refused(folder: Path) -> None:
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    vocab = {letters: rank for letters, rank in model["vocab"].items() if rank != 280}
    edit(folder / "tokenizer.json", model={**model, "vocab": vocab})
    with pytest.raises(InputError, match="its ids have gaps"):
        Tokenizer.load(folder)


def test_moved_special_tokens_are_refused(folder: Path) -> None:
    added = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    edit(folder / "tokenizer.json", added_tokens=[{**token, "id": token["id"] + 1} for token in added])
    with pytest.raises(InputError, match="its special tokens have other ids than ours"):
        Tokenizer.load(folder)


def test_a_token_that_no_merge_makes_is_refused(folder: Path) -> None:
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    vocab = {letters if rank != 256 else "qzj": rank for letters, rank in model["vocab"].items()}
    edit(folder / "tokenizer.json", model={**model, "vocab": vocab})
    with pytest.raises(InputError, match="token b'qzj' cannot be made by merging earlier tokens"):
        Tokenizer.load(folder)


def test_a_cut_configuration_is_refused(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text('{"chat_', encoding="utf-8")
    with pytest.raises(InputError, match=r"tokenizer_config\.json is not valid JSON"):
        Tokenizer.load(folder)


def test_an_earlier_chat_template_is_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(folder / "tokenizer_config.json", chat_template="{{ messages }}")
    known = hashlib.sha256(b"{{ messages }}").hexdigest()[:16]
    monkeypatch.setattr("gptwright.tokenizer.tokenizer.EARLIER_HASHES", (known,))
    assert Tokenizer.load(folder).vocab_size > 256


def test_another_chat_template_is_refused(folder: Path) -> None:
    edit(folder / "tokenizer_config.json", chat_template="{{ messages }}")
    with pytest.raises(InputError, match="has another chat template"):
        Tokenizer.load(folder)
