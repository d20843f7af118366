"""Grouped-query causal attention with rotary positions, with or without a KV cache.

Shapes: B batch, T new tokens, S all tokens attended to, D width, H heads, K key/value heads, E head size.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptwright.model.cache import LayerCache
from gptwright.model.config import ModelConfig

AttentionKernel = Literal["fused", "matmul"]

CHUNK_ROWS = 128
"""Queries computed together by "matmul"; keys behind the last of them are left out."""
FEW_QUERIES = 8
"""More of them take scaled_dot_product_attention, which holds no scores."""
MAX_CHUNKS = 8
"""Longer contexts take larger chunks, since every chunk is compiled."""


def rotate(x_BHTE: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair by its position's angle; cos and sin broadcast against (B, H, T, E / 2). The two halves of a head
    are the pairs' first and second members, as in Llama's Hugging Face weights.
    """
    first, second = x_BHTE.chunk(2, dim=-1)
    # Stacked, not concatenated: that compiles to loops without a branch.
    return torch.stack((first * cos - second * sin, second * cos + first * sin), dim=-2).flatten(-2)


def attend(q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, mask: Tensor | None, kernel: AttentionKernel) -> Tensor:
    """Softmax attention -> (B, H, T, E). `mask` is True where a query may look; None means causal with S = T.

    "fused" is torch's scaled_dot_product_attention. "matmul" is `CausalAttention`: under torch.compile on a CPU it is
    the faster one for short contexts. It knows causal masks alone, with S = T.
    """
    groups = q_BHTE.shape[1] // k_BKSE.shape[1]
    if groups > 1:
        k_BKSE, v_BKSE = k_BKSE.repeat_interleave(groups, 1), v_BKSE.repeat_interleave(groups, 1)
    if kernel == "fused":
        return F.scaled_dot_product_attention(q_BHTE, k_BKSE, v_BKSE, attn_mask=mask, is_causal=mask is None)
    tokens = q_BHTE.shape[2]
    if mask is None:
        mask = torch.ones(tokens, tokens, dtype=torch.bool, device=q_BHTE.device).tril()
    rows = max(CHUNK_ROWS, -(-tokens // MAX_CHUNKS))
    chunks = []
    for start in range(0, tokens, rows):
        end = min(start + rows, tokens)  # later keys are masked for all queries of the chunk
        seen = CausalAttention.apply(
            q_BHTE[:, :, start:end], k_BKSE[:, :, :end], v_BKSE[:, :, :end], mask[..., start:end, :end]
        )
        chunks.append(seen)
    return torch.cat(chunks, dim=2)


def attend_cached(q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, mask_B1TS: Tensor) -> Tensor:
    """Softmax attention of new queries over a cache -> (B, H, T, E). A few go through two plain products, heads that
    share keys together: on a CPU scaled_dot_product_attention takes three times as long for a single query.
    """
    if q_BHTE.shape[2] > FEW_QUERIES:
        return attend(q_BHTE, k_BKSE, v_BKSE, mask_B1TS, "fused")
    batch, heads, tokens, size = q_BHTE.shape
    kv_heads = k_BKSE.shape[1]
    q_BKRE = q_BHTE.reshape(batch, kv_heads, -1, size)  # R = (H / K) T queries of each key head
    score_BKRS = (q_BKRE @ k_BKSE.transpose(-1, -2)).float() / math.sqrt(size)
    score_BKGTS = score_BKRS.view(batch, kv_heads, heads // kv_heads, tokens, -1)
    weight_BKGTS = score_BKGTS.masked_fill(~mask_B1TS[:, :, None], float("-inf")).softmax(-1)
    return (weight_BKGTS.to(v_BKSE.dtype).view(score_BKRS.shape) @ v_BKSE).view(q_BHTE.shape)


def norm_of_heads(x_BTHE: Tensor, norm: nn.RMSNorm) -> Tensor:
    """RMSNorm of each head, in float32 whatever the products' precision."""
    normed_BTHE = F.rms_norm(x_BTHE.float(), norm.normalized_shape, None, norm.eps)
    # One weight for all heads, but its gradient is first summed by head: torch.compile writes one program for sums of
    # up to 4,096 numbers and another for longer ones, so that the number of heads would say for how many rows each is.
    return normed_BTHE * norm.weight.expand(x_BTHE.shape[-2:])


def causal_within(segment_BT: Tensor) -> Tensor:
    """A mask, (B, 1, T, T): tokens see themselves and earlier ones of their own segment."""
    tokens = segment_BT.shape[1]
    causal = torch.ones(tokens, tokens, dtype=torch.bool, device=segment_BT.device).tril()
    return causal & (segment_BT[:, None, :, None] == segment_BT[:, None, None, :])


def within_documents(ids_BT: Tensor, opening: int) -> Tensor:
    """`causal_within` where each document is a segment, which begins with the token `opening`."""
    return causal_within((ids_BT == opening).cumsum(dim=1))


class CausalAttention(torch.autograd.Function):
    """softmax(q k^T / sqrt(E)) v with what the backward pass reads kept small: exp(score - max) in the precision of v.

    The division by the sum follows the product with v, as in FlashAttention (Dao et al., arXiv:2205.14135, section
    3.1), so the scores are written once in each direction. The sum is that of the rounded numbers: gradients of the
    scores then add up to 0 as exactly as those of a softmax do; with the mean taken from the output they would not.
    """

    @staticmethod
    def forward(ctx: Any, q_BHTE: Tensor, k_BHSE: Tensor, v_BHSE: Tensor, mask: Tensor) -> Tensor:
        score_BHTS = (q_BHTE @ k_BHSE.transpose(-1, -2)).float() / math.sqrt(q_BHTE.shape[-1])
        score_BHTS = torch.where(mask, score_BHTS, float("-inf"))
        weight_BHTS = (score_BHTS - score_BHTS.amax(-1, keepdim=True)).exp().to(v_BHSE.dtype)
        # Masked once more, though exp(-inf) is 0: so the sum is compiled into the loop of the maximum.
        total_BHT1 = torch.where(mask, weight_BHTS.float(), 0.0).sum(-1, keepdim=True)
        ctx.save_for_backward(q_BHTE, k_BHSE, v_BHSE, weight_BHTS, total_BHT1)
        return ((weight_BHTS @ v_BHSE) / total_BHT1).to(v_BHSE.dtype)

    @staticmethod
    def backward(ctx: Any, grad_BHTE: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, weight_BHTS, total_BHT1 = ctx.saved_tensors
        grad_BHTE = (grad_BHTE / total_BHT1).to(v.dtype)
        grad_weight_BHTS = (grad_BHTE @ v.transpose(-1, -2)).float()
        mean_BHT1 = (weight_BHTS * grad_weight_BHTS).sum(-1, keepdim=True) / total_BHT1
        grad_score_BHTS = (weight_BHTS * (grad_weight_BHTS - mean_BHT1) / math.sqrt(q.shape[-1])).to(v.dtype)
        grad_v = weight_BHTS.transpose(-1, -2) @ grad_BHTE
        return grad_score_BHTS @ k, grad_score_BHTS.transpose(-1, -2) @ q, grad_v, None


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
            q, k = norm_of_heads(q, self.q_norm), norm_of_heads(k, self.k_norm)
        q, k = q.transpose(1, 2), k.transpose(1, 2)
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
        if cache is None:
            mixed = attend(q, k, v, mask, self.kernel)
        else:
            assert mask is not None  # rows of several lengths
            mixed = attend_cached(q, *cache.append(k, v), mask)
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, tokens, -1))
