"""Token rewards and generalized advantages."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from gptwright.losses.advantage import Baseline, answer_advantage, generalized_advantage, token_rewards


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rewards, values, mask: four answers of 6, 1, 4 and 3 tokens, with rubbish in the padding."""
    generator = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(2, 4, 6, generator=generator, dtype=torch.float64)
    mask = torch.arange(6) < torch.tensor([6, 1, 4, 3])[:, None]
    nan = torch.tensor(float("nan"), dtype=torch.float64)
    return torch.where(mask, rewards, nan), torch.where(mask, values, nan), mask


def slow_advantages(rewards: list[float], values: list[float], gamma: float, lam: float) -> list[float]:
    """The definition: A_t = sum over l of (gamma * lam)^l * delta_{t+l}."""
    later = [*values[1:], 0.0]
    deltas = [r + gamma * after - now for r, after, now in zip(rewards, later, values, strict=True)]
    return [sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, len(deltas))) for t in range(len(deltas))]


def test_token_rewards_by_hand() -> None:
    kl = torch.tensor([[0.5, 1.0, 9.0], [2.0, -1.0, 0.5]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    rewards = token_rewards(torch.tensor([3.0, -1.0]), kl, mask, beta=0.1)
    assert_close(rewards, torch.tensor([[-0.05, 2.9, 0.0], [-0.2, 0.1, -1.05]]))


def test_token_rewards_add_up_to_score_minus_beta_times_kl() -> None:
    _, kl, mask = batch()
    score = torch.tensor([1.0, -2.0, 0.5, 4.0], dtype=torch.float64)
    total = token_rewards(score, kl, mask, beta=0.3).sum(1)
    assert_close(total, score - 0.3 * torch.where(mask, kl, 0.0).sum(1))


def test_answer_without_a_token_is_an_error() -> None:
    with pytest.raises(ValueError, match="an answer has no token"):
        token_rewards(torch.zeros(2), torch.zeros(2, 1), torch.tensor([[True], [False]]), 0.1)


def test_three_tokens_by_hand() -> None:
    """gamma 1, lambda 1/2: the deltas are -.25 .25 .5; from the last, A = .5, .25 + .25, -.25 + .25."""
    rewards, values = torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[0.5, 0.25, 0.5]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    advantages, returns = generalized_advantage(rewards, values, mask, gamma=1.0, lam=0.5)
    assert_close(advantages, torch.tensor([[0.0, 0.5, 0.5]]))
    assert_close(returns, torch.tensor([[0.5, 0.75, 1.0]]))


def test_lambda_1_is_return_minus_value() -> None:
    rewards, values, mask = batch()
    advantages, returns = generalized_advantage(rewards, values, mask, gamma=0.9, lam=1.0)
    for row, length in enumerate(mask.sum(1).tolist()):
        for t in range(length):
            discounted = sum(0.9 ** (k - t) * float(rewards[row, k]) for k in range(t, length))
            assert float(returns[row, t]) == pytest.approx(discounted)
            assert float(advantages[row, t]) == pytest.approx(discounted - float(values[row, t]))


def test_lambda_0_is_the_one_step_error() -> None:
    rewards, values, mask = batch()
    advantages, _ = generalized_advantage(rewards, values, mask, gamma=0.9, lam=0.0)
    assert float(advantages[0, 2]) == pytest.approx(float(rewards[0, 2] + 0.9 * values[0, 3] - values[0, 2]))
    assert float(advantages[2, 3]) == pytest.approx(float(rewards[2, 3] - values[2, 3]))


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.5)])
def test_equals_the_slow_definition(gamma: float, lam: float) -> None:
    rewards, values, mask = batch()
    advantages, returns = generalized_advantage(rewards, values, mask, gamma=gamma, lam=lam)
    for row, length in enumerate(mask.sum(1).tolist()):
        slow = slow_advantages(rewards[row, :length].tolist(), values[row, :length].tolist(), gamma, lam)
        assert advantages[row, :length].tolist() == pytest.approx(slow)
        assert returns[row, :length].tolist() == pytest.approx((torch.tensor(slow) + values[row, :length]).tolist())
    assert not advantages[~mask].any()
    assert not returns[~mask].any()


