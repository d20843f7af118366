"""Win rates against hand counts."""

import numpy as np
import pytest

from gptwright.evaluate.pairwise import win_rate


def test_ties_count_half():
    rate = win_rate([1, 0, 2, 5], [0, 0, 3, 1])
    assert (rate.wins, rate.ties, rate.losses, rate.n) == (2, 1, 1, 4)
    assert rate.value == 0.625


def test_a_difference_up_to_the_tolerance_is_a_tie():
    assert win_rate([0.50], [0.45], tie=0.1).ties == 1
    assert win_rate([0.50], [0.45], tie=0.01).wins == 1


def test_win_rates_of_both_sides_sum_to_one():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, 90), rng.integers(0, 4, 90)
    there, back = win_rate(a, b), win_rate(b, a)
    assert there.value + back.value == pytest.approx(1)
    assert there.low + back.high == pytest.approx(1)  # same seed, same resamples


def test_interval_is_that_of_a_share_when_nothing_ties():
    rate = win_rate(np.arange(400) < 260, np.full(400, 0.5))
    half_width = 1.96 * np.sqrt(0.65 * 0.35 / 400)
    assert rate.value == 0.65
    assert rate.high - rate.low == pytest.approx(2 * half_width, rel=0.06)


def test_json_carries_the_counts():
    assert win_rate([1, 1], [0, 2]).to_json().keys() == {"value", "low", "high", "n", "wins", "ties", "losses"}
