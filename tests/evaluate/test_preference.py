"""Reward-model measures on rankings small enough to count by hand."""

import itertools
import math

import numpy as np
import pytest

from gptwright.errors import InputError
from gptwright.evaluate.preference import (
    accuracy_by,
    accuracy_by_rank_distance,
    agreement,
    agreement_among,
    best_of_n,
    calibration,
    ceiling,
    expected_calibration_error,
    length_correlation,
    pair_accuracy,
    pair_differences,
    score_histogram,
    worst_disagreements,
)
from gptwright.records import Comparison, Message, Prompt


def ranked(name, *ranks, labeller=""):
    prompt = Prompt(name, (Message("user", f"{name}?"),))
    return Comparison(prompt, tuple(f"answer {i}" for i in range(len(ranks))), ranks, labeller)


def test_pair_accuracy_by_hand():
    # First: pairs (0,1) right, (0,2) equal scores, (1,2) wrong. Second: a tie in rank; (2,0), (2,1) right.
    figure = pair_accuracy([ranked("p", 0, 1, 2), ranked("q", 1, 1, 0)], [[3.0, 1.0, 3.0], [0.0, 1.0, 2.0]])
    assert figure.value == pytest.approx(3.5 / 5)
    assert figure.n == 5


def test_the_interval_resamples_prompts_not_pairs():
    # Half of the prompts have all 6 pairs right, half all wrong: the spread is that of 40 prompts, not of 240 pairs.
    comparisons = [ranked(str(i), 0, 1, 2, 3) for i in range(40)]
    scores = [[4, 3, 2, 1] if i % 2 else [1, 2, 3, 4] for i in range(40)]
    figure = pair_accuracy(comparisons, scores)
    assert figure.high - figure.low == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(40), rel=0.1)


def test_ceiling_is_what_true_utilities_reach():
    assert ceiling([ranked("p", 0, 1), ranked("q", 0, 1)], [[2.0, 1.0], [1.0, 2.0]]).value == 0.5


def test_agreement_counts_pairs_that_the_second_ordered():
    first, second = ranked("p", 0, 1, 2, labeller="x"), ranked("p", 0, 2, 1, labeller="y")
    assert agreement([first], [second]).value == pytest.approx(2 / 3)


def test_agreement_about_different_answers_is_refused():
    with pytest.raises(InputError, match="same answers"):
        agreement([ranked("p", 0, 1)], [ranked("q", 0, 1)])


def test_accuracy_by_rank_distance_by_hand():
    figures = accuracy_by_rank_distance([ranked("p", 0, 1, 2)], [[2.0, 3.0, 1.0]])
    assert {distance: (figure.value, figure.n) for distance, figure in figures.items()} == {1: (0.5, 2), 2: (1.0, 1)}


def test_pairs_are_oriented_by_neither_outcome_nor_the_order_of_a_file():
    texts = [(f"{number} first", f"{number} second") for number in range(400)]
    pairs = [Comparison(Prompt(a, (Message("user", a),)), (a, b), (0, 1)) for a, b in texts]  # the better one first
    differences, outcomes = pair_differences(pairs, [[3.0, 1.0]] * 400)
    assert set(differences[outcomes == 1]) == {2.0} and set(differences[outcomes == 0]) == {-2.0}
    assert 150 < outcomes.sum() < 250
    swapped = [Comparison(pair.prompt, pair.answers[::-1], (1, 0)) for pair in pairs]
    assert pair_differences(swapped, [[1.0, 3.0]] * 400)[1].tolist() == outcomes.tolist()


def test_agreement_among_those_who_ranked_the_same_answers():
    first, other = ranked("p", 0, 1, 2, labeller="x"), ranked("p", 0, 2, 1, labeller="y")
    turned = Comparison(other.prompt, other.answers[::-1], other.ranks[::-1], "y")
    alone = ranked("q", 0, 1, labeller="x")
    for second in (other, turned):
        found = agreement_among([first, alone, second])
        assert found is not None
        assert (found.value, found.n) == (pytest.approx(2 / 3), 3)
    assert agreement_among([first, alone]) is None
    assert agreement_among([first, first]) is None  # nobody agrees with themselves