def test_the_score_stands_on_the_last_response_token_behind_a_prompt() -> None:
    mask = torch.tensor([[False, False, True, True, False], [False, True, True, True, True]])
    rewards = token_rewards(torch.tensor([5.0, 7.0]), torch.zeros(2, 5), mask, beta=0.1)
    assert rewards.tolist() == [[0, 0, 0, 5, 0], [0, 0, 0, 0, 7]]


REWARDS = torch.tensor([1.0, 5.0, 2.0, 3.0, 6.0, 2.0], dtype=torch.float64)
GROUPS = torch.tensor([7, 3, 7, 3, 7, 3])
"""Group 7 has rewards 1, 2, 6 and group 3 has 5, 3, 2."""


def test_advantages_of_answers_by_hand() -> None:
    assert_close(answer_advantage(REWARDS, GROUPS, "batch"), REWARDS - 19 / 6)
    expected = [1 - 4, 5 - 2.5, 2 - 3.5, 3 - 3.5, 6 - 1.5, 2 - 4]
    assert_close(answer_advantage(REWARDS, GROUPS, "leave_one_out"), torch.tensor(expected, dtype=torch.float64))
    # Group 7: mean 3, squared distances 4, 1, 9, so a sample deviation of sqrt(7); group 3: mean 10 / 3.
    seven, three = 7**0.5 + 1e-4, (7 / 3) ** 0.5 + 1e-4
    expected = [-2 / seven, (5 - 10 / 3) / three, -1 / seven, (3 - 10 / 3) / three, 3 / seven, (2 - 10 / 3) / three]
    assert_close(answer_advantage(REWARDS, GROUPS, "group"), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("baseline", ["group", "leave_one_out", "batch"])
def test_what_all_answers_gain_alike_teaches_nothing(baseline: Baseline) -> None:
    before = answer_advantage(REWARDS, GROUPS, baseline)
    assert_close(answer_advantage(REWARDS + 100, GROUPS, baseline), before)
    assert_close(before.sum(), torch.zeros((), dtype=torch.float64), atol=1e-9, rtol=0)
    assert answer_advantage(torch.full((6,), 3.0), GROUPS, baseline).eq(0).all()


@pytest.mark.parametrize("baseline", ["group", "leave_one_out"])
def test_answers_that_are_all_as_good_have_no_advantage_however_the_mean_is_rounded(baseline: Baseline) -> None:
    alike = torch.full((8,), 1.2)
    assert alike.sum() / 8 != alike[0]
    alike[3] = alike[3].nextafter(torch.tensor(2.0))  # the same score, computed in another order
    rewards, groups = torch.cat([alike, torch.arange(8.0)]), torch.arange(16) // 8
    advantage = answer_advantage(rewards, groups, baseline)
    assert advantage[:8].eq(0).all() and advantage[8:].ne(0).all()


def test_grpo_does_not_see_the_scale_of_rewards_and_rloo_does() -> None:
    scaled, plain = (answer_advantage(REWARDS * factor, GROUPS, "group") for factor in (10, 1))
    assert_close(scaled, plain, rtol=1e-3, atol=0)
    scaled, plain = (answer_advantage(REWARDS * factor, GROUPS, "leave_one_out") for factor in (10, 1))
    assert_close(scaled, 10 * plain)


@pytest.mark.parametrize("baseline", ["group", "leave_one_out"])
def test_an_answer_alone_cannot_be_compared_within_its_group(baseline: Baseline) -> None:
    with pytest.raises(ValueError, match="two or more answers"):
        answer_advantage(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 0, 1]), baseline)
