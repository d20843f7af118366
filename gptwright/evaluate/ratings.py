"""One number for each model from who beat whom: Bradley-Terry by maximum likelihood, on Elo's scale.

    P(a beats b) = 1 / (1 + 10^((rating_b - rating_a) / 400))            a tie is half a win for each

All games at once, so neither their order nor the models' names matter, unlike with Elo's running update (Bradley and
Terry 1952; Hunter 2004 for the iteration). Each pair of models is given a tenth of a drawn game, so that a model that
won or lost everything has a finite rating.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gptwright.errors import InputError
from gptwright.evaluate.intervals import Figure, Floats

ANCHOR = 1000.0
"""The rating of the model that the others are compared with."""
PRIOR = 0.1
RESAMPLES = 1_000
ITERATIONS, TOLERANCE = 10_000, 1e-7


def wins_of(scores: Mapping[str, Sequence[float]], tie: float = 1e-9) -> Floats:
    """(prompts, M, M): 1 where the row's model scored higher on the prompt than the column's, 0.5 for a tie."""
    values_MN = np.array([scores[name] for name in scores], dtype=np.float64)
    difference_NMM = values_MN.T[:, :, None] - values_MN.T[:, None, :]
    return np.where(np.abs(difference_NMM) <= tie, 0.5, (difference_NMM > 0).astype(np.float64))


def bradley_terry(wins_MM: Floats) -> Floats:
    """Log-strengths (M,), of mean 0, from wins[i, j] = games that i won against j; the diagonal does not count."""
    wins_MM = wins_MM + PRIOR / 2
    np.fill_diagonal(wins_MM, 0.0)
    games_MM, won_M = wins_MM + wins_MM.T, wins_MM.sum(axis=1)
    strength_M = np.ones(len(wins_MM))
    for _ in range(ITERATIONS):
        new_M = won_M / (games_MM / (strength_M[:, None] + strength_M[None, :])).sum(axis=1)
        new_M /= np.exp(np.log(new_M).mean())
        moved, strength_M = float(np.abs(np.log(new_M / strength_M)).max()), new_M
        if moved < TOLERANCE:
            break
    found: Floats = np.log(strength_M)
    return found


def ratings(scores: Mapping[str, Sequence[float]], anchor: str, *, seed: int = 0) -> dict[str, Figure]:
    """Each model's rating with a 95% interval over prompts; row i of every model belongs to prompt i.

    Raises InputError where models answered other numbers of prompts or there is only one.
    """
    if len(scores) < 2 or anchor not in scores or len({len(row) for row in scores.values()}) != 1:
        raise InputError("ratings need two models or more, among them the anchor, with a score for each prompt")
    wins_NMM, names = wins_of(scores), list(scores)
    rng, count = np.random.default_rng(seed), len(wins_NMM)
    resampled = [wins_NMM[rng.integers(0, count, count)].sum(axis=0) for _ in range(RESAMPLES)]
    place = names.index(anchor)

    def elo(wins_MM: Floats) -> Floats:
        log_M = bradley_terry(wins_MM)
        scaled: Floats = ANCHOR + 400 / np.log(10) * (log_M - log_M[place])
        return scaled

    low_M, high_M = np.quantile([elo(wins_MM) for wins_MM in resampled], [0.025, 0.975], axis=0)
    best_M = elo(wins_NMM.sum(axis=0))
    return {name: Figure(float(best_M[i]), float(low_M[i]), float(high_M[i]), count) for i, name in enumerate(names)}
