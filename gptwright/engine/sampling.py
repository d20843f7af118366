"""How the next token is drawn.

A draw is the inverse of the cumulative distribution at one uniform number, and that number is a function of (seed,
position) alone: the same request gives the same answer whatever else is in the batch.

Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class SamplingParams:
    """How one request is sampled; temperature 0 takes the likeliest token. Raises ValueError for impossible values."""

    max_new_tokens: int = 80
    temperature: float = 1.0
    top_k: int = 0
    """Keep the k likeliest tokens; 0 keeps all."""
    top_p: float = 1.0
    """Keep the likeliest tokens that together reach this probability."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is {self.max_new_tokens}: it must be at least 1")
        if self.temperature < 0:
            raise ValueError(f"temperature is {self.temperature}: it must be 0 or more")
        if self.top_k < 0:
            raise ValueError(f"top_k is {self.top_k}: it must be 0 (off) or more")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}: it must be above 0 and at most 1")


def uniforms(seeds: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """One number in [0, 1) per row from (seed, position), by two rounds of splitmix64 (Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        mixed = _splitmix(_splitmix(seeds.astype(np.uint64)) + positions.astype(np.uint64) * _GOLDEN)
    return (mixed >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def _splitmix(x: np.ndarray) -> np.ndarray:
    x = x + _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def sample(logits_BV: Tensor, params: list[SamplingParams], positions: np.ndarray) -> tuple[Tensor, Tensor]:
    """Next ids and their log-probabilities under the distribution they were drawn from, (B,) each.

    Greedy rows report the log-probability at temperature 1.
    """
    temperature_B = torch.tensor([p.temperature or 1.0 for p in params], device=logits_BV.device)
    logp_BV = (logits_BV.float() / temperature_B[:, None]).log_softmax(dim=-1)
    if any(p.top_k or p.top_p < 1 for p in params):
        logp_BV = _truncate(logp_BV, params)
    greedy = [p.temperature == 0 for p in params]
    if all(greedy):
        ids_B = logp_BV.argmax(dim=-1)
        return ids_B, logp_BV.gather(1, ids_B[:, None])[:, 0]
    seeds = np.array([p.seed for p in params], dtype=np.int64)
    uniform_B = torch.from_numpy(uniforms(seeds, positions)).to(logits_BV.device)
    # Times the last sum: rounding may leave it just under 1, and a draw above it would fall off the end.
    cumulative_BV = logp_BV.exp().cumsum(dim=-1, dtype=torch.float64)
    drawn_B = torch.searchsorted(cumulative_BV, uniform_B[:, None] * cumulative_BV[:, -1:], right=True)[:, 0]
    ids_B = drawn_B.clamp(max=logits_BV.shape[1] - 1)
    if any(greedy):
        ids_B = torch.where(torch.tensor(greedy, device=ids_B.device), logp_BV.argmax(dim=-1), ids_B)
    return ids_B, logp_BV.gather(1, ids_B[:, None])[:, 0]


def _truncate(logp_BV: Tensor, params: list[SamplingParams]) -> Tensor:
    """Drop what top-k and top-p leave out and renormalise."""
    sorted_BV, order_BV = logp_BV.sort(dim=-1, descending=True, stable=True)
    rank_V = torch.arange(logp_BV.shape[1], device=logp_BV.device)
    top_k_B = torch.tensor([p.top_k or logp_BV.shape[1] for p in params], device=logp_BV.device)
    # Rounding may bring a sum to 1 before the last token: a row with top_p 1 keeps its tail all the same, and its bits,
    # so that it does not matter who shares the batch.
    top_p_B = torch.tensor([p.top_p if p.top_p < 1 else float("inf") for p in params], device=logp_BV.device)
    before_BV = sorted_BV.exp().cumsum(dim=-1) - sorted_BV.exp()
    keep_BV = (rank_V < top_k_B[:, None]) & (before_BV < top_p_B[:, None])
    kept_BV = torch.where(keep_BV, sorted_BV, torch.full_like(sorted_BV, float("-inf")))
    truncated_BV = torch.empty_like(logp_BV).scatter_(1, order_BV, kept_BV).log_softmax(dim=-1)
    return torch.where(keep_BV.all(dim=-1, keepdim=True), logp_BV, truncated_BV)
