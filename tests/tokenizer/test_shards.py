"""Token shards on disk, and statistics of a vocabulary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gptwright.errors import InputError
from gptwright.tokenizer.bpe import train_characters
from gptwright.tokenizer.shards import read_shard, resume_shard, shard_dtype, sidecar_of, write_shard
from gptwright.tokenizer.stats import token_stats
from gptwright.tokenizer.tokenizer import Tokenizer


@pytest.fixture
def path(tmp_path: Path, tokenizer: Tokenizer) -> Path:
    documents = [[*tokenizer.encode(text), tokenizer.document_end] for text in ("The cat", "\u5b66")]
    write_shard(tmp_path / "cats.bin", documents, tokenizer)
    return tmp_path / "cats.bin"


def test_a_shard_holds_the_documents_one_after_another(path: Path, tokenizer: Tokenizer) -> None:
    end = tokenizer.document_end
    shard = read_shard(path)
    assert shard.ids.tolist() == [*tokenizer.encode("The cat"), end, *tokenizer.encode("\u5b66"), end]
    assert shard.ids.dtype == np.uint16
    assert (shard.tokens, shard.bytes, shard.info.documents) == (len(shard.ids), 10, 2)
    assert shard.info.fingerprint == tokenizer.fingerprint


def test_wide_ids_are_for_vocabularies_above_65536() -> None:
    assert (shard_dtype(65_536), shard_dtype(65_537)) == (np.uint16, np.uint32)


def test_ids_outside_the_vocabulary_are_refused_and_leave_no_file(tmp_path: Path, tokenizer: Tokenizer) -> None:
    for bad in ([tokenizer.vocab_size], [-1]):
        with pytest.raises((IndexError, ValueError)):
            write_shard(tmp_path / "x.bin", [[1], bad], tokenizer)
    assert list(tmp_path.iterdir()) == []


def test_a_second_writer_is_refused_and_the_first_goes_on(tmp_path: Path, tokenizer: Tokenizer) -> None:
    pytest.importorskip("fcntl", reason="no locks of this kind here")
    path = tmp_path / "x.bin"
    with resume_shard(path, tokenizer, None) as first:
        first.add(np.array([1, 2]), 1)
        kept = first.keep()
        with (
            pytest.raises(InputError, match=r"x\.bin\.partial is being written by another process"),
            resume_shard(path, tokenizer, kept),
        ):
            pass
        first.add(np.array([3]), 1)
    assert read_shard(path).ids.tolist() == [1, 2, 3]


def test_an_empty_shard_is_refused(tmp_path: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="no tokens to write"):
        write_shard(tmp_path / "x.bin", [], tokenizer)


def test_a_missing_shard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.bin does not exist: prepare the corpus first"):
        read_shard(tmp_path / "x.bin")


def test_a_cut_shard_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(InputError, match=r"bytes where its .* tokens need"):
        read_shard(path, verify=False)


def test_a_flipped_bit_is_found(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="is damaged"):
        read_shard(path)


def test_a_lost_sidecar_is_refused(path: Path) -> None:
    sidecar_of(path).unlink()
    with pytest.raises(InputError, match=r"has no cats\.bin\.json beside it"):
        read_shard(path)


def test_a_damaged_sidecar_is_refused(path: Path) -> None:
    sidecar_of(path).write_text('{"dtype": "uint16"}', encoding="utf-8")
    with pytest.raises(InputError, match="is damaged"):
        read_shard(path)


def test_statistics_by_hand() -> None:
    # 8 + 3 bytes, each its own token and no two alike; 2 + 1 words.
    stats = token_stats(train_characters([]), ["The cat\n", "\u5b66", ""])
    assert (stats.texts, stats.tokens, stats.bytes, stats.words) == (3, 11, 11, 3)
    assert stats.bytes_per_token == 1.0
    assert stats.words_per_token == 3 / 11
