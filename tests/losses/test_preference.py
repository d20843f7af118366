"""The reward model's ranking loss."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from gptwright.losses.preference import ranking_loss
from gptwright.records import Comparison, Message, Prompt

REWARDS = torch.tensor([0.2, 1.5, -0.7, 0.9])
ALL_PAIRS = [(1, 3), (1, 0), (1, 2), (3, 0), (3, 2), (0, 2)]


def test_pair_by_hand() -> None:
    """A reward ahead by ln 3 wins with probability 3/4."""
    assert_close(ranking_loss(torch.tensor([0.0, math.log(3)]), [(1, 0)]), torch.tensor(-math.log(0.75)))


def test_four_answers_are_the_mean_of_their_six_pairs() -> None:
    each = [-math.log(1 / (1 + math.exp(float(REWARDS[lose] - REWARDS[win])))) for win, lose in ALL_PAIRS]
    assert float(ranking_loss(REWARDS, ALL_PAIRS)) == pytest.approx(sum(each) / 6, rel=1e-6)


def test_a_margin_asks_for_as_much_more_distance() -> None:
    """Ahead by ln 3 where ln 3 is asked for: no better than a coin."""
    found = ranking_loss(torch.tensor([0.0, math.log(3)]), [(1, 0)], [math.log(3)])
    assert_close(found, torch.tensor(math.log(2)))
    far = ranking_loss(REWARDS, [(1, 0), (1, 2)], [0.5, 1.0])
    by_hand = [math.log1p(math.exp(0.2 - 1.5 + 0.5)), math.log1p(math.exp(-0.7 - 1.5 + 1.0))]
    assert float(far) == pytest.approx(sum(by_hand) / 2, rel=1e-6)


def test_adding_a_constant_to_every_reward_changes_nothing() -> None:
    assert_close(ranking_loss(REWARDS + 10, ALL_PAIRS), ranking_loss(REWARDS, ALL_PAIRS), rtol=1e-5, atol=1e-6)


def test_gradient_pushes_better_up_and_worse_down_and_sums_to_zero() -> None:
    rewards = REWARDS.clone().requires_grad_()
    ranking_loss(rewards, ALL_PAIRS).backward()
    assert rewards.grad is not None
    assert float(rewards.grad[1]) < 0 < float(rewards.grad[2])
    assert float(rewards.grad.sum()) == pytest.approx(0, abs=1e-6)


def test_ties_of_a_comparison_give_no_pair() -> None:
    prompt = Prompt("p", (Message("user", "?"),))
    pairs = Comparison(prompt, ("a", "b", "c"), (0, 1, 1)).pairs()
    assert_close(ranking_loss(torch.zeros(3), pairs), torch.tensor(math.log(2)))
    assert pairs == [(0, 1), (0, 2)]


def test_a_hopelessly_wrong_pair_still_gives_a_finite_loss() -> None:
    assert float(ranking_loss(torch.tensor([-1000.0, 1000.0]), [(0, 1)])) == 2000


def test_no_pair_is_an_error() -> None:
    with pytest.raises(ValueError, match="must be left out"):
        ranking_loss(REWARDS, [])
