"""A measured figure with its sample size and 95% interval; every number of the report is one of these.

Shares of yes/no outcomes get Wilson's interval, everything else the percentile bootstrap over the independent units,
which are the prompts. Nothing here knows what was measured.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gptwright.errors import InputError

NORMAL_95 = 1.959963984540054
"""The normal quantile that leaves 2.5% above it."""
RESAMPLES = 10_000
_DRAWS_AT_ONCE = 2_000_000
"""Bounds the memory of one block of resamples: 16 MB of indices."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """A measured value, its 95% interval and the number of observations behind it."""

    value: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, float | int]:
        return dataclasses.asdict(self)


def figure_from_json(value: Any, where: str = "figure") -> Figure:
    """`figure_from_json({"value": 0.5, "low": 0.2, "high": 0.8, "n": 9})`; `where` names the place in a complaint."""
    names = [field.name for field in dataclasses.fields(Figure)]
    if not isinstance(value, dict) or not all(isinstance(value.get(name), int | float) for name in names):
        raise InputError(f"{where} is not a figure: it needs the numbers {', '.join(names)}, got {value!r}")
    return Figure(float(value["value"]), float(value["low"]), float(value["high"]), int(value["n"]))


def proportion(successes: int, n: int) -> Figure:
    """A share with Wilson's score interval (Wilson 1927), which holds for small n and for shares near 0 or 1."""
    if n < 1 or not 0 <= successes <= n:
        raise InputError(f"a share needs 0 <= successes <= n and n >= 1, got {successes} of {n}")
    share = successes / n
    z2 = NORMAL_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    margin = NORMAL_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # At 0 of n and n of n the bound is the share itself; rounding must not push it past.
    low = 0.0 if successes == 0 else max(0.0, centre - margin)
    high = 1.0 if successes == n else min(1.0, centre + margin)
    return Figure(share, low, high, n)


def bootstrap_interval(totals: ArrayLike, weights: ArrayLike, *, seed: int = 0) -> tuple[float, float]:
    """The 95% percentile interval of sum(totals) / sum(weights), resampling rows (Efron and Tibshirani 1993, ch. 13).

    One row is one independent unit, such as a prompt with all its pairs; a plain mean has weight 1 in each row.
    """
    totals_N, weights_N = np.asarray(totals, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    rng = np.random.default_rng(seed)
    num_rows = len(totals_N)
    per_block = max(1, _DRAWS_AT_ONCE // num_rows)
    ratios: list[Floats] = []
    for start in range(0, RESAMPLES, per_block):
        rows_RN = rng.integers(0, num_rows, size=(min(per_block, RESAMPLES - start), num_rows))
        ratios.append(totals_N[rows_RN].sum(axis=1) / weights_N[rows_RN].sum(axis=1))
    low, high = np.quantile(np.concatenate(ratios), [0.025, 0.975])
    return float(low), float(high)


def mean(values: ArrayLike, *, seed: int = 0) -> Figure:
    """A mean with its bootstrap interval.

    The bootstrap is taken and not the t interval because scores are bounded and skewed, often piled up at one end.
    Values that are all equal, a single one included, have nothing to resample: the interval is a point.
    """
    values_N = _finite(values, "values")
    low, high = bootstrap_interval(values_N, np.ones_like(values_N), seed=seed)
    return Figure(float(values_N.mean()), low, high, len(values_N))


def paired_bootstrap(values_a: ArrayLike, values_b: ArrayLike, *, seed: int = 0) -> Figure:
    """The mean of a - b where row i of both belongs to prompt i: with the pairs kept, a prompt's difficulty cancels."""
    a_N, b_N = paired(values_a, values_b)
    return mean(a_N - b_N, seed=seed)


def paired(values_a: ArrayLike, values_b: ArrayLike) -> tuple[Floats, Floats]:
    """Both as finite vectors of one length."""
    a_N, b_N = _finite(values_a, "the first values"), _finite(values_b, "the second values")
    if len(a_N) != len(b_N):
        raise InputError(f"paired values must belong to the same prompts, got {len(a_N)} and {len(b_N)} of them")
    return a_N, b_N


def figures_to_json(figures: dict[str, Figure]) -> dict[str, dict[str, float | int]]:
    return {name: figure.to_json() for name, figure in figures.items()}


def _finite(values: ArrayLike | Sequence[float], name: str) -> Floats:
    values_N = np.asarray(values, dtype=np.float64)
    if values_N.ndim != 1 or not len(values_N):
        raise InputError(f"{name} must be one non-empty list of numbers, got shape {values_N.shape}")
    if not np.isfinite(values_N).all():
        raise InputError(
            f"{name} must be finite, got {int((~np.isfinite(values_N)).sum())} that are not; score them again"
        )
    return values_N
