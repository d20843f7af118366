"""Grouped-query causal attention with rotary positions, with or without a KV cache.

Shapes: B batch, T new tokens, S all tokens attended to, D width, H heads, K key/value heads, E head size.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptwright.model.cache import LayerCache
from gptwright.model.config import ModelConfig

AttentionKernel = Literal["fused", "matmul"]


def rotate(x_BHTE: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair by its position's angle; cos and sin broadcast against (B, H, T, E)."""
    first, second = x_BHTE.chunk(2, dim=-1)
    return x_BHTE * cos + torch.cat((-second, first), dim=-1) * sin


def attend(q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, mask: Tensor | None, kernel: AttentionKernel) -> Tensor:
    """Softmax attention -> (B, H, T, E). `mask` is True where a query may look; None means causal with S = T.

    "fused" is torch's scaled_dot_product_attention. "matmul" writes the products out: on a CPU under torch.compile it
    is the faster one for short contexts, though it computes the masked half too.
    """
    groups = q_BHTE.shape[1] // k_BKSE.shape[1]
    if groups > 1:
        k_BKSE, v_BKSE = k_BKSE.repeat_interleave(groups, 1), v_BKSE.repeat_interleave(groups, 1)
    if kernel == "fused":
        return F.scaled_dot_product_attention(q_BHTE, k_BKSE, v_BKSE, attn_mask=mask, is_causal=mask is None)
    tokens = q_BHTE.shape[2]
    if mask is None:
        mask = torch.ones(tokens, tokens, dtype=torch.bool, device=q_BHTE.device).tril()
    score_BHTS = (q_BHTE @ k_BKSE.transpose(-1, -2)) / math.sqrt(q_BHTE.shape[-1])
    score_BHTS = score_BHTS.masked_fill(~mask, float("-inf"))
    return score_BHTS.softmax(dim=-1).to(v_BKSE.dtype) @ v_BKSE


class Attention(nn.Module):
    """Parameter names are those of transformers, so that a saved folder needs no renaming."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = config.heads, config.kv_heads, config.head_dim
        query, kv = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.width, query, bias=config.qkv_bias)
        self.k_proj = nn.Linear(config.width, kv, bias=config.qkv_bias)
        self.v_proj = nn.Linear(config.width, kv, bias=config.qkv_bias)
        self.o_proj = nn.Linear(query, config.width, bias=False)
        self.qk_norm = config.qk_norm
        if config.qk_norm:
            self.q_norm = nn.RMSNorm(config.head_dim, eps=config.norm_eps)
            self.k_norm = nn.RMSNorm(config.head_dim, eps=config.norm_eps)
        self.kernel: AttentionKernel = "fused"

    def forward(self, x_BTD: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None, cache: LayerCache | None) -> Tensor:
        batch, tokens, _ = x_BTD.shape
        q = self.q_proj(x_BTD).view(batch, tokens, self.heads, self.head_dim)
        k = self.k_proj(x_BTD).view(batch, tokens, self.kv_heads, self.head_dim)
        v = self.v_proj(x_BTD).view(batch, tokens, self.kv_heads, self.head_dim).transpose(1, 2)
        if self.qk_norm:
            q, k = self.q_norm(q.float()), self.k_norm(k.float())  # norms in float32 whatever the products' precision
        q, k = q.transpose(1, 2), k.transpose(1, 2)
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
        if cache is not None:
            k, v = cache.append(k, v)
        mixed = attend(q, k, v, mask, self.kernel)
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, tokens, -1))
