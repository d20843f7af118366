"""One dial: published model sizes by name, with the budget and the optimizer that their makers trained them with, and
what follows for a shape of one's own.

Shapes are the papers'; the architecture is ours (RMSNorm, RoPE, SwiGLU), so a GPT's feed-forward of 4 * width becomes a
SwiGLU of 8/3 * width, which has as many weights.

    GPT-1   Radford et al. 2018, section 4.1         GPT-2   Radford et al. 2019, table 2
    GPT-3   Brown et al., arXiv:2005.14165, table 2.1
    LLaMA   Touvron et al., arXiv:2302.13971, table 2
    Qwen3   the config.json of each released model (arXiv:2505.09388, table 1)
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gptwright.settings import parse_count

TOKENS_PER_PARAMETER = 20
"""The horizon where none was published (Hoffmann et al., arXiv:2203.15556, table 3)."""
ROWS_MULTIPLE = 256
LEAST_BATCH = 8192
"""Tokens of a step; fewer are no cheaper."""
OWN_TOKENS = 5_000_000
"""The horizon up to which `LEAST_BATCH` is a shape of one's own's batch."""
OWN_RATE, OWN_WIDTH = 3e-3, 128
LONGEST_WARMUP = 0.02
ADAMW = {"muon": False, "weight_decay": 0.1, "betas": [0.9, 0.95], "schedule": "cosine", "final": 0.1}
"""GPT-3's (appendix B) and LLaMA's (section 2.3)."""


@dataclass(frozen=True, slots=True)
class Size:
    """A shape, and the tokens per step, peak learning rate, tokens in all, tokens of warmup and other settings of the
    optimizer that it was trained with.

    0 stands for what was not published, and for what follows: as many key/value heads as heads, heads that share the
    width, a SwiGLU of 8/3 of the width.
    """

    layers: int
    width: int
    heads: int
    context: int
    vocab_size: int
    kv_heads: int = 0
    head_dim: int = 0
    hidden: int = 0
    qk_norm: bool = False
    tied: bool = True
    rope_theta: float = 10_000.0
    batch_tokens: int = 0
    learning_rate: float = 0.0
    tokens: int = 0
    warmup_tokens: int = 0
    optimizer: dict[str, Any] = field(default_factory=dict)

    def shape(self) -> dict[str, Any]:
        """The settings of a recipe's model section."""
        return {
            "layers": self.layers,
            "width": self.width,
            "heads": self.heads,
            "kv_heads": self.kv_heads or None,
            "head_dim": self.head_dim or None,
            "hidden": self.hidden or None,
            "context": self.context,
            "qk_norm": self.qk_norm,
            "tied": self.tied,
            "rope_theta": self.rope_theta,
        }

    def budget(self, context: int, tokens: int | None = None) -> dict[str, Any]:
        """Tokens, rows per step and optimizer of a recipe's pretrain section, for rows of that length. Of fewer tokens
        than the published ones the batch is smaller by the root of their share, as the largest batch that still pays
        is (Zhang et al., arXiv:2410.21676: an exponent of 0.47), and the warmup is at most the usual share.
        """
        weights = 12 * self.layers * self.width**2
        scaling_law = 0.003239 - 0.0001395 * math.log(weights)  # Kaplan et al., arXiv:2001.08361, equation D.1
        horizon = self.tokens or TOKENS_PER_PARAMETER * (weights + self.vocab_size * self.width)
        tokens = tokens or horizon
        optimizer = {"learning_rate": self.learning_rate or round(scaling_law, 6), **self.optimizer}
        if self.warmup_tokens:
            optimizer["warmup"] = min(LONGEST_WARMUP, self.warmup_tokens / tokens)
        found: dict[str, Any] = {"tokens": tokens, "optimizer": optimizer}
        if self.batch_tokens:
            batch = self.batch_tokens * math.sqrt(min(1.0, tokens / horizon))
            found["batch_rows"] = _rows(round(max(batch, min(LEAST_BATCH, self.batch_tokens))), context)
        return found

    def under(self, values: dict[str, Any]) -> dict[str, Any]:
        """A recipe's raw values with this size's shape, vocabulary and budget where they say nothing; another width or
        depth has the budget of a shape of one's own.

        Raises ValueError where another shape is set in full.
        """
        model, tokenizer = (values.get(name) or {} for name in ("model", "tokenizer"))
        shape = self.shape()
        if all(model.get(part, shape[part]) != shape[part] for part in ("layers", "width", "heads")):
            raise ValueError("model.size has no effect beside other layers, width and heads; remove it or them")
        found = values | {"model": shape | model}
        if isinstance(tokenizer, dict) and tokenizer.get("kind", "bpe") == "bpe":
            found["tokenizer"] = {"vocab_size": self.vocab_size} | tokenizer
        if any(found["model"][part] != shape[part] for part in ("layers", "width")):
            return with_own_budget(found, found["model"], self.vocab_size)
        return _with_budget(found, self, found["model"])


