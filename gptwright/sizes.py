"""One dial: published model sizes by name, with the budget that their makers trained them on.

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
from dataclasses import dataclass
from typing import Any

TOKENS_PER_PARAMETER = 20
"""The horizon where none was published (Hoffmann et al., arXiv:2203.15556, table 3)."""
ROWS_MULTIPLE = 256


@dataclass(frozen=True, slots=True)
class Size:
    """A shape, and the tokens per step, peak learning rate and tokens in all that it was trained with.

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

    def budget(self, context: int) -> dict[str, Any]:
        """Tokens, rows per step and peak learning rate of a recipe's pretrain section, for rows of that length."""
        weights = 12 * self.layers * self.width**2
        scaling_law = 0.003239 - 0.0001395 * math.log(weights)  # Kaplan et al., arXiv:2001.08361, equation D.1
        found: dict[str, Any] = {
            "tokens": self.tokens or TOKENS_PER_PARAMETER * (weights + self.vocab_size * self.width),
            "optimizer": {"learning_rate": self.learning_rate or round(scaling_law, 6)},
        }
        return found | ({"batch_rows": _rows(self.batch_tokens, context)} if self.batch_tokens else {})

    def under(self, values: dict[str, Any]) -> dict[str, Any]:
        """A recipe's raw values with this size's shape, vocabulary and budget where they say nothing.

        Raises ValueError where another shape is set in full.
        """
        model, tokenizer, pretrain = (values.get(name) or {} for name in ("model", "tokenizer", "pretrain"))
        shape = self.shape()
        if all(model.get(part, shape[part]) != shape[part] for part in ("layers", "width", "heads")):
            raise ValueError("model.size has no effect beside other layers, width and heads; remove it or them")
        found = values | {"model": shape | model}
        if isinstance(tokenizer, dict) and tokenizer.get("kind", "bpe") == "bpe":
            found["tokenizer"] = {"vocab_size": self.vocab_size} | tokenizer
        if isinstance(pretrain, dict):
            budget = self.budget(found["model"]["context"])
            optimizer = pretrain.get("optimizer") or {}
            found["pretrain"] = budget | pretrain
            if isinstance(optimizer, dict):
                found["pretrain"]["optimizer"] = budget["optimizer"] | optimizer
        return found


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
    vocab = 40_478 if context == 512 else 50_257
    return Size(layers, width, heads, context, vocab, batch_tokens=int(batch), learning_rate=rate, tokens=int(tokens))


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
