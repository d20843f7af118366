"""How the next token is drawn.

A draw is the inverse of the cumulative distribution at one uniform number, and that number is a function of (seed,
position) alone: the same request gives the same answer whatever else is in the batch.

Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gptwright.engine.params import SamplingParams

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


LEAST_TEMPERATURE = 1e-6
"""Logits divided by less would not be finite in float32."""


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


def distribution(logits_BV: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """Log-probabilities (B, V) that tokens are drawn with; of greedy rows, those at temperature 1."""
    temperatures = [max(p.temperature, LEAST_TEMPERATURE) if p.temperature else 1.0 for p in params]
    temperature_B = torch.tensor(temperatures, device=logits_BV.device)
    logp_BV = (logits_BV.float() / temperature_B[:, None]).log_softmax(dim=-1)
    return _truncate(logp_BV, params) if any(p.truncates for p in params) else logp_BV


def draw(logp_BV: Tensor, params: Sequence[SamplingParams], positions: np.ndarray) -> Tensor:
    """The next ids (B,), `positions` tokens into their answers."""
    greedy = [p.temperature == 0 for p in params]
    if all(greedy):
        return logp_BV.argmax(dim=-1)
    seeds = np.array([p.seed for p in params], dtype=np.int64)
    uniform_B = torch.from_numpy(uniforms(seeds, positions)).to(logp_BV.device)
    # Times the last sum: rounding may leave it just under 1, and a draw above it would fall off the end.
    cumulative_BV = logp_BV.exp().cumsum(dim=-1, dtype=torch.float64)
    drawn_B = torch.searchsorted(cumulative_BV, uniform_B[:, None] * cumulative_BV[:, -1:], right=True)[:, 0]
    drawn_B = drawn_B.clamp(max=logp_BV.shape[1] - 1)
    if any(greedy):
        drawn_B = torch.where(torch.tensor(greedy, device=drawn_B.device), logp_BV.argmax(dim=-1), drawn_B)
    return drawn_B


def _truncate(logp_BV: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """Drop what top-k, top-p and min-p leave out and renormalise."""
    sorted_BV, order_BV = logp_BV.sort(dim=-1, descending=True, stable=True)
    rank_V = torch.arange(logp_BV.shape[1], device=logp_BV.device)
    top_k_B = torch.tensor([p.top_k or logp_BV.shape[1] for p in params], device=logp_BV.device)
    # Rounding may bring a sum to 1 before the last token: a row with top_p 1 keeps its tail all the same, and its bits,
    # so that it does not matter who shares the batch.
    top_p_B = torch.tensor([p.top_p if p.top_p < 1 else float("inf") for p in params], device=logp_BV.device)
    # As likely as the likeliest token, times min_p, or likelier; 0 keeps all, also what has no probability.
    least_B = torch.tensor([p.min_p for p in params], device=logp_BV.device).log() + sorted_BV[:, 0]
    before_BV = sorted_BV.exp().cumsum(dim=-1) - sorted_BV.exp()
    keep_BV = (rank_V < top_k_B[:, None]) & (before_BV < top_p_B[:, None]) & (sorted_BV >= least_B[:, None])
    kept_BV = torch.where(keep_BV, sorted_BV, torch.full_like(sorted_BV, float("-inf")))
    truncated_BV = torch.empty_like(logp_BV).scatter_(1, order_BV, kept_BV).log_softmax(dim=-1)
    return torch.where(keep_BV.all(dim=-1, keepdim=True), logp_BV, truncated_BV)
