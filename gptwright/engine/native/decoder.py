"""A language model packed for decode.cpp.

    decoder = Decoder.of(model, weights="bfloat16")
    logits_BV = decoder.step([[token], ...], cache)

Shapes: B rows, V vocabulary; O outputs and I inputs of a matrix.
"""

from __future__ import annotations

import ctypes
import itertools
import time
from collections.abc import Iterator, Sequence
from ctypes import c_float, c_int64, c_void_p
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptwright.engine.native.build import library
from gptwright.engine.native.team import Team
from gptwright.model.cache import KVCache
from gptwright.model.transformer import Block, LanguageModel, is_sharded

Weights = Literal["float32", "bfloat16", "int8"]
FORMATS: tuple[Weights, ...] = ("float32", "bfloat16", "int8")
"""As `Format` in decode.cpp; in int8 each output has a scale, and only matrices are rounded."""
LANES = 16
"""Outputs of a panel."""
MAX_HEAD_DIM = 512
"""What decode.cpp has room for."""
MOST_TOKENS = 1024
"""Tokens that are read together, unless a row has more: what is known of them all is held at once."""


class _Matrix(ctypes.Structure):
    _fields_ = (
        ("panels", c_void_p),
        ("bias", c_void_p),
        ("scale", c_void_p),
        ("inputs", c_int64),
        ("outputs", c_int64),
    )


class _Layer(ctypes.Structure):
    _fields_ = (
        *((name, c_void_p) for name in ("input_norm", "post_norm", "q_norm", "k_norm")),
        *((name, _Matrix) for name in ("qkv", "out", "gate_up", "down")),
    )


class _Model(ctypes.Structure):
    _fields_ = (
        *((n, c_int64) for n in ("width", "layers", "heads", "kv_heads", "head_dim", "hidden", "vocab", "format")),
        ("eps", c_float),
        ("unused", c_float),
        *((name, c_void_p) for name in ("embedding", "cos", "sin", "norm")),
        ("layer", ctypes.POINTER(_Layer)),
        ("head", _Matrix),
    )


class _News(ctypes.Structure):
    _fields_ = (
        *((name, c_int64) for name in ("tokens", "capacity", "wanted", "ld_logits")),
        *((name, c_void_p) for name in ("ids", "positions", "rows", "last", "keys", "values", "logits", "scratch")),
    )


