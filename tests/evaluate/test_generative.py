"""Figures per use case from scored answers."""

import pytest

from gptwright.errors import InputError
from gptwright.evaluate.generative import Scored, by_use_case
from gptwright.evaluate.intervals import proportion

ROWS = [
    Scored("a", "open_qa", "fact", True, 1.0),
    Scored("b", "open_qa", "fact", False, 0.25),
    Scored("c", "generation", "poem", None, 0.4),
    Scored("d", "classification", "label", True, 0.75),
]


def test_accuracy_counts_only_answers_with_a_right_and_a_wrong():
    figures = by_use_case(ROWS)
    assert figures.accuracy["all"] == proportion(2, 3)
    assert figures.accuracy["open_qa"] == proportion(1, 2)
    assert "generation" not in figures.accuracy


def test_gold_score_is_the_mean_over_all_answers():
    figures = by_use_case(ROWS)
    assert figures.gold["all"].value == pytest.approx(0.6)
    assert figures.gold["open_qa"].value == pytest.approx(0.625)
    assert figures.gold["generation"].n == 1


def test_all_comes_first_then_the_alphabet():
    assert list(by_use_case(ROWS).gold) == ["all", "classification", "generation", "open_qa"]


def test_a_use_case_named_all_is_refused():
    with pytest.raises(InputError, match="rename"):
        by_use_case([Scored("a", "all", "fact", True, 1.0)])