def with_own_budget(values: dict[str, Any], model: dict[str, Any], vocab_size: int) -> dict[str, Any]:
    """A recipe's raw values whose pretrain section has what follows from `model`, a shape of one's own, where it says
    nothing: 20 tokens per parameter, a learning rate that falls with the root of the width, as `sweep` has it, and a
    batch that grows with the root of the tokens.
    """
    layers, width = (_count_in(model, part) for part in ("layers", "width"))
    if not layers or not width:
        return values  # for the settings to refuse
    vocab_size = _count_in(values.get("tokenizer"), "vocab_size") or vocab_size
    parameters = 12 * layers * width**2 + vocab_size * width
    tokens = _count_in(values.get("pretrain"), "tokens") or TOKENS_PER_PARAMETER * parameters
    batch = round(LEAST_BATCH * math.sqrt(max(1.0, tokens / OWN_TOKENS)))
    rate = float(f"{OWN_RATE * math.sqrt(OWN_WIDTH / width):.3g}")
    size = Size(layers, width, 0, 0, vocab_size, batch_tokens=batch, learning_rate=rate, tokens=tokens)
    return _with_budget(values, size, model)


def _with_budget(values: dict[str, Any], size: Size, model: dict[str, Any]) -> dict[str, Any]:
    pretrain, context = values.get("pretrain") or {}, _count_in(model, "context")
    if not isinstance(pretrain, dict) or not context:
        return values
    budget = size.budget(context, _count_in(pretrain, "tokens"))
    optimizer = pretrain.get("optimizer") or {}
    if isinstance(optimizer, dict):
        pretrain = pretrain | {"optimizer": budget["optimizer"] | optimizer}
    return values | {"pretrain": budget | pretrain}


