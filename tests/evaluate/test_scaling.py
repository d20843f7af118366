"""Scaling laws: known constants come back, the optimum is one, and hand-worked frontiers and pairs."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Sequence

import numpy as np
import pytest

from gptwright.errors import InputError
from gptwright.evaluate.scaling import (
    Pair,
    ScalingLaw,
    TrainedRun,
    check_grid,
    compute_levels,
    cost_per_parameter_token,
    fit_law,
    frontier,
    leave_one_out,
    pairs,
    power_law,
    study,
)

CHINCHILLA = ScalingLaw(E=1.69, A=406.4, alpha=0.34, B=410.7, beta=0.28)
"""Hoffmann et al., arXiv:2203.15556, equation 10."""
LAPTOP = ScalingLaw(E=0.6, A=50.0, alpha=0.4, B=60.0, beta=0.35)


def runs_of(
    law: ScalingLaw, sizes: Sequence[float], budgets: Sequence[float], *, noise: float = 0.0
) -> list[TrainedRun]:
    rng = random.Random(0)
    return [
        TrainedRun(f"{n:g}-{d:g}", int(n), int(d), 6.0 * n * d, law.loss(n, d) * math.exp(rng.gauss(0, noise)))
        for n in sizes
        for d in budgets
    ]


def run(name: str, parameters: int, tokens: int, loss: float, flops: float | None = None) -> TrainedRun:
    return TrainedRun(name, parameters, tokens, 6.0 * parameters * tokens if flops is None else flops, loss)


@pytest.mark.parametrize(
    ("law", "sizes", "budgets"),
    [(CHINCHILLA, (1e8, 4e8, 1.6e9), (1e9, 4e9, 16e9)), (LAPTOP, (6e4, 2.3e5, 9e5), (2e5, 4e5, 8e5, 1.6e6))],
)
def test_known_constants_come_back(law: ScalingLaw, sizes: Sequence[float], budgets: Sequence[float]) -> None:
    found = fit_law(runs_of(law, sizes, budgets))
    expected = pytest.approx(dataclasses.asdict(law), rel=0.01)
    assert dataclasses.asdict(found) == expected


def test_one_run_that_went_wrong_does_not_bend_the_law() -> None:
    runs = runs_of(LAPTOP, (6e4, 2.3e5, 9e5), (2e5, 4e5, 8e5, 1.6e6))
    spoilt = [
        run("spoilt", runs[5].parameters, runs[5].tokens, 2 * runs[5].loss) if i == 5 else r for i, r in enumerate(runs)
    ]
    found = study(spoilt)
    assert found.law.alpha == pytest.approx(LAPTOP.alpha, rel=0.02)
    assert found.errors["spoilt"] == pytest.approx(1.0, abs=0.02)
    assert max(abs(error) for name, error in found.errors.items() if name != "spoilt") < 0.002


def test_the_exponents_spread_without_each_run_holds_the_whole_ones() -> None:
    runs = runs_of(LAPTOP, (6e4, 2.3e5, 9e5), (2e5, 4e5, 8e5), noise=0.003)
    law = fit_law(runs)
    others = leave_one_out(runs, law)
    assert len(others) == len(runs)
    assert min(other.alpha for other in others) <= law.alpha <= max(other.alpha for other in others)
    assert max(other.beta for other in others) - min(other.beta for other in others) > 1e-4


def by_levenberg_marquardt(runs: Sequence[TrainedRun], start: ScalingLaw) -> ScalingLaw:
    """Another way to the same minimum: weighted least squares with the Huber loss's weights and damped steps."""
    n, d, measured = (np.log([getattr(run, name) for run in runs]) for name in ("parameters", "tokens", "loss"))
    point = np.log([start.E, start.A, start.B, start.alpha, start.beta])

    def terms(point: np.ndarray) -> np.ndarray:
        return np.stack([np.full_like(n, point[0]), point[1] - np.exp(point[3]) * n, point[2] - np.exp(point[4]) * d])

    def loss(point: np.ndarray) -> float:
        off = np.abs(np.log(np.exp(terms(point)).sum(0)) - measured)
        return float(np.where(off < 1e-3, off**2 / 2, 1e-3 * (off - 5e-4)).sum())

    damping = 1e-3
    for _ in range(3000):
        parts = np.exp(terms(point))
        share = parts / parts.sum(0)
        off = np.log(parts.sum(0)) - measured
        slopes = np.stack([*share, -share[1] * np.exp(point[3]) * n, -share[2] * np.exp(point[4]) * d], axis=1)
        weights = 1e-3 / np.maximum(np.abs(off), 1e-3)
        curvature = slopes.T @ (weights[:, None] * slopes)
        step = np.linalg.solve(curvature + damping * np.diag(curvature.diagonal() + 1e-15), -slopes.T @ (weights * off))
        better = loss(point + step) < loss(point)
        point, damping = (point + step, damping / 3) if better else (point, damping * 4)
        if damping > 1e9:  # no step helps any more
            break
    e, a, b, alpha, beta = np.exp(point).tolist()
    return ScalingLaw(e, a, alpha, b, beta)


