"""How well scores agree with rankings: a reward model's accuracy, its ceiling, its calibration and its bias to length.

In go comparisons as labellers ranked them, and for each comparison one score per answer.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike

from gptwright.errors import InputError
from gptwright.evaluate.intervals import Figure, Floats, bootstrap_interval, paired
from gptwright.records import Comparison, Message

Scores = Sequence[Sequence[float]]


class CalibrationBin(TypedDict):
    """One bin: the mean predicted and the observed share of wins, and how many pairs."""

    predicted: float
    observed: float
    n: int


class ScoreHistogram(TypedDict):
    """Counts per bin of the scores of preferred and of rejected answers; one more edge than bins."""

    edges: list[float]
    chosen: list[int]
    rejected: list[int]


def pair_accuracy(comparisons: Sequence[Comparison], scores: Scores) -> Figure:
    """The share of ranked pairs in which the better answer scores higher; equal scores count half.

    Ties in rank are left out and n counts pairs. The interval is a bootstrap over prompts: the pairs of one prompt,
    by one labeller or several, are not independent.
    """
    by_prompt: dict[tuple[Message, ...], list[float]] = {}
    for comparison, row in _matched(comparisons, scores):
        by_prompt.setdefault(comparison.prompt.messages, []).extend(_verdicts(comparison, row))
    return _over_pairs(list(by_prompt.values()))


def ceiling(comparisons: Sequence[Comparison], utilities: Scores) -> Figure:
    """The accuracy of the judge who knows the true worth of each answer: labellers err, so even that one is below 1."""
    return pair_accuracy(comparisons, utilities)


def agreement(first: Sequence[Comparison], second: Sequence[Comparison]) -> Figure:
    """How often the first labeller orders a pair as the second did, over the pairs that the second ordered.

    Comparison i of both must rank the same answers to the same prompt.
    """
    for one, other in zip(first, second, strict=False):
        if (one.prompt.id, one.answers) != (other.prompt.id, other.answers):
            raise InputError(f"agreement needs the same answers judged twice: prompt {one.prompt.id!r} differs")
    return pair_accuracy(second, [[-rank for rank in comparison.ranks] for comparison in first])


def agreement_among(comparisons: Sequence[Comparison]) -> Figure | None:
    """How often two labellers who ranked the same answers order a pair alike; None where nobody did."""
    same: dict[tuple[tuple[Message, ...], frozenset[str]], dict[str, Comparison]] = {}
    for comparison in comparisons:
        key = comparison.prompt.messages, frozenset(comparison.answers)
        same.setdefault(key, {})[comparison.labeller] = comparison
    seconds, scores = list[Comparison](), list[list[float]]()
    for judged in same.values():
        for one, other in combinations(judged.values(), 2):
            rank = dict(zip(one.answers, one.ranks, strict=True))
            seconds.append(other)
            scores.append([-float(rank[answer]) for answer in other.answers])
    return pair_accuracy(seconds, scores) if any(each.pairs() for each in seconds) else None


def accuracy_by_rank_distance(comparisons: Sequence[Comparison], scores: Scores) -> dict[int, Figure]:
    """Pair accuracy for pairs 1, 2, ... ranks apart: neighbours are the hard ones."""
    by_distance: dict[int, dict[tuple[Message, ...], list[float]]] = {}
    for comparison, row in _matched(comparisons, scores):
        for (better, worse), verdict in zip(comparison.pairs(), _verdicts(comparison, row), strict=True):
            by_prompt = by_distance.setdefault(comparison.ranks[worse] - comparison.ranks[better], {})
            by_prompt.setdefault(comparison.prompt.messages, []).append(verdict)
    return {distance: _over_pairs(list(by_distance[distance].values())) for distance in sorted(by_distance)}


def accuracy_by(
    comparisons: Sequence[Comparison], scores: Scores, key: Callable[[Comparison], str]
) -> dict[str, Figure]:
    """Pair accuracy of each kind of comparison that has ranked pairs: by use case, or by labeller."""
    by_kind: dict[str, dict[tuple[Message, ...], list[float]]] = {}
    for comparison, row in _matched(comparisons, scores):
        if comparison.pairs():
            by_prompt = by_kind.setdefault(key(comparison), {})
            by_prompt.setdefault(comparison.prompt.messages, []).extend(_verdicts(comparison, row))
    return {kind: _over_pairs(list(by_kind[kind].values())) for kind in sorted(by_kind)}


class Disagreement(TypedDict):
    """A pair that scores order otherwise than its labeller did, and by how much."""

    prompt: str
    preferred: str
    rejected: str
    labeller: str
    margin: float


def worst_disagreements(comparisons: Sequence[Comparison], scores: Scores, count: int = 10) -> list[Disagreement]:
    """The pairs that scores get most wrong, at most one a prompt: what to read before trusting a reward model."""
    worst: dict[tuple[Message, ...], Disagreement] = {}
    for comparison, row in _matched(comparisons, scores):
        asked = comparison.prompt.messages
        for better, worse in comparison.pairs():
            margin = row[worse] - row[better]
            if margin > 0 and (asked not in worst or margin > worst[asked]["margin"]):
                worst[asked] = {
                    "prompt": "\n".join(message.content for message in asked),
                    "preferred": comparison.answers[better],
                    "rejected": comparison.answers[worse],
                    "labeller": comparison.labeller,
                    "margin": float(margin),
                }
    return sorted(worst.values(), key=lambda each: -each["margin"])[:count]


def best_of_n(scores: Scores, worths: Scores, counts: Sequence[int]) -> dict[int, Figure]:
    """The mean worth of the answer with the highest score among n, for each n of `counts`; n counts prompts.

    Of N answers to a prompt every choice of n is averaged at once (Nakano et al., arXiv:2112.09332, appendix I): the
    answer with the i-th lowest score is the best of n in C(i - 1, n - 1) of C(N, n) choices.
    """
    found = {}
    for n in counts:
        per_prompt = []
        for row, worth in zip(scores, worths, strict=True):
            ranked_N = np.array(worth, dtype=np.float64)[np.argsort(row, kind="stable")]
            weights = [math.comb(i, n - 1) / math.comb(len(ranked_N), n) for i in range(len(ranked_N))]
            per_prompt.append(float(ranked_N @ np.array(weights)))
        low, high = bootstrap_interval(per_prompt, [1] * len(per_prompt))
        found[n] = Figure(sum(per_prompt) / len(per_prompt), low, high, len(per_prompt))
    return found


def pair_differences(comparisons: Sequence[Comparison], scores: Scores) -> tuple[Floats, Floats]:
    """Score difference and outcome (1 if the first was preferred) of each ranked pair, for `calibration`.

    Which answer of a pair comes first is drawn from their texts. Better minus worse would make every outcome 1, and so
    would the order in which many files list them.
    """
    differences, outcomes = [], []
    for comparison, row in _matched(comparisons, scores):
        for better, worse in comparison.pairs():
            first, second = sorted((better, worse), key=lambda i: zlib.crc32(comparison.answers[i].encode()))
            differences.append(row[first] - row[second])
            outcomes.append(float(first == better))
    return np.array(differences), np.array(outcomes)


def calibration(score_differences: ArrayLike, outcomes: ArrayLike, bins: int = 10) -> list[CalibrationBin]:
    """Predicted chance of a win, sigmoid(difference), against the observed share.

    Bins have equal width; empty ones are left out.
    """
    differences_N, outcomes_N = paired(score_differences, outcomes)
    predicted_N = 0.5 * (1 + np.tanh(differences_N / 2))  # the sigmoid, without overflow
    bin_N = np.minimum((predicted_N * bins).astype(np.int64), bins - 1)
    curve: list[CalibrationBin] = []
    for index in range(bins):
        inside = bin_N == index
        if inside.any():
            observed = float(outcomes_N[inside].mean())
            curve.append({"predicted": float(predicted_N[inside].mean()), "observed": observed, "n": int(inside.sum())})
    return curve


def expected_calibration_error(curve: Sequence[CalibrationBin]) -> float:
    """The mean gap between predicted and observed, weighted by pairs (Naeini et al. 2015)."""
    if not curve:
        raise InputError("no calibration bins to take the error of: give at least one pair")
    return sum(row["n"] * abs(row["predicted"] - row["observed"]) for row in curve) / sum(row["n"] for row in curve)


def length_correlation(scores: ArrayLike, lengths: ArrayLike) -> float | None:
    """Spearman's rank correlation of score and length; None where one never varies, which leaves it undefined."""
    scores_N, lengths_N = (_mean_ranks(values_N) for values_N in paired(scores, lengths))
    scores_N, lengths_N = scores_N - scores_N.mean(), lengths_N - lengths_N.mean()
    scale = float(np.sqrt((scores_N**2).sum() * (lengths_N**2).sum()))
    return float((scores_N * lengths_N).sum()) / scale if scale > 0 else None


