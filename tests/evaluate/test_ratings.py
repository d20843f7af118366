"""Ratings: a hand-worked pair, and what must not matter."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from gptwright.errors import InputError
from gptwright.evaluate import ratings as module
from gptwright.evaluate.ratings import bradley_terry, ratings, wins_of


def test_three_wins_in_four_are_191_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PRIOR", 0.0)
    log = bradley_terry(np.array([[0.0, 75.0], [25.0, 0.0]]))
    assert log[0] - log[1] == pytest.approx(math.log(3))
    found = ratings({"a": [1.0, 1.0, 1.0, 0.0] * 50, "b": [0.0, 0.0, 0.0, 1.0] * 50}, "b")
    assert found["b"].value == 1000.0
    assert found["a"].value == pytest.approx(1000 + 400 * math.log10(3), abs=1e-6)
    assert found["a"].low < found["a"].value < found["a"].high and found["b"].low == found["b"].high == 1000.0


def test_a_tie_is_half_a_win_for_each() -> None:
    wins = wins_of({"a": [1.0, 2.0, 3.0], "b": [1.0, 1.0, 4.0]})
    assert wins.sum(axis=0)[0, 1] == 1.5 == wins.sum(axis=0)[1, 0]


def test_strengths_that_made_the_games_come_out_again() -> None:
    true = np.array([0.8, 0.1, -0.9])
    chance = 1 / (1 + np.exp(true[None, :] - true[:, None]))
    assert bradley_terry(1e6 * chance) == pytest.approx(true, abs=1e-5)


def test_order_of_prompts_and_names_of_models_do_not_matter() -> None:
    draws = random.Random(0)
    scores = {name: [draws.random() + shift for _ in range(60)] for name, shift in (("x", 0), ("y", 0.2), ("z", 0.4))}
    order = draws.sample(range(60), 60)
    other = {{"x": "c", "y": "b", "z": "a"}[name]: [row[i] for i in order] for name, row in reversed(scores.items())}
    plain, changed = ratings(scores, "x"), ratings(other, "c")
    for old, new in zip("xyz", "cba", strict=True):
        assert changed[new].value == pytest.approx(plain[old].value, abs=1e-6)
    assert plain["z"].value > plain["y"].value > plain["x"].value


def test_a_model_that_lost_everything_has_a_finite_rating() -> None:
    found = ratings({"good": [1.0] * 30, "bad": [0.0] * 30}, "good")
    assert -2000 < found["bad"].value < 800


@pytest.mark.parametrize("scores", [{"a": [1.0]}, {"a": [1.0], "b": [1.0, 2.0]}, {"b": [1.0], "c": [2.0]}])
def test_what_cannot_be_rated_is_refused(scores: dict[str, list[float]]) -> None:
    with pytest.raises(InputError, match="ratings need two models or more"):
        ratings(scores, "a")