class Decoder:
    """One model's weights as they are now, in one of FORMATS. A later change of the model is not seen."""

    def __init__(self, model: LanguageModel, code: ctypes.CDLL, weights: Weights) -> None:
        self.config, self.code, self.weights, self.kept = model.config, code, weights, list[Tensor]()
        self.team, self.products = Team(), model.config.parameter_count()
        config, trunk = model.config, model.model
        self.layers = (_Layer * config.layers)(*(self._layer(block) for block in trunk.layers))
        sizes = (config.width, config.layers, config.heads, config.kv_heads, config.head_dim, config.hidden)
        tensors = (trunk.embed_tokens.weight, trunk.cos, trunk.sin, trunk.norm.weight)
        self.model = _Model(
            *sizes, config.vocab_size, FORMATS.index(weights), config.norm_eps, 0.0, *map(self._keep, tensors),
            self.layers, self._matrix(model.lm_head.weight),
        )  # fmt: skip
        self.ld_logits = code.padded(c_int64(config.vocab_size))

    @classmethod
    def of(cls, model: LanguageModel, *, weights: Weights = "float32") -> Decoder | None:
        """None where it cannot be: without a compiler, or for a model that is not in a CPU's memory in float32, or not
        whole (slices of a sharded one are gathered where a block is called, and nowhere else).
        """
        weight = model.model.embed_tokens.weight
        fits = model.config.head_dim <= MAX_HEAD_DIM
        possible = fits and not is_sharded(model) and weight.device.type == "cpu" and weight.dtype == torch.float32
        code = library() if possible else None
        if code is None:
            return None
        code.padded.restype = code.scratch_size.restype = c_int64
        return cls(model, code, weights)

    def step(self, chunks: Sequence[Sequence[int]], cache: KVCache) -> Tensor:
        """Read each row's new tokens into the cache; logits after its last one -> (B, V) float32, of a row without new
        tokens 0.
        """
        starts, counts = cache.lengths_B.tolist(), [len(chunk) for chunk in chunks]
        cache.reserve(max(start + count for start, count in zip(starts, counts, strict=True)))
        cache.lengths_B = cache.lengths_B + torch.tensor(counts)
        assert all(part.is_contiguous() for part in (*cache.keys, *cache.values))
        logits_BV = torch.zeros(len(chunks), self.config.vocab_size)
        for rows in _groups(counts):
            news = [(row, chunks[row], range(starts[row], starts[row] + counts[row])) for row in rows]
            logits_BV[rows] = self._read(news, cache)[:, : self.config.vocab_size]
        return logits_BV

    def _read(self, news: Sequence[tuple[int, Sequence[int], range]], cache: KVCache) -> Tensor:
        """(row, its new tokens, their positions) each, into the cache -> logits after each row's last."""
        ids = [token for _, chunk, _ in news for token in chunk]
        places = [row for row, chunk, _ in news for _ in chunk]
        positions = [position for _, _, span in news for position in span]
        last = [end - 1 for end in itertools.accumulate(len(chunk) for _, chunk, _ in news)]
        size = self.team.size(self.products, len(ids))
        room = self.code.scratch_size(
            ctypes.byref(self.model), c_int64(size), c_int64(len(ids)), c_int64(cache.capacity)
        )
        scratch, found_BL = torch.empty(room), torch.empty(len(news), self.ld_logits)
        arrays: list[ctypes.Array[Any]] = [(c_int64 * len(part))(*part) for part in (ids, positions, places, last)]
        for kept in (cache.keys, cache.values):
            arrays.append((c_void_p * len(kept))(*(part.data_ptr() for part in kept)))
        told = _News(
            len(ids), cache.capacity, len(news), self.ld_logits, *map(ctypes.addressof, arrays), found_BL.data_ptr(),
            scratch.data_ptr(),
        )  # fmt: skip
        started = time.perf_counter()
        self.code.step(ctypes.byref(self.model), c_int64(size), ctypes.byref(told))
        self.team.see(size, len(ids), time.perf_counter() - started)
        return found_BL

    def _layer(self, block: nn.Module) -> _Layer:
        assert isinstance(block, Block)
        attention, mlp = block.self_attn, block.mlp
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        biases: list[Tensor] = [each.bias for each in projections if each.bias is not None]
        norms = (attention.q_norm, attention.k_norm) if attention.qk_norm else ()
        of_heads: list[int | None] = [self._keep(norm.weight) for norm in norms] or [None, None]
        return _Layer(
            self._keep(block.input_layernorm.weight), self._keep(block.post_attention_layernorm.weight), *of_heads,
            self._matrix(torch.cat(tuple(each.weight for each in projections)), torch.cat(biases) if biases else None),
            self._matrix(attention.o_proj.weight), self._matrix(torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])),
            self._matrix(mlp.down_proj.weight),
        )  # fmt: skip

    def _matrix(self, weight_OI: Tensor, bias_O: Tensor | None = None) -> _Matrix:
        outputs, inputs = weight_OI.shape
        weight_OI = F.pad(weight_OI.detach().float(), (0, inputs % 2, 0, -outputs % LANES))
        scale = None
        if self.weights == "int8":
            scale_O = weight_OI.abs().amax(1).clamp(min=1e-12) / 127
            weight_OI, scale = (weight_OI / scale_O[:, None]).round().to(torch.int8), self._keep(scale_O)
        elif self.weights == "bfloat16":
            weight_OI = weight_OI.to(torch.bfloat16)
        together = 2 if self.weights == "bfloat16" else 1
        panels = weight_OI.view(-1, LANES, weight_OI.shape[1] // together, together).transpose(1, 2).contiguous()
        self.kept.append(panels)
        bias = None if bias_O is None else self._keep(F.pad(bias_O.detach(), (0, -outputs % LANES)))
        return _Matrix(panels.data_ptr(), bias, scale, inputs, outputs)

    def _keep(self, tensor: Tensor) -> int:
        self.kept.append(tensor.detach().float().contiguous())
        return self.kept[-1].data_ptr()


def _groups(counts: Sequence[int]) -> Iterator[list[int]]:
    """Rows that have new tokens, about MOST_TOKENS at a time."""
    group, tokens = list[int](), 0
    for row, count in enumerate(counts):
        if group and tokens + count > MOST_TOKENS:
            yield group
            group, tokens = [], 0
        if count:
            group.append(row)
            tokens += count
    if group:
        yield group