def test_calibration_bins_by_predicted_chance():
    log_odds = math.log(3)  # sigmoid: 0.75
    curve = calibration([log_odds] * 4 + [-log_odds] * 2, [1, 1, 1, 0, 0, 1])
    assert [row["n"] for row in curve] == [2, 4]
    assert [row["predicted"] for row in curve] == pytest.approx([0.25, 0.75])
    assert [row["observed"] for row in curve] == pytest.approx([0.5, 0.75])
    assert expected_calibration_error(curve) == pytest.approx(2 / 6 * 0.25)


def test_calibration_takes_huge_differences():
    curve = calibration([1e6, -1e6], [1, 0])
    assert [(row["predicted"], row["observed"]) for row in curve] == [(0.0, 0.0), (1.0, 1.0)]


def test_spearman_sees_order_not_size():
    assert length_correlation([1, 2, 3, 4], [10, 100, 1000, 10000]) == pytest.approx(1)
    assert length_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)


def test_spearman_without_ties_equals_the_formula_of_squared_rank_differences():
    # Ranks 0 1 2 3 4 against 1 0 3 2 4: four differences of 1, so 1 - 6 * 4 / (5 * 24).
    assert length_correlation([0, 1, 2, 3, 4], [1, 0, 4, 1.5, 9]) == pytest.approx(0.8)


def test_spearman_with_ties_takes_mean_ranks():
    # Ranks 0.5, 0.5, 2 against 0, 1, 2: covariance 1.5, variances 1.5 and 2.
    assert length_correlation([5, 5, 7], [1, 2, 3]) == pytest.approx(1.5 / math.sqrt(1.5 * 2))


def test_spearman_of_a_constant_is_undefined():
    assert length_correlation([1, 2, 3], [8, 8, 8]) is None


def test_histogram_counts_each_pair_once_on_each_side():
    histogram = score_histogram([ranked("p", 0, 1, 2)], [[2.0, 1.0, 0.0]], bins=2)
    assert histogram["edges"] == [0.0, 1.0, 2.0]
    assert histogram["chosen"] == [0, 3]
    assert histogram["rejected"] == [2, 1]


def test_a_missing_score_is_refused_by_prompt():
    with pytest.raises(InputError, match="'p'"):
        pair_accuracy([ranked("p", 0, 1)], [[1.0]])
    with pytest.raises(InputError, match="'p'"):
        pair_accuracy([ranked("p", 0, 1)], [[1.0, np.nan]])


def test_only_ties_are_refused():
    with pytest.raises(InputError, match="tie"):
        pair_accuracy([ranked("p", 0, 0)], [[1.0, 2.0]])


def test_accuracy_by_a_key_keeps_kinds_apart():
    poem = Comparison(Prompt("p", (Message("user", "p?"),), "generation"), ("a", "b"), (0, 1))
    fact = Comparison(Prompt("q", (Message("user", "q?"),), "open_qa"), ("a", "b"), (1, 0))
    tied = Comparison(Prompt("r", (Message("user", "r?"),), "chat"), ("a", "b"), (0, 0))
    found = accuracy_by([poem, fact, tied], [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]], lambda c: c.prompt.use_case)
    assert {case: figure.value for case, figure in found.items()} == {"generation": 1.0, "open_qa": 0.0}


def test_worst_disagreements_come_with_their_texts_the_widest_first_and_one_a_prompt():
    comparisons = [ranked("p", 0, 1, labeller="ann"), ranked("q", 0, 1, 2), ranked("r", 0, 1)]
    found = worst_disagreements(comparisons, [[0.0, 1.0], [0.0, 2.0, 3.0], [1.0, 0.0]])
    assert [(row["prompt"], row["margin"]) for row in found] == [("q?", 3.0), ("p?", 1.0)]
    assert found[1]["preferred"] == "answer 0" and found[1]["rejected"] == "answer 1" and found[1]["labeller"] == "ann"
    assert len(worst_disagreements(comparisons, [[0.0, 1.0], [0.0, 2.0, 3.0], [1.0, 0.0]], count=1)) == 1


def test_best_of_n_is_the_mean_over_every_choice_of_n():
    scores, worths = [0.3, -1.0, 2.0, 0.9, 0.1], [5.0, 1.0, 2.0, 4.0, 3.0]
    found = best_of_n([scores, scores], [worths, worths], (1, 2, 3, 5))
    for n in (1, 2, 3, 5):
        choices = list(itertools.combinations(range(5), n))
        plain = sum(worths[max(choice, key=lambda i: scores[i])] for choice in choices) / len(choices)
        assert found[n].value == pytest.approx(plain)
    assert found[1].value == pytest.approx(3.0) and found[5].value == 2.0