def score_histogram(comparisons: Sequence[Comparison], scores: Scores, bins: int = 24) -> ScoreHistogram:
    """The scores of the better and of the worse answer of every ranked pair, on common edges."""
    pairs = [(row[b], row[w]) for comparison, row in _matched(comparisons, scores) for b, w in comparison.pairs()]
    if not pairs:
        raise InputError("no ranked pairs: every comparison is a tie, so nothing is chosen or rejected")
    chosen_N, rejected_N = np.array(pairs).T
    edges = np.histogram_bin_edges(np.array(pairs), bins=bins)
    chosen, rejected = np.histogram(chosen_N, edges)[0], np.histogram(rejected_N, edges)[0]
    return {"edges": edges.tolist(), "chosen": chosen.tolist(), "rejected": rejected.tolist()}


def _matched(comparisons: Sequence[Comparison], scores: Scores) -> list[tuple[Comparison, Sequence[float]]]:
    if len(comparisons) != len(scores):
        raise InputError(f"each comparison needs its scores, got {len(comparisons)} comparisons and {len(scores)} rows")
    for comparison, row in zip(comparisons, scores, strict=True):
        if len(row) != len(comparison.answers) or not np.isfinite(row).all():
            answers = len(comparison.answers)
            raise InputError(
                f"prompt {comparison.prompt.id!r} needs a finite score for each of {answers} answers, got {row}"
            )
    return list(zip(comparisons, scores, strict=True))


def _verdicts(comparison: Comparison, scores: Sequence[float]) -> list[float]:
    """Per ranked pair: 1 if the better answer scores higher, 0.5 if they are equal, else 0."""
    return [(1 + float(np.sign(scores[better] - scores[worse]))) / 2 for better, worse in comparison.pairs()]


def _over_pairs(verdicts: Sequence[Sequence[float]]) -> Figure:
    ranked = [row for row in verdicts if row]
    if not ranked:
        raise InputError("no ranked pairs to take an accuracy of: every comparison is a tie")
    totals, counts = [sum(row) for row in ranked], [len(row) for row in ranked]
    low, high = bootstrap_interval(totals, counts)
    return Figure(sum(totals) / sum(counts), low, high, sum(counts))


def _mean_ranks(values_N: Floats) -> Floats:
    """Ranks from 0; equal values share the mean of theirs. [5, 7, 5] -> [0.5, 2, 0.5]."""
    _, inverse, counts = np.unique(values_N, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[inverse]
