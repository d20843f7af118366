"""How often one model's answer beats another's on the same prompt."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gptwright.evaluate.intervals import mean, paired


@dataclass(frozen=True)
class WinRate:
    """The share of prompts won, ties counted half, with its 95% interval and the counts behind it."""

    value: float
    low: float
    high: float
    n: int
    wins: int
    ties: int
    losses: int

    def to_json(self) -> dict[str, float | int]:
        return dataclasses.asdict(self)


def win_rate(scores_a: ArrayLike, scores_b: ArrayLike, *, seed: int = 0, tie: float = 1e-9) -> WinRate:
    """`win_rate([1, 0, 2], [0, 0, 3])` is one win, one tie, one loss: 0.5.

    Row i of both is prompt i. Scores no further apart than `tie` are a tie. The interval is a bootstrap over prompts.
    """
    a_N, b_N = paired(scores_a, scores_b)
    outcomes_N = np.where(np.abs(a_N - b_N) <= tie, 0.5, (a_N > b_N).astype(np.float64))
    figure = mean(outcomes_N, seed=seed)
    wins, ties = int((outcomes_N == 1).sum()), int((outcomes_N == 0.5).sum())
    return WinRate(figure.value, figure.low, figure.high, figure.n, wins, ties, figure.n - wins - ties)
