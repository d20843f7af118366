"""Tokens per second, and how much of the machine that is: the share of its measured matmul rate (MFU)."""

from __future__ import annotations

import statistics
import time
from collections import deque
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from gptwright.train.fast_path import FastPath

SIZES = {"cpu": 1024, "cuda": 8192}
ROUNDS = 8
SECONDS = 0.25
"""At least so many products, and so long: what else runs on the machine slows down a few milliseconds of them all."""
RECENT_STEPS = 20


def matmul_limit(path: FastPath) -> float:
    """The best rate of square matrix products on this machine, at the path's precision, in FLOP/s.

    What no training can pass, measured; a maker's peak is often out of reach of any program.
    """
    size = SIZES.get(path.device, 1024)
    dtype = torch.float32 if path.precision == "float32" else torch.bfloat16
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(size, size, generator=generator).to(path.device, dtype) for _ in range(2))
    seconds: list[float] = []
    while len(seconds) < ROUNDS or sum(seconds) < SECONDS:
        started = time.perf_counter()
        left @ right
        if path.device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds)


class Speed:
    """The recent speed of a loop whose every step reads the same number of tokens."""

    def __init__(self, tokens_per_step: int, flops_per_token: float, limit: float) -> None:
        self.tokens, self.flops_per_token, self.limit = tokens_per_step, flops_per_token, limit
        self.recent: deque[float] = deque(maxlen=RECENT_STEPS)

    def see(self, seconds: float) -> None:
        """Count one step."""
        self.recent.append(seconds)

    def figures(self) -> dict[str, float]:
        """Tokens/s of the median of recent steps, and MFU; empty before the first."""
        if not self.recent:
            return {}
        rate = self.tokens / statistics.median(self.recent)
        return {"tokens_per_second": rate, "mfu": rate * self.flops_per_token / self.limit}

    def __str__(self) -> str:
        """'27,900 tokens/s, 58% MFU'."""
        figures = self.figures()
        return f"{figures['tokens_per_second']:,.0f} tokens/s, {figures['mfu']:.0%} MFU" if figures else ""
