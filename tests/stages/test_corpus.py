"""From documents to shards: enough of what never ends, all of what does, and a manifest that says so."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gptwright.data.jsonl import write_jsonl
from gptwright.data.sources import read_found
from gptwright.data.splitting import Part
from gptwright.errors import InputError
from gptwright.recipe import TokenizerSettings
from gptwright.records import Document
from gptwright.stages import corpus
from gptwright.stages.corpus import TextSource, build_corpus, build_tokenizer, open_corpus
from gptwright.tokenizer import parallel
from gptwright.tokenizer.bpe import train_characters
from gptwright.tokenizer.tokenizer import Tokenizer


def endless(name: str, share: float, text: str) -> TextSource:
    """The same text for ever; held-out documents are in capitals."""

    def stream(given: str) -> Iterator[Document]:
        return (Document(given, name) for _ in itertools.count())

    return TextSource(name, share, lambda: stream(text), lambda: stream(text.upper()))


def finite(name: str, share: float, count: int, text: str) -> TextSource:
    train = [Document(text, name)] * count
    held_out = [Document(text.upper(), name)] * 10

    def both() -> Iterator[tuple[Part, Document]]:
        """One held-out document after each of the first ten of training."""
        for index in range(max(count, 10)):
            yield from (("train", document) for document in train[index : index + 1])
            yield from (("held_out", document) for document in held_out[index : index + 1])

    return TextSource(name, share, lambda: iter(train), lambda: iter(held_out), both)


def manifest(folder: Path) -> dict[str, dict[str, float]]:
    entries = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["sources"]
    return {entry["name"]: entry for entry in entries}


def test_an_endless_source_gives_what_one_epoch_needs_and_a_row_more(tokenizer: Tokenizer, tmp_path: Path) -> None:
    sources = [endless("web", 0.75, "abcd"), endless("books", 0.25, "xyz")]
    build_corpus(sources, tokenizer, tmp_path, tokens=1000, held_out=0.1, context=16)
    entries = manifest(tmp_path)
    # "abcd" and its end are 5 tokens: 750 + 17 needs 154 documents; "xyz" and its end are 4: 250 + 17 needs 67.
    assert (entries["web"]["documents"], entries["web"]["tokens"], entries["web"]["bytes"]) == (154, 770, 616)
    assert (entries["books"]["documents"], entries["books"]["tokens"], entries["books"]["bytes"]) == (67, 268, 201)
    # 75 + 17 tokens of the held-out web, rounded up to whole documents.
    assert entries["web"]["held_out_tokens"] == 95
    # A tenth of 250 is less than two rows: two rows are taken.
    assert entries["books"]["held_out_tokens"] == 44


def test_the_time_left_is_told_of_files_and_of_what_never_ends(
    tokenizer: Tokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gptwright.train.progress.PLAIN_SECONDS", 0.0)
    monkeypatch.setattr("gptwright.tokenizer.parallel.BATCH_CHARACTERS", 10_000)
    files = tuple(tmp_path / name for name in ("a.jsonl", "b.jsonl"))
    for file in files:
        write_jsonl(file, [{"text": "abcd " * 20}] * 2_000)

    def both() -> Iterator[tuple[Part, Document]]:
        return (("train" if number % 10 else "held_out", read) for number, read in enumerate(read_found([*files])))

    books = replace(finite("books", 0.5, 1, "x"), files=files, both=both)
    build_corpus([endless("web", 0.5, "abcd"), books], tokenizer, tmp_path, tokens=10_000, held_out=0.1, context=16)
    told = capsys.readouterr().err.splitlines()
    for name in ("web", "books"):
        assert sum(line.endswith(f"left  {name}") for line in told) > 2, "\n".join(told)


def test_epochs_are_how_often_a_source_is_gone_through(tokenizer: Tokenizer, tmp_path: Path) -> None:
    sources = [endless("web", 0.5, "abcd"), finite("books", 0.5, 25, "xyz")]
    build_corpus(sources, tokenizer, tmp_path, tokens=1000, held_out=0.1, context=16)
    entries = manifest(tmp_path)
    assert entries["books"]["tokens"] == 100
    assert entries["books"]["epochs"] == pytest.approx(5.0)
    assert 0.9 < entries["web"]["epochs"] <= 1.0
    assert [entries[name]["share"] for name in ("web", "books")] == [0.5, 0.5]


def test_the_opened_corpus_mixes_by_share_and_keeps_held_out_text_apart(tokenizer: Tokenizer, tmp_path: Path) -> None:
    sources = [endless("web", 0.75, "abcd"), endless("books", 0.25, "xyz")]
    build_corpus(sources, tokenizer, tmp_path, tokens=1000, held_out=0.1, context=16)
    corpus = open_corpus(tmp_path, context=16, seed=0)
    inputs, targets = corpus.rows.batch(0, 40)
    assert np.array_equal(inputs[:, 1:], targets[:, :-1])
    from_books = [b"x"[0] in row for row in inputs]
    assert sum(from_books) == 10
    assert not set(b"ABCDXYZ") & set(inputs.flatten().tolist())
    assert set(corpus.held_out["web"].tolist()) == {*b"ABCD", tokenizer.document_end}


def test_a_corpus_without_a_shard_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    build_corpus([finite("books", 1.0, 25, "xyz")], tokenizer, tmp_path, tokens=64, held_out=0.1, context=16)
    (tmp_path / "books.train.bin").unlink()
    with pytest.raises(InputError, match=r"books\.train\.bin does not exist"):
        open_corpus(tmp_path, context=16, seed=0)


def test_a_second_call_finds_what_a_killed_one_has_finished(tokenizer: Tokenizer, tmp_path: Path) -> None:
    books, web = finite("books", 0.5, 25, "xyz"), finite("web", 0.5, 25, "abcd")

    def killed() -> Iterator[tuple[Part, Document]]:
        yield "train", Document("abcd")
        raise KeyboardInterrupt

    def read_again() -> Iterator[tuple[Part, Document]]:
        raise AssertionError("books was finished")

    def build(sources: list[TextSource], folder: str, shards: str) -> None:
        (tmp_path / folder).mkdir()
        build_corpus(
            sources, tokenizer, tmp_path / folder, tokens=64, held_out=0.1, context=16, shards=tmp_path / shards
        )

    build([books, web], "unbroken", "first")
    with pytest.raises(KeyboardInterrupt):
        build([books, dataclasses.replace(web, both=killed)], "killed", "second")
    assert list((tmp_path / "killed").iterdir()) == []
    build([dataclasses.replace(books, both=read_again), web], "resumed", "second")
    unbroken, resumed = (
        {file.name: file.read_bytes() for file in (tmp_path / folder).iterdir()} for folder in ("unbroken", "resumed")
    )
    assert unbroken == resumed and len(unbroken) == 9
    assert list((tmp_path / "second").iterdir()) == []


@pytest.mark.parametrize("damage", [None, b"", b"??"], ids=["as it was", "lost", "other bytes"])
def test_a_source_goes_on_where_a_killed_call_had_kept_it(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes | None
) -> None:
    monkeypatch.setattr(corpus, "KEEP_SECONDS", -1.0)
    monkeypatch.setattr(parallel, "BATCH_TEXTS", 3)
    documents = [Document(f"text {number}" * (number % 4), "books") for number in range(60)]
    parts: list[Part] = ["held_out" if number % 5 == 2 else "train" for number in range(60)]

    def both(until: int = 60) -> Iterator[tuple[Part, Document]]:
        for number, pair in enumerate(zip(parts, documents, strict=True)):
            if number == until:
                raise KeyboardInterrupt
            yield pair

    def build(folder: str, shards: str, until: int = 60) -> None:
        source = TextSource("books", 1.0, lambda: iter(documents), lambda: iter(documents), lambda: both(until))
        (tmp_path / folder).mkdir(exist_ok=True)
        build_corpus(
            [source], tokenizer, tmp_path / folder, tokens=9, held_out=0.1, context=4, shards=tmp_path / shards
        )

    build("unbroken", "first")
    encoded: list[str] = []
    monkeypatch.setattr(tokenizer, "encode", lambda text, encode=tokenizer.encode: encoded.append(text) or encode(text))
    for until in (20, 45):
        with pytest.raises(KeyboardInterrupt):
            build("killed", "second", until)
    if damage is not None:
        (tmp_path / "second" / "books.train.bin.partial").write_bytes(damage)
    build("killed", "second")
    unbroken, resumed = (
        {file.name: file.read_bytes() for file in (tmp_path / folder).iterdir()} for folder in ("unbroken", "killed")
    )
    assert unbroken == resumed and len(unbroken) == 5
    assert list((tmp_path / "second").iterdir()) == []
    # What was kept is not encoded again: with a batch of three of each part on the way twice, a few are.
    assert damage is not None or len(encoded) <= 60 + 2 * 2 * 3


def test_several_processes_write_what_one_does(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "ALONE_CHARACTERS", 0)
    monkeypatch.setattr(parallel, "BATCH_TEXTS", 7)
    sources = [finite("books", 0.5, 99, "xyz"), finite("web", 0.5, 60, "abcd")]
    written = []
    for workers in (1, 2):
        (tmp_path / str(workers)).mkdir()
        build_corpus(sources, tokenizer, tmp_path / str(workers), tokens=64, held_out=0.1, context=16, workers=workers)
        written.append({file.name: file.read_bytes() for file in (tmp_path / str(workers)).iterdir()})
    assert written[0] == written[1]


def test_the_tokenizer_learns_from_every_source_by_its_share() -> None:
    # 90 bytes of "ab" give 45 documents, 10 bytes of "zz" give 5: the more frequent pair is merged first.
    sources = [endless("web", 0.9, "ab"), endless("books", 0.1, "zz")]
    tokenizer, stats = build_tokenizer(sources, TokenizerSettings(vocab_size=270, sample_bytes=100))
    assert stats["vocab_size"] == tokenizer.vocab_size == 270
    assert [tokenizer.decode([256]), tokenizer.decode([257])] == ["ab", "zz"]
    assert stats["bytes_per_token"] == pytest.approx(2.0)


def sample_of(monkeypatch: pytest.MonkeyPatch, sources: list[TextSource], sample_bytes: int) -> list[str]:
    """What the vocabulary is learned from."""
    learned: list[str] = []

    def learn(texts: list[str], vocab_size: int) -> Tokenizer:
        learned.extend(texts)
        return train_characters([])

    monkeypatch.setattr(corpus, "train_bpe", learn)
    build_tokenizer(sources, TokenizerSettings(sample_bytes=sample_bytes))
    return learned


def test_one_long_document_gives_the_sample_no_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    book = "".join(f"{line:07}\n" for line in range(100_000))  # 800 kB in one document
    sources = [endless("web", 0.9, "ab" * 500), finite("book", 0.1, 1, book)]
    sample = sample_of(monkeypatch, sources, 400_000)
    of_book = [text for text in sample if text[0] != "a"]
    assert sum(map(len, of_book)) == 40_000
    assert sum(map(len, sample)) == 400_000
    # Three pieces: from the beginning, and from a third and two thirds of the way.
    assert [text.split()[1] for text in of_book] == ["0000001", "0033334", "0066667"]


def test_the_sample_counts_bytes_and_cuts_between_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [endless("web", 0.5, "ab" * 500), finite("chinese", 0.5, 1, "\u5b66\u800c\u65f6" * 30_000)]
    sample = sample_of(monkeypatch, sources, 100_000)
    of_chinese = "".join(text for text in sample if text[0] != "a")
    # Three bytes a character, less what stands on the borders of four pieces.
    assert 50_000 - 4 * 4 <= len(of_chinese.encode()) <= 50_000
    assert set(of_chinese) == set("\u5b66\u800c\u65f6")


def test_short_documents_are_sampled_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = sample_of(monkeypatch, [endless("chinese", 1.0, "\u5b66" * 100)], 3_000)
    assert sample == ["\u5b66" * 100] * 10


def test_a_character_vocabulary_holds_the_held_out_text_too() -> None:
    tokenizer, _ = build_tokenizer([finite("play", 1.0, 3, "to be")], TokenizerSettings(kind="characters"))
    assert tokenizer.decode(tokenizer.encode("BE to")) == "BE to"
    with pytest.raises(InputError):
        tokenizer.encode("q")


def test_a_character_vocabulary_of_an_endless_source_is_refused() -> None:
    with pytest.raises(InputError, match="kind: bpe"):
        build_tokenizer([endless("web", 1.0, "ab")], TokenizerSettings(kind="characters"))


def in_two_phases() -> list[TextSource]:
    """The first 80% are the web, the last 20% half the web and half books."""
    sources = [endless("web", 1.0, "abcd"), finite("books", 0.0, 25, "xyz")]
    return [replace(source, finish=0.2, finish_share=0.5) for source in sources]


def test_a_finishing_mixture_stands_in_the_manifest_and_is_told(
    tokenizer: Tokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build_corpus(in_two_phases(), tokenizer, tmp_path, tokens=1000, held_out=0.1, context=16)
    entries = manifest(tmp_path)
    web, books = entries["web"], entries["books"]
    assert (web["share"], web["main_share"], web["finish_share"]) == pytest.approx((0.9, 1.0, 0.5))
    assert (books["share"], books["main_share"], books["finish_share"]) == pytest.approx((0.1, 0.0, 0.5))
    # 900 + 17 tokens are written of what never ends; 100 of 100 tokens of books are read.
    assert (web["tokens"], books["epochs"]) == (920, pytest.approx(1.0))
    told = [line.split() for line in capsys.readouterr().err.splitlines() if " of the " in line]
    assert told == [
        ["web", "100.0%", "of", "the", "first", "80%", "0.87", "epochs"],
        ["web", "50.0%", "of", "the", "last", "20%", "0.11", "epochs"],
        ["books", "50.0%", "of", "the", "last", "20%", "1.00", "epochs"],
    ]


def test_the_opened_corpus_changes_its_mixture_at_the_row(tokenizer: Tokenizer, tmp_path: Path) -> None:
    build_corpus(in_two_phases(), tokenizer, tmp_path, tokens=1000, held_out=0.1, context=16)
    corpus = open_corpus(tmp_path, context=16, seed=0, finish_row=48)
    inputs, _ = corpus.rows.batch(0, 60)
    from_books = [b"x"[0] in row for row in inputs]
    assert (sum(from_books[:48]), sum(from_books[48:])) == (0, 6)
    assert set(corpus.held_out) == {"web", "books"}
    assert corpus.rows.mixture.names == ("web",)


def test_a_given_tokenizer_is_taken_as_it_is(tokenizer: Tokenizer) -> None:
    found, stats = build_tokenizer([endless("web", 1.0, "ab cd")], TokenizerSettings(sample_bytes=100), tokenizer)
    assert found is tokenizer
    assert (stats["vocab_size"], stats["bytes_per_token"]) == (tokenizer.vocab_size, pytest.approx(1.0))