def test_noisy_runs_lead_to_the_minimum_that_another_method_finds() -> None:
    runs = runs_of(LAPTOP, (6e4, 1e5, 2.3e5, 9e5), (2e5, 4e5, 8e5, 1.6e6), noise=0.004)
    theirs = by_levenberg_marquardt(runs, LAPTOP)
    assert abs(theirs.alpha - LAPTOP.alpha) > 1e-3  # the noise has moved it
    assert dataclasses.asdict(fit_law(runs)) == pytest.approx(dataclasses.asdict(theirs), rel=1e-3)


@pytest.mark.parametrize("cost", [6.0, 8.5])
def test_optimum_spends_the_compute_and_nothing_near_it_is_better(cost: float) -> None:
    best = CHINCHILLA.optimum(1e21, cost)
    assert cost * best.parameters * best.tokens == pytest.approx(1e21)
    assert best.loss == CHINCHILLA.loss(best.parameters, best.tokens)
    for factor in (0.98, 1.02):
        assert CHINCHILLA.loss(best.parameters * factor, best.tokens / factor) > best.loss


def test_optimum_of_equal_terms_is_worked_by_hand() -> None:
    # With A = B and alpha = beta, N = D = sqrt(C / 6): 10**4 each for 6 * 10**8.
    best = ScalingLaw(E=1.0, A=100.0, alpha=0.5, B=100.0, beta=0.5).optimum(6e8, 6.0)
    assert (best.parameters, best.tokens, best.loss) == pytest.approx((1e4, 1e4, 3.0))


@pytest.mark.parametrize(("sizes", "budgets", "said"), [(1, 5, "1 size and 5"), (5, 2, "5 sizes and 2 token budgets")])
def test_too_small_a_grid_is_refused(sizes: int, budgets: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_grid(sizes, budgets)


def test_a_loss_that_is_no_number_is_refused_by_name() -> None:
    runs = [*runs_of(LAPTOP, (1e5, 2e5, 4e5), (1e5, 2e5, 4e5)), run("broken", 10, 10, math.nan)]
    with pytest.raises(InputError, match="run broken ended at a loss of nan"):
        fit_law(runs)


def test_frontier_drops_what_a_cheaper_run_beats() -> None:
    a, b, c, d = run("a", 1, 1, 3.0), run("b", 1, 2, 3.5), run("c", 2, 2, 2.0), run("d", 2, 4, 2.0)
    assert frontier([d, c, b, a]) == [a, c]


def test_power_law_through_two_points_is_worked_by_hand() -> None:
    # 8 at 1 and 2 at 16: a fourth for 16 times the compute is an exponent of 1/2.
    assert power_law([run("a", 1, 1, 8.0, 1.0), run("b", 1, 1, 2.0, 16.0)]) == pytest.approx((8.0, 0.5))


def test_pairs_are_smaller_models_that_read_more_for_no_more_compute() -> None:
    small, large = run("small", 10, 100, 2.0), run("large", 100, 20, 2.5)
    dear = run("dear", 20, 400, 1.0)  # smaller than large, but with more compute
    equal = run("equal", 50, 20, 2.1)  # no more tokens than large
    assert pairs([small, large, dear, equal]) == [Pair(small, large), Pair(small, equal)]
    assert pairs([small, large])[0].gain == 0.5


def test_study_counts_where_the_smaller_model_wins() -> None:
    runs = runs_of(LAPTOP, (6e4, 2.3e5, 9e5), (2e5, 4e5, 8e5, 1.6e6))
    found = study(runs)
    compared = pairs(runs)
    assert found.pairs == len(compared)
    assert found.smaller_won == sum(pair.small.loss < pair.large.loss for pair in compared) > 0
    assert found.pair is not None and found.pair.gain == max(pair.gain for pair in compared)


def test_study_says_so_where_the_larger_model_always_wins() -> None:
    needs_size = ScalingLaw(E=0.5, A=5000.0, alpha=0.6, B=1.0, beta=0.3)
    found = study(runs_of(needs_size, (6e4, 2.3e5, 9e5), (2e5, 8e5, 3.2e6)))
    assert found.pairs > 0
    assert (found.smaller_won, found.pair) == (0, None)


def test_advice_names_the_best_affordable_run_and_tells_extrapolation() -> None:
    runs = runs_of(LAPTOP, (6e4, 2.3e5, 9e5), (2e5, 4e5, 8e5, 1.6e6))
    found = study(runs)
    assert [each.optimum.flops for each in found.advice] == compute_levels(runs)
    assert found.advice[0].run == min(runs, key=lambda run: run.flops).name
    assert found.advice[-1].run == min(runs, key=lambda run: run.loss).name
    assert not found.advice[-1].inside
    for each in found.advice:
        best = each.optimum
        assert each.inside == (6e4 <= best.parameters <= 9e5 and 2e5 <= best.tokens <= 1.6e6)
    assert any(each.inside for each in found.advice)


def test_levels_are_even_in_logarithm() -> None:
    runs = [run("a", 1, 1, 1.0, 1.0), run("b", 1, 1, 1.0, 8.0)]
    assert compute_levels(runs) == pytest.approx([1, 2, 4, 8, 80])


def test_cost_is_the_median_of_the_runs() -> None:
    runs = [run(str(flops), 2, 5, 1.0, flops) for flops in (60.0, 200.0, 70.0)]
    assert cost_per_parameter_token(runs) == 7.0
