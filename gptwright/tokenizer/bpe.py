"""Training a vocabulary: byte-level BPE, or single characters for nanoGPT's Shakespeare recipe."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from functools import cache

import tokenizers

from gptwright.errors import InputError
from gptwright.tokenizer.special import SpecialToken
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.tokenizer.tokenizer_json import bytes_of
from gptwright.tokenizer.vocabulary import OwnVocabulary

try:
    import rustbpe
except ImportError:  # no wheel for this platform
    rustbpe = None

# GPT-4's pattern with three changes; on ordinary text it splits as Qwen2's does, which llama.cpp knows as "qwen2".
# Digits stand alone: our models are tiny, and a vocabulary of a few thousand cannot spare ids for numbers.
# Contractions spell both cases out: (?i:) folds differently in tiktoken's and tokenizers' regex engines.
# Runs of white space end after 256: without a bound, a million blanks overflow tiktoken's regex stack.
SPLIT_PATTERN = (
    r"'(?:[sdmtSDMT]|[lL][lL]|[vV][eE]|[rR][eE])"
    r"|[^\r\n\p{L}\p{N}]?+\p{L}+"
    r"|\p{N}"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s{0,255}[\r\n]"
    r"|\s{1,256}(?!\S)"
    r"|\s"
)
NUM_BYTES = 256
SINGLE_BYTES = [bytes([byte]) for byte in range(NUM_BYTES)]


def train_bpe(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """A vocabulary of `vocab_size` tokens: 256 bytes, the merges learned from `texts`, the special tokens."""
    num_pieces = vocab_size - len(SpecialToken)
    if num_pieces < NUM_BYTES:
        raise InputError(
            f"a vocabulary of {vocab_size} is too small: {NUM_BYTES} bytes and {len(SpecialToken)} special tokens "
            f"need {NUM_BYTES + len(SpecialToken)} or more"
        )
    if rustbpe is None:
        _warn_slow_trainer()
        pieces = _train_with_tokenizers(texts, num_pieces)
    else:
        trainer = rustbpe.Tokenizer()
        trainer.train_from_iterator(iter(texts), num_pieces, pattern=SPLIT_PATTERN)
        pieces = [bytes(piece) for piece, _ in sorted(trainer.get_mergeable_ranks(), key=lambda pair: pair[1])]
    if len(pieces) < num_pieces:
        warnings.warn(
            f"the texts hold only {len(pieces) - NUM_BYTES} merges: the vocabulary has "
            f"{len(pieces) + len(SpecialToken)} tokens instead of {vocab_size}",
            stacklevel=2,
        )
    return Tokenizer(OwnVocabulary(pieces, SPLIT_PATTERN))


def train_characters(texts: Iterable[str], *, strict: bool = False) -> Tokenizer:
    """A vocabulary without merges.

    By default it is the 256 bytes, so any text can be encoded; a character outside ASCII is then several tokens.
    With `strict` it is exactly the characters of `texts`, sorted, as nanoGPT has it (65 for its Shakespeare, so losses
    compare); they must be ASCII, and encoding any other character is an InputError.
    """
    if not strict:
        return Tokenizer(OwnVocabulary(SINGLE_BYTES, SPLIT_PATTERN))
    seen: set[str] = set()
    for text in texts:
        seen.update(text)
    if not seen:
        raise InputError("the texts hold no character to make a vocabulary of: give a file with text in it")
    beyond = sorted(character for character in seen if not character.isascii())
    if beyond:
        raise InputError(
            f"a strict character vocabulary is ASCII only, and the texts hold {beyond[0]!r} (U+{ord(beyond[0]):04X}): "
            "remove it from the texts or train without strict"
        )
    return Tokenizer(OwnVocabulary([character.encode("ascii") for character in sorted(seen)], SPLIT_PATTERN))


@cache
def _warn_slow_trainer() -> None:
    warnings.warn("rustbpe is not installed: training the tokenizer with the slower tokenizers package", stacklevel=3)


def _train_with_tokenizers(texts: Iterable[str], num_pieces: int) -> list[bytes]:
    """The same algorithm by the `tokenizers` package; it breaks ties between equally frequent pairs in another way."""
    byte_level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(SPLIT_PATTERN), behavior="isolated")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([split, byte_level])
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=num_pieces, initial_alphabet=byte_level.alphabet(), show_progress=False, special_tokens=[]
    )
    tokenizer.train_from_iterator(texts, trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [*SINGLE_BYTES, *(bytes_of(left + right) for left, right in merges)]
