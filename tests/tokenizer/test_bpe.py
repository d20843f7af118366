"""Training vocabularies, encoding and decoding."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from gptwright.errors import InputError
from gptwright.tokenizer import bpe
from gptwright.tokenizer.bpe import SPLIT_PATTERN, train_bpe, train_characters
from gptwright.tokenizer.special import SpecialToken
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.tokenizer.tokenizer_json import last_merge

# Text that stresses the split: blanks, line ends, contractions, digits, letters of several scripts.
tricky_text = st.lists(
    st.one_of(
        st.sampled_from(
            [" ", "  ", "\n", "\r\n", "\t", "'s", "'LL", "'\u017f", "12", "a", "the", "\u5b66", "\u00a0", "!?"]
        ),
        st.text(max_size=5),
    ),
    max_size=20,
).map("".join)


def test_first_merge_is_the_most_frequent_pair() -> None:
    # ab occurs 4 times, then (ab)(ab) twice; everything else once.
    tokenizer = train_bpe(["abab abab"], 256 + len(SpecialToken) + 1)
    assert tokenizer.encode("abab") == [256, 256]
    assert tokenizer.decode_bytes([256]) == b"ab"


def test_last_merge_splits_a_token_where_it_was_made() -> None:
    ranks = {b"a": 0, b"b": 1, b"bb": 2, b"abb": 3}
    assert last_merge(b"abb", ranks) == [b"a", b"bb"]
    ranks = {b"a": 0, b"b": 1, b"ab": 2, b"abb": 3}
    assert last_merge(b"abb", ranks) == [b"ab", b"b"]


def test_digits_stand_alone() -> None:
    assert train_bpe(["1234 cats " * 50], 270).encode("1234") == [0x31, 0x32, 0x33, 0x34]


@given(st.text())
def test_any_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(st.binary())
def test_any_bytes_come_back_as_byte_tokens(tokenizer: Tokenizer, content: bytes) -> None:
    assert tokenizer.decode_bytes(content) == content  # ids 0 to 255 are the bytes


@given(tricky_text)
def test_ids_equal_those_of_the_tokenizers_package(tokenizer: Tokenizer, saved: Path, text: str) -> None:
    assert tokenizers.Tokenizer.from_file(str(saved / "tokenizer.json")).encode(text).ids == tokenizer.encode(text)


def test_ids_equal_those_of_the_tokenizers_package_on_real_text(shared_data: Path, tmp_path: Path) -> None:
    english = (shared_data / "pretrain" / "tinyshakespeare.txt").read_text(encoding="utf-8")[:300_000]
    with gzip.open(shared_data / "pretrain" / "chinese_classics.jsonl.gz", "rt", encoding="utf-8") as lines:
        chinese = "".join(json.loads(line)["text"] for line in itertools.islice(lines, 100))[:100_000]
    tokenizer = train_bpe([english, chinese], 2048)
    tokenizer.save(tmp_path)
    reference = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in (english, chinese):
        assert tokenizer.encode(text) == reference.encode(text).ids


def test_real_text_is_split_as_qwen2_does(shared_data: Path) -> None:
    qwen2 = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    text = (shared_data / "pretrain" / "tinyshakespeare.txt").read_text(encoding="utf-8")[:300_000]
    with gzip.open(shared_data / "pretrain" / "wikipedia_30_articles.txt.gz", "rt", encoding="utf-8") as file:
        text += file.read(300_000)
    ours, theirs = (
        tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated").pre_tokenize_str(text)
        for pattern in (SPLIT_PATTERN, qwen2)
    )
    assert ours == theirs


@pytest.mark.parametrize("token", list(SpecialToken))
def test_special_strings_in_text_stay_text(tokenizer: Tokenizer, token: SpecialToken) -> None:
    ids = tokenizer.encode(f"cat{token}dog")
    assert not set(ids) & set(tokenizer.special_ids.values())
    assert tokenizer.decode(ids) == f"cat{token}dog"


def test_special_tokens_can_be_left_out_of_decoded_text(tokenizer: Tokenizer) -> None:
    ids = [tokenizer.user, *tokenizer.encode("cat"), tokenizer.end_of_turn]
    assert tokenizer.decode(ids) == "<|user|>cat<|end_of_turn|>"
    assert tokenizer.decode(ids, skip_special=True) == "cat"


def test_half_a_character_decodes_to_the_replacement_character(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode([0xE5, 0xAD]) == "\ufffd"


def test_half_a_surrogate_pair_is_encoded_as_the_replacement_character(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("a\ud800b")) == "a\ufffdb"


def test_unknown_ids_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="token id 320 is not in this vocabulary of 320"):
        tokenizer.decode([320])


@pytest.mark.parametrize("character", [" ", "\n", "a", "!"])
def test_long_runs_of_one_character_are_encoded(tokenizer: Tokenizer, character: str) -> None:
    text = character * 1_500_000
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_byte_lengths_sum_to_the_bytes_of_the_text(tokenizer: Tokenizer) -> None:
    text = "The cat \u5b66\u800c"
    ids = [tokenizer.user, *tokenizer.encode(text), tokenizer.end_of_turn]
    assert tokenizer.byte_lengths[ids].sum() == len(text.encode())


def test_vocabulary_size_counts_the_special_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.vocab_size == 320
    assert tokenizer.document_end == 320 - len(SpecialToken)


def test_too_small_a_vocabulary_is_refused() -> None:
    with pytest.raises(InputError, match=r"a vocabulary of 267 is too small.*need 268 or more"):
        train_bpe(["abc"], 267)


def test_a_corpus_with_too_few_merges_gives_a_smaller_vocabulary_and_says_so() -> None:
    with pytest.warns(UserWarning, match="only 1 merges"):
        assert train_bpe(["ab"], 400).vocab_size == 257 + len(SpecialToken)


def test_training_without_rustbpe_warns_and_finds_the_same_first_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpe, "rustbpe", None)
    bpe._warn_slow_trainer.cache_clear()
    with pytest.warns(UserWarning, match="rustbpe is not installed"):
        tokenizer = train_bpe(["abab abab"], 256 + len(SpecialToken) + 1)
    assert tokenizer.encode("abab") == [256, 256]


def test_strict_characters_are_those_of_the_text_in_order() -> None:
    tokenizer = train_characters(["cab", "b a"], strict=True)
    assert tokenizer.vocab_size == 4 + len(SpecialToken)
    assert tokenizer.encode(" abc") == [0, 1, 2, 3]


def test_strict_characters_of_shakespeare_are_nanogpts_65(shared_data: Path) -> None:
    text = (shared_data / "pretrain" / "tinyshakespeare.txt").read_text(encoding="utf-8")
    tokenizer = train_characters([text], strict=True)
    assert tokenizer.vocab_size == 65 + len(SpecialToken)
    order = {character: index for index, character in enumerate(sorted(set(text)))}
    assert tokenizer.encode(text) == [order[character] for character in text]


def test_strict_characters_refuse_an_unseen_one_by_name() -> None:
    tokenizer = train_characters(["abc"], strict=True)
    with pytest.raises(InputError, match=r"has no 'd' \(U\+0064\)"):
        tokenizer.encode("abcd")


def test_strict_characters_must_be_ascii() -> None:
    with pytest.raises(InputError, match=r"the texts hold '\u00e9' \(U\+00E9\)"):
        train_characters(["caf\u00e9"], strict=True)


def test_characters_need_a_text() -> None:
    with pytest.raises(InputError, match="hold no character"):
        train_characters([""], strict=True)


def test_characters_are_lossless_unless_strict() -> None:
    tokenizer = train_characters(["abc"])
    assert tokenizer.encode("\u00e9") == [0xC3, 0xA9]