def _count_in(section: Any, name: str) -> int | None:
    """A count above 0 among a section's raw values; None for anything else, which the settings refuse."""
    value = parse_count(section.get(name)) if isinstance(section, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _rows(batch_tokens: int, context: int) -> int:
    """Rows of about so many tokens: a multiple of the largest power of two, up to `ROWS_MULTIPLE`, that moves them by
    no more than 5%, so that devices can share them out evenly.
    """
    rows, multiple = max(1, batch_tokens // context), ROWS_MULTIPLE
    while abs(round(rows / multiple) * multiple - rows) > 0.05 * rows:
        multiple //= 2
    return round(rows / multiple) * multiple


def _own(layers: int, width: int, heads: int, context: int) -> Size:
    vocab = 2048 if width < 256 else 8192
    return Size(layers, width, heads, context, vocab, qk_norm=True, batch_tokens=8192, learning_rate=3e-3)


def _gpt(layers: int, width: int, heads: int, context: int, batch: float, rate: float, tokens: float) -> Size:
    size = partial(Size, layers, width, heads, context, batch_tokens=int(batch), learning_rate=rate, tokens=int(tokens))
    if context == 512:  # section 4.1: 2,000 steps of warmup, cosine to 0
        published = {"muon": False, "weight_decay": 0.01, "schedule": "cosine", "final": 0.0}
        return size(vocab_size=40_478, warmup_tokens=int(2000 * batch), optimizer=published)
    if not tokens:
        return size(vocab_size=50_257)
    return size(vocab_size=50_257, warmup_tokens=375_000_000, optimizer=ADAMW)


def _llama(layers: int, width: int, heads: int, hidden: int, rate: float, tokens: float) -> Size:
    return Size(
        layers,
        width,
        heads,
        2048,
        32_000,
        hidden=hidden,
        tied=False,
        batch_tokens=4_000_000,
        learning_rate=rate,
        tokens=int(tokens),
        warmup_tokens=2000 * 4_000_000,
        optimizer=ADAMW,
    )


def _qwen3(layers: int, width: int, heads: int, hidden: int, tied: bool) -> Size:
    return Size(
        layers,
        width,
        heads,
        32_768,
        151_936,
        kv_heads=8,
        head_dim=128,
        hidden=hidden,
        qk_norm=True,
        tied=tied,
        rope_theta=1_000_000.0,
        tokens=36_000_000_000_000,
    )


SIZES: dict[str, Size] = {
    "nano": _own(4, 128, 4, 256),
    "micro": _own(6, 256, 8, 256),
    "mini": _own(8, 384, 6, 512),
    "gpt1": _gpt(12, 768, 12, 512, 64 * 512, 2.5e-4, 0),
    "gpt2-124m": _gpt(12, 768, 12, 1024, 512 * 1024, 0.0, 0),
    "gpt2-355m": _gpt(24, 1024, 16, 1024, 512 * 1024, 0.0, 0),
    "gpt2-774m": _gpt(36, 1280, 20, 1024, 512 * 1024, 0.0, 0),
    "gpt2-1.5b": _gpt(48, 1600, 25, 1024, 512 * 1024, 0.0, 0),
    "gpt3-125m": _gpt(12, 768, 12, 2048, 0.5e6, 6e-4, 300e9),
    "gpt3-350m": _gpt(24, 1024, 16, 2048, 0.5e6, 3e-4, 300e9),
    "gpt3-760m": _gpt(24, 1536, 16, 2048, 0.5e6, 2.5e-4, 300e9),
    # The paper prints 24 heads of 128 for a width of 2048, and a width of 5140 for 40 heads of 128: taken as they fit.
    "gpt3-1.3b": _gpt(24, 2048, 16, 2048, 1e6, 2e-4, 300e9),
    "gpt3-2.7b": _gpt(32, 2560, 32, 2048, 1e6, 1.6e-4, 300e9),
    "gpt3-6.7b": _gpt(32, 4096, 32, 2048, 2e6, 1.2e-4, 300e9),
    "gpt3-13b": _gpt(40, 5120, 40, 2048, 2e6, 1e-4, 300e9),
    "gpt3-175b": _gpt(96, 12_288, 96, 2048, 3.2e6, 0.6e-4, 300e9),
    "llama-7b": _llama(32, 4096, 32, 11_008, 3e-4, 1.0e12),
    "llama-13b": _llama(40, 5120, 40, 13_824, 3e-4, 1.0e12),
    "llama-33b": _llama(60, 6656, 52, 17_920, 1.5e-4, 1.4e12),
    "llama-65b": _llama(80, 8192, 64, 22_016, 1.5e-4, 1.4e12),
    "qwen3-0.6b": _qwen3(28, 1024, 16, 3072, True),
    "qwen3-1.7b": _qwen3(28, 2048, 16, 6144, True),
    "qwen3-4b": _qwen3(36, 2560, 32, 9728, True),
    "qwen3-8b": _qwen3(36, 4096, 32, 12_288, False),
}


def size_named(name: str) -> Size:
    """Raises ValueError naming the nearest size when there is none of that name."""
    if name in SIZES:
        return SIZES[name]
    near = difflib.get_close_matches(name, SIZES, n=1)
    remedy = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(SIZES)}"
    raise ValueError(f"model.size {name!r} is unknown: {remedy}")
