"""Streamed text: whole characters, nothing of a stop string, and nothing lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptwright.engine.text import TextStream
from gptwright.tokenizer.tokenizer import Tokenizer

TEXTS = st.text(alphabet="ab\nU:é水🙂", max_size=30)


def shown(stream: TextStream, ids: list[int]) -> list[str]:
    return [*(stream.feed(token) for token in ids), stream.finish()]


@given(text=TEXTS)
def test_all_text_comes_and_every_piece_is_whole_characters(tokenizer: Tokenizer, text: str) -> None:
    pieces = shown(TextStream(tokenizer), tokenizer.encode(text))
    assert "".join(pieces) == text
    assert "\ufffd" not in "".join(pieces)


@given(text=TEXTS, stop=st.lists(st.text(alphabet="ab\nU:é水", min_size=1, max_size=4), max_size=3))
def test_text_ends_before_the_first_stop_string(tokenizer: Tokenizer, text: str, stop: list[str]) -> None:
    """The tokenizer of the tests has bytes for tokens, so every border between tokens is tried."""
    stream = TextStream(tokenizer, stop)
    # A string that is whole first ends the text, though another may have begun before it.
    ends = [end for end in range(1, len(text) + 1) if any(text[:end].endswith(string) for string in stop)]
    expected = text
    if ends:
        begun = [ends[0] - len(string) for string in stop if text[: ends[0]].endswith(string)]
        expected = text[: min(begun)]
    assert "".join(shown(stream, tokenizer.encode(text))) == expected
    assert stream.stopped == bool(ends)


def test_what_may_begin_a_stop_string_waits(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer, ["\nUser:"])
    assert shown(stream, tokenizer.encode("a\nUsb"))[:-1] == ["a", "", "", "", "\nUsb"]


def test_half_a_character_at_the_end_is_marked(tokenizer: Tokenizer) -> None:
    half = tokenizer.encode("水")[:-1]
    assert shown(TextStream(tokenizer), half)[-1] == "\ufffd"


def test_special_tokens_are_no_text(tokenizer: Tokenizer) -> None:
    ids = [*tokenizer.encode("a"), tokenizer.end_of_turn]
    assert "".join(shown(TextStream(tokenizer), ids)) == "a"


@pytest.mark.parametrize("stop", [["b"], ["ab", "b"]])
def test_nothing_comes_after_the_end(tokenizer: Tokenizer, stop: list[str]) -> None:
    stream = TextStream(tokenizer, stop)
    pieces = shown(stream, tokenizer.encode("xabxx"))
    assert "".join(pieces) == ("xa" if stop == ["b"] else "x")
