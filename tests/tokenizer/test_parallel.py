"""Tokenizing by several processes: the ids of one, errors that say what to do, and no process left behind."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from gptwright.data.sources import read_documents
from gptwright.errors import InputError, RunError
from gptwright.tokenizer import parallel
from gptwright.tokenizer.bpe import train_bpe, train_characters
from gptwright.tokenizer.parallel import Encoder, encode_batch
from gptwright.tokenizer.tokenizer import Tokenizer

FILE_CHARACTERS = 300_000
"""Read of each real file."""


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers from the first batch on."""
    monkeypatch.setattr(parallel, "ALONE_CHARACTERS", 0)
    monkeypatch.setattr(parallel, "BATCH_TEXTS", 5)


def test_a_batch_holds_each_text_and_its_end(tokenizer: Tokenizer) -> None:
    texts = ["The cat", "", "dogs and\ncats", "\u5b66\u800c"]
    batch = encode_batch(tokenizer, texts)
    expected = [[*tokenizer.encode(text), tokenizer.document_end] for text in texts]
    assert batch.ids.tolist() == list(itertools.chain(*expected))
    assert batch.lengths.tolist() == [len(ids) for ids in expected]
    assert batch.ids.dtype == np.uint16


@pytest.mark.usefixtures("small_batches")
def test_batches_have_one_key_and_its_order(tokenizer: Tokenizer) -> None:
    texts = [("even" if number % 2 == 0 else "odd", f"cat {number}") for number in range(23)]
    with Encoder(tokenizer, 2) as encoder:
        batches = list(encoder.encode(texts))
    for key in ("even", "odd"):
        ids = np.concatenate([batch.ids for found, batch in batches if found == key])
        assert ids.tolist() == encode_batch(tokenizer, [text for found, text in texts if found == key]).ids.tolist()
    assert [(key, len(batch.lengths)) for key, batch in batches] == [
        ("even", 5), ("odd", 5), ("even", 5), ("odd", 5), ("even", 2), ("odd", 1)
    ]  # fmt: skip


def test_batches_end_with_their_characters(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "BATCH_CHARACTERS", 10)
    with Encoder(tokenizer, 1) as encoder:
        batches = encoder.encode((0, text) for text in ["abcdef", "ghij", "k" * 30, "l"])
        assert [len(batch.lengths) for _, batch in batches] == [2, 1, 1]


@pytest.mark.usefixtures("small_batches")
def test_no_more_is_read_than_the_workers_are_busy_with(tokenizer: Tokenizer) -> None:
    read = 0

    def texts() -> Iterator[tuple[int, str]]:
        nonlocal read
        for read in range(1, 1001):
            yield 0, f"cat {read}"

    with Encoder(tokenizer, 2) as encoder:
        batches = encoder.encode(texts())
        next(batches)
        assert read == 2 * parallel.BATCHES_PER_WORKER * 5


def real_texts(folder: Path) -> list[str]:
    """The beginning of every file of real text: English, Chinese, stories of many languages, messages, speeches."""
    texts = []
    for file in sorted(folder.glob("*.*")):
        taken = 0
        for document in read_documents(file):
            texts.append(document.text[:FILE_CHARACTERS])
            taken += len(document.text)
            if taken >= FILE_CHARACTERS:
                break
    return texts


@pytest.mark.usefixtures("small_batches")
def test_real_texts_have_the_ids_of_one_process_and_of_tokenizers(shared_data: Path, tmp_path: Path) -> None:
    texts = real_texts(shared_data / "pretrain")
    assert sum(map(len, texts)) > 800_000 and any("\u4e4b" in text for text in texts)
    tokenizer = train_bpe(texts[::5], 2000)
    tokenizer.save(tmp_path)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    with Encoder(tokenizer, 2) as encoder:
        ids = np.concatenate([batch.ids for _, batch in encoder.encode((0, text) for text in texts)]).tolist()
    alone = [[*tokenizer.encode(text), tokenizer.document_end] for text in texts]
    assert ids == list(itertools.chain(*alone))
    assert [batch[:-1] for batch in alone] == [
        encoding.ids for encoding in theirs.encode_batch(texts, add_special_tokens=False)
    ]


@pytest.mark.usefixtures("small_batches")
def test_what_a_vocabulary_cannot_spell_is_told_by_a_worker_too() -> None:
    characters = train_characters(["abc"], strict=True)
    with (
        Encoder(characters, 2) as encoder,
        pytest.raises(InputError, match=r"character vocabulary of 3 characters has no 'd'"),
    ):
        list(encoder.encode((0, text) for text in ["abc"] * 9 + ["d"]))


@pytest.mark.usefixtures("small_batches")
def test_a_killed_worker_ends_the_work_with_a_remedy(tokenizer: Tokenizer) -> None:
    def texts() -> Iterator[tuple[int, str]]:
        for number in range(1000):
            if number == 50:
                for child in multiprocessing.active_children():
                    assert child.pid
                    os.kill(child.pid, signal.SIGKILL)
            yield 0, "The cat"

    with Encoder(tokenizer, 2) as encoder, pytest.raises(RunError, match=r"-o machine\.workers=1"):
        list(encoder.encode(texts()))


def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import time\n"
        "from gptwright.tokenizer import parallel\n"
        "from gptwright.tokenizer.bpe import train_characters\n"
        "if __name__ == '__main__':\n"
        "    parallel.ALONE_CHARACTERS = 0\n"
        "    encoder = parallel.Encoder(train_characters([]), 2)\n"
        "    list(encoder.encode((0, 'a') for _ in range(50_000)))\n"
        "    print('working', flush=True)\n"
        "    time.sleep(600)\n",
        encoding="utf-8",
    )
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.kill()
        # Ends only when nobody holds the other end, and the workers had it from their parent.
        assert process.stdout.read() == ""
