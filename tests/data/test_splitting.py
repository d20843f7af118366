"""Held-out text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptwright.data.splitting import split_documents
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


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5])
def test_impossible_shares_are_refused(share: float) -> None:
    with pytest.raises(InputError, match="is impossible: choose one between 0 and 1"):
        split_documents([Document("text")], share)


def test_too_little_text_is_refused() -> None:
    with pytest.raises(InputError, match="1 characters are too few to hold out"):
        split_documents([Document("x")], 0.5)
