"""Labellers agree with each other about as often as people do, differ in taste, and rank the same way again."""

import statistics
from itertools import combinations

import pytest

from gptwright.errors import InputError
from gptwright.records import Comparison, Prompt
from gptwright.world import LABELLERS, PANEL, agreement, compare, judge, plausible_answers, prompts, utility

BY_NAME = {labeller.name: labeller for labeller in LABELLERS}
CAPITAL = PANEL[5]
POLITE = PANEL[10]


@pytest.fixture(scope="module")
def reference():
    return [(prompt, plausible_answers(prompt, 4, seed=1)) for prompt in prompts("reward", 700, seed=21)]


def rankings(labeller, reference, seed):
    return [Comparison(prompt, answers, labeller.rank(prompt, answers, seed)) for prompt, answers in reference]


def test_two_labellers_agree_on_73_percent_of_pairs(reference):
    ranked = [rankings(labeller, reference, seed=2) for labeller in LABELLERS]
    shares = [agreement(one, other) for one, other in combinations(ranked, 2)]
    assert statistics.mean(shares) == pytest.approx(0.73, abs=0.02)


def test_the_reference_answers_are_partly_good(reference):
    scores = [judge(prompt, answer).score for prompt, answers in reference for answer in answers]
    assert 0.65 < statistics.mean(scores) < 0.85


def test_tastes_differ():
    short, long = "Ottawa.", "The capital of Canada is Ottawa. Canada is in North America."
    rude, courteous = "I cannot help with that.", "I am sorry, but I cannot help with that."

    def gap(name, prompt, answer, other):
        return BY_NAME[name].taste(prompt, answer) - BY_NAME[name].taste(prompt, other)

    assert gap("brevity", CAPITAL, short, long) > 0 > gap("detail", CAPITAL, short, long)
    assert gap("courtesy", POLITE, courteous, rude) > 0 == gap("neutral", POLITE, courteous, rude)
    assert gap("neatness", CAPITAL, "The capital is Ottawa.", "The capital is Ottawa. The capital is Ottawa.") > 0


def test_tastes_rarely_turn_right_into_wrong():
    right, wrong = "The capital of Canada is Ottawa.", "The capital of Canada is Paris."
    for labeller in LABELLERS:
        assert labeller.utility(CAPITAL, right) > labeller.utility(CAPITAL, wrong) + 0.3


def test_rankings_are_repeatable_and_do_not_depend_on_order():
    answers = ("Ottawa.", "Paris.", "The capital of Canada is Ottawa.", "I do not know.")
    for labeller in LABELLERS:
        ranks = labeller.rank(CAPITAL, answers, seed=4)
        assert ranks == labeller.rank(CAPITAL, answers, seed=4)
        assert ranks[::-1] == labeller.rank(CAPITAL, answers[::-1], seed=4)


def test_identical_answers_tie():
    ranks = LABELLERS[0].rank(CAPITAL, ("Ottawa.", "Paris.", "Ottawa."), seed=0)
    assert ranks[0] == ranks[2] != ranks[1]
    assert sorted(set(ranks)) == [0, 1]


def test_better_answers_win_more_often():
    answers = ("The capital of Canada is Ottawa.", "Paris.")
    wins = sum(LABELLERS[0].rank(CAPITAL, answers, seed) == (0, 1) for seed in range(500))
    # Gumbel noise makes the win rate a logistic of the difference: 1 / (1 + exp(-(0.8 - 0.2) / 0.14)) = 0.986.
    assert wins / 500 == pytest.approx(0.986, abs=0.015)


def test_all_labellers_take_part():
    answers = ("Ottawa.", "Paris.")
    assert {compare(CAPITAL, answers, seed).labeller for seed in range(60)} == set(BY_NAME)


def test_colleagues_are_the_other_four():
    prompt = prompts("reward", 1, seed=0)[0]
    rankings = [compare(prompt, ["Yes.", "No."], seed=3, colleague=number) for number in range(5)]
    assert len({ranking.labeller for ranking in rankings}) == 5
    assert rankings[0] == compare(prompt, ["Yes.", "No."], seed=3)


def test_utility_is_the_mean_over_labellers():
    answer = "The capital of Canada is Ottawa."
    assert utility(CAPITAL, answer) == pytest.approx(
        statistics.mean(labeller.utility(CAPITAL, answer) for labeller in LABELLERS)
    )


def test_agreement_by_hand():
    prompt = Prompt("p", ())
    one = [Comparison(prompt, ("a", "b", "c"), (0, 1, 2))]
    other = [Comparison(prompt, ("a", "b", "c"), (1, 0, 2))]
    tied = [Comparison(prompt, ("a", "b", "c"), (0, 0, 1))]
    assert agreement(one, other) == pytest.approx(2 / 3)
    assert agreement(one, tied) == 1.0


def test_agreement_without_a_common_pair_is_refused():
    tied = [Comparison(Prompt("p", ()), ("a", "b"), (0, 0))]
    with pytest.raises(InputError, match="no pair"):
        agreement(tied, tied)
