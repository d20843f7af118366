"""Held-out text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptwright.data.splitting import Part, split_documents, split_stream
from gptwright.errors import InputError
from gptwright.records import Document


def test_one_text_loses_its_last_tenth() -> None:
    text = "".join(chr(97 + index % 26) for index in range(1003))
    (training,), (held_out,) = split_documents([Document(text)], 0.1)
    assert (training.text, held_out.text) == (text[:902], text[902:])  # nanoGPT: data[:int(n * 0.9)]


@given(st.lists(st.text(min_size=1, max_size=9), min_size=2, max_size=20), st.sampled_from([0.2, 0.5]))
def test_the_share_is_exact_and_no_character_is_lost(texts: list[str], share: float) -> None:
    total = sum(map(len, texts))
    if not 0 < total - int(total * (1 - share)) < total:
        return
    documents = [Document(text, id=str(index)) for index, text in enumerate(texts)]
    training, held_out = split_documents(documents, share)
    parts = {document.id: document.text for document in training}
    for document in held_out:
        parts[document.id] = parts.get(document.id, "") + document.text
    assert [parts[str(index)] for index in range(len(texts))] == texts
    assert sum(len(document.text) for document in training) == int(total * (1 - share))


def test_the_split_does_not_depend_on_the_order() -> None:
    documents = [Document(f"text number {index}") for index in range(50)]
    forth, back = (split_documents(order, 0.2)[1] for order in (documents, documents[::-1]))
    assert {document.text for document in forth} == {document.text for document in back}


def test_copies_of_the_text_that_is_cut_are_cut_alike() -> None:
    training, held_out = split_documents([Document("a" * 50 + "b" * 50)] * 3, 0.1)
    assert [document.text for document in training] == ["a" * 50 + "b" * 40] * 3
    assert [document.text for document in held_out] == ["b" * 10] * 3


def texts_of(parts: list[tuple[Part, Document]], wanted: Part) -> list[str]:
    return [document.text for part, document in parts if part == wanted]


def test_a_small_stream_is_split_exactly_and_keeps_its_order() -> None:
    documents = [Document(f"text number {index}") for index in range(50)]
    parts = list(split_stream(iter(documents), 0.2))
    training, held_out = split_documents(documents, 0.2)
    assert texts_of(parts, "train") == [document.text for document in training]
    assert texts_of(parts, "held_out") == [document.text for document in held_out]


def test_in_a_large_stream_the_hash_of_a_text_alone_decides() -> None:
    texts = [f"text number {index}" for index in range(2000)]
    below = {text for text in texts if int(hashlib.sha256(text.encode()).hexdigest(), 16) < 0.2 * 2**256}
    for order in (texts, texts[::-1], texts[1000:] + texts[500:]):
        parts = list(split_stream(map(Document, order), 0.2, exact_characters=10_000))
        assert texts_of(parts, "held_out") == [text for text in order if text in below]
        assert texts_of(parts, "train") == [text for text in order if text not in below]
    assert len(below) / len(texts) == pytest.approx(0.2, abs=0.03)


def test_a_document_too_long_to_fall_on_one_side_loses_its_tail() -> None:
    # 10,000 characters * 0.2 / 8 = 250: a text of 250 goes whole, one of 1,000 keeps 800.
    whole, long = "a" * 250, "b" * 1000
    parts = list(split_stream([Document(whole), Document(long)] * 10, 0.2, exact_characters=10_000))
    assert {len(document.text) for _, document in parts if "a" in document.text} == {250}
    assert [(part, len(d.text)) for part, d in parts if "b" in d.text] == [("train", 800), ("held_out", 200)] * 10


def test_a_large_stream_is_not_read_ahead() -> None:
    read = 0

    def documents() -> Iterator[Document]:
        nonlocal read
        for read in range(1, 10_001):
            yield Document(f"text number {read:05}")

    parts = split_stream(documents(), 0.5, exact_characters=1700)
    next(parts)
    assert read == 100
    for _ in range(500):
        next(parts)
    assert read == 501


def test_a_large_stream_of_which_nothing_is_held_out_is_refused() -> None:
    with pytest.raises(InputError, match=r"none of 200 documents fell to a held-out share of 0\.001: raise it"):
        list(split_stream([Document("a")] * 200, 0.001, exact_characters=100))


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5])
def test_impossible_shares_are_refused(share: float) -> None:
    with pytest.raises(InputError, match="is impossible: choose one between 0 and 1"):
        split_documents([Document("text")], share)


def test_too_little_text_is_refused() -> None:
    with pytest.raises(InputError, match="1 characters are too few to hold out"):
        split_documents([Document("x")], 0.5)
