"""Shared by all tests: the folder of real texts, when there is one, reproducible property tests, and models
of the kinds that others train.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
from hypothesis import settings
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXTS = ["The cat sat on the mat, the dog isn't a cat.\n\n", "They'll say 1234 cats;  they're WRONG\r\n\tYes.\n"] * 3
SPLIT = tokenizers.Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+")
ROOT = Path(__file__).resolve().parent.parent

# The same examples on every run, and no failure because another process had the processor.
settings.register_profile("gptwright", derandomize=True, deadline=None)
settings.load_profile("gptwright")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real texts beside the repository; GPTWRIGHT_SHARED_DATA names another place."""
    folder = Path(os.environ.get("GPTWRIGHT_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no shared data here: set GPTWRIGHT_SHARED_DATA to its folder")
    return folder


def qwen_tokenizer() -> tokenizers.Tokenizer:
    """NFC, byte-level, with marks that are special and some that are not."""
    found = tokenizers.Tokenizer(models.BPE())
    found.normalizer = normalizers.NFC()
    found.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(SPLIT, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    found.decoder = decoders.ByteLevel()
    found.train_from_iterator(TEXTS, trainers.BpeTrainer(initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    found.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    found.add_tokens(["<think>"])
    return found


def llama3_tokenizer() -> tokenizers.Tokenizer:
    """Whole words of the vocabulary are taken unmerged, and a document opens with a token of its own."""
    found = qwen_tokenizer()
    content = json.loads(found.to_str())
    content["normalizer"], content["model"]["ignore_merges"] = None, True
    content["added_tokens"] = []
    found = tokenizers.Tokenizer.from_str(json.dumps(content))
    found.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"])
    begin = ("<|begin_of_text|>", found.token_to_id("<|begin_of_text|>"))
    found.post_processor = processors.TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=[begin])
    return found


def llama2_tokenizer() -> tokenizers.Tokenizer:
    """SentencePiece's way: blanks are letters, unknown characters are bytes, a blank in front of every text."""
    learned = tokenizers.Tokenizer(models.BPE())
    learned.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    learned.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=120))
    trained = json.loads(learned.to_str())["model"]
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *trained["vocab"]]
    vocab = {word: token for token, word in enumerate(words)}
    merges = [tuple(pair) for pair in trained["merges"]]
    found = tokenizers.Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    found.normalizer = learned.normalizer
    parts = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    found.decoder = decoders.Sequence(parts)
    found.add_special_tokens(["<unk>", "<s>", "</s>"])
    found.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return found


TOKENIZERS = {"qwen": qwen_tokenizer, "llama3": llama3_tokenizer, "llama2": llama2_tokenizer}


@pytest.fixture
def foreign_tokenizer(tmp_path: Path) -> Callable[..., Path]:
    """A folder with the tokenizer of a kind, and what its maker says of it."""

    def write(kind: str, **said: Any) -> Path:
        folder = tmp_path / kind
        folder.mkdir()
        TOKENIZERS[kind]().save(str(folder / "tokenizer.json"))
        (folder / "tokenizer_config.json").write_text(json.dumps(said), encoding="utf-8")
        return folder

    return write


@pytest.fixture
def foreign_model(foreign_tokenizer: Callable[..., Path]) -> Callable[..., Path]:
    """A folder that transformers wrote: a random model of a context of 256 with its tokenizer."""
    transformers = pytest.importorskip("transformers")

    def write(kind: str, spare: int = 0, **config: Any) -> Path:
        folder = foreign_tokenizer(kind, eos_token="<|im_end|>", chat_template="{{ messages }}")
        family = transformers.Qwen2Config if kind == "qwen" else transformers.LlamaConfig
        sizes = {
            "vocab_size": TOKENIZERS[kind]().get_vocab_size() + spare,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": 256,
            "initializer_range": 0.2,
            "tie_word_embeddings": kind == "qwen",
        }
        torch.manual_seed(0)
        transformers.AutoModelForCausalLM.from_config(family(**sizes | config)).save_pretrained(folder)
        return folder

    return write
