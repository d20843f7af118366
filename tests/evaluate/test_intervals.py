"""Intervals against hand-worked numbers and closed forms."""

import json

import numpy as np
import pytest

from gptwright.errors import InputError
from gptwright.evaluate.intervals import Figure, figure_from_json, mean, paired_bootstrap, proportion


def test_wilson_interval_of_eight_in_ten():
    # By hand, z = 1.96: centre (0.8 + 3.8416/20) / 1.38416 = 0.71674,
    # margin 1.96/1.38416 * sqrt(0.016 + 3.8416/400) = 0.22658.
    figure = proportion(8, 10)
    assert (figure.value, figure.n) == (0.8, 10)
    assert figure.low == pytest.approx(0.4902, abs=1e-4)
    assert figure.high == pytest.approx(0.9433, abs=1e-4)


def test_wilson_bounds_solve_the_score_equation():
    # The interval is where (share - p)^2 = z^2 p (1 - p) / n: another way to state it, checked at both ends.
    figure = proportion(37, 120)
    for bound in (figure.low, figure.high):
        assert (figure.value - bound) ** 2 == pytest.approx(1.959964**2 * bound * (1 - bound) / 120, rel=1e-5)


def test_wilson_of_none_and_of_all_is_one_sided():
    none, every = proportion(0, 10), proportion(10, 10)
    assert none.low == 0.0 and none.high == pytest.approx(3.8415 / 13.8415, abs=1e-4)  # z^2 / (n + z^2)
    assert every.high == 1.0 and every.low == pytest.approx(1 - none.high)


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 4)])
def test_impossible_share_is_refused(successes, n):
    with pytest.raises(InputError, match="successes"):
        proportion(successes, n)


def test_bootstrap_interval_of_a_large_sample_is_the_normal_one():
    values = np.random.default_rng(1).normal(3.0, 2.0, 2000)
    figure = mean(values)
    half_width = 1.96 * values.std() / np.sqrt(2000)
    assert figure.value == pytest.approx(values.mean())
    assert figure.high - figure.value == pytest.approx(half_width, rel=0.06)
    assert figure.value - figure.low == pytest.approx(half_width, rel=0.06)


def test_same_seed_gives_the_same_interval_and_another_seed_another():
    values = [0.1, 0.9, 0.35, 0.7, 0.62, 0.05]
    assert mean(values, seed=3) == mean(values, seed=3)
    assert mean(values, seed=3) != mean(values, seed=4)


def test_equal_values_give_a_point():
    assert mean([2.0, 2.0, 2.0]) == Figure(2.0, 2.0, 2.0, 3)


def test_pairing_removes_the_difficulty_of_the_prompts():
    difficulty = np.random.default_rng(0).normal(0, 100, 50)
    figure = paired_bootstrap(difficulty + 1, difficulty)
    assert figure.value == pytest.approx(1) and figure.low == pytest.approx(1) and figure.high == pytest.approx(1)


def test_unequal_pairs_are_refused():
    with pytest.raises(InputError, match="3 and 2"):
        paired_bootstrap([1, 2, 3], [1, 2])


@pytest.mark.parametrize("values", [[], [1.0, float("nan")]])
def test_empty_or_undefined_values_are_refused(values):
    with pytest.raises(InputError, match="values"):
        mean(values)


def test_json_round_trip():
    figure = proportion(3, 7)
    assert figure_from_json(json.loads(json.dumps(figure.to_json()))) == figure


def test_what_is_not_a_figure_is_refused_by_place():
    with pytest.raises(InputError, match=r"accuracy of sft .* low"):
        figure_from_json({"value": 1.0, "n": 3}, "accuracy of sft")
