"""Masked reductions. Every statistic and every loss goes through these, so metrics and gradients count the same tokens.

Masks select with torch.where, never by multiplication: NaN * 0 is NaN, and padding may hold anything.
"""

from __future__ import annotations

import torch
from torch import Tensor


def masked_sum(x: Tensor, mask: Tensor) -> Tensor:
    """Sum of x where mask is true (any shape, one scalar out)."""
    return torch.where(mask, x, torch.zeros((), dtype=x.dtype, device=x.device)).sum()


def masked_mean(x: Tensor, mask: Tensor, count: Tensor | float | None = None) -> Tensor:
    """Mean of x where mask is true.

    `count` replaces the divisor: with the token count of the whole optimizer step, micro-batches of any size add up to
    the same mean. Raises ValueError when nothing is selected and no count is given.
    """
    if count is None:
        count = mask.sum()
        if int(count) == 0:
            raise ValueError("the mask selects nothing: a mean over no token has no value")
    return masked_sum(x, mask) / count


def masked_variance(x: Tensor, mask: Tensor) -> Tensor:
    """Population variance of x where mask is true."""
    mean = masked_mean(x, mask)
    return masked_mean((x - mean) ** 2, mask)


def whiten(x: Tensor, mask: Tensor) -> Tensor:
    """Shift and scale to mean 0 and variance 1 over the selected tokens; 0 elsewhere."""
    mean, variance = masked_mean(x, mask), masked_variance(x, mask)
    return torch.where(mask, (x - mean) * torch.rsqrt(variance + 1e-8), torch.zeros_like(x))
