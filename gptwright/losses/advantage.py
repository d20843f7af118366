"""Per-token rewards and advantages: generalized advantage estimation (Schulman et al., arXiv:1506.02438), and those of
whole answers, which need no value model.

Shapes: B answers, T tokens of prompt and response, right-padded; `mask_BT` is true on response tokens.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Baseline = Literal["group", "leave_one_out", "batch"]
EQUAL = 1e-6
"""Rewards this near to each other, as a share of themselves, differ by rounding alone."""


def token_rewards(score_B: Tensor, kl_BT: Tensor, mask_BT: Tensor, beta: float) -> Tensor:
    """-beta * KL on every response token, plus the score on the last one (Ouyang et al. 2022, equation 2) -> (B, T).

    Raises ValueError for an answer without tokens: it has no last one.
    """
    if not bool(mask_BT.any(dim=1).all()):
        raise ValueError("an answer has no token: every answer ends at least with its end token")
    # The mask begins behind the prompt, so the last response token is found by position, not by counting tokens.
    last_B = (mask_BT * torch.arange(mask_BT.shape[1], device=mask_BT.device)).argmax(dim=1)
    rewards_BT = torch.where(mask_BT, -beta * kl_BT, torch.zeros_like(kl_BT))
    rows = torch.arange(len(score_B), device=score_B.device)
    rewards_BT[rows, last_B] += score_B
    return rewards_BT


def generalized_advantage(
    rewards_BT: Tensor, values_BT: Tensor, mask_BT: Tensor, *, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Advantages and returns, (B, T) each, 0 outside the mask; returns = advantages + values.

    delta_t = r_t + gamma * V_{t+1} - V_t and A_t = delta_t + gamma * lam * A_{t+1}; after the last token V is 0, since
    the episode has ended (an answer cut at the length limit has its low score instead of a bootstrap).
    """
    zero_B = torch.zeros_like(rewards_BT[:, 0])
    next_value_B, next_advantage_B = zero_B, zero_B
    advantages = []
    for t in reversed(range(rewards_BT.shape[1])):
        delta_B = rewards_BT[:, t] + gamma * next_value_B - values_BT[:, t]
        advantage_B = torch.where(mask_BT[:, t], delta_B + gamma * lam * next_advantage_B, zero_B)
        next_value_B = torch.where(mask_BT[:, t], values_BT[:, t], zero_B)
        next_advantage_B = advantage_B
        advantages.append(advantage_B)
    advantages_BT = torch.stack(advantages[::-1], dim=1)
    returns_BT = torch.where(mask_BT, advantages_BT + values_BT, torch.zeros_like(values_BT))
    return advantages_BT, returns_BT


def answer_advantage(reward_N: Tensor, group_N: Tensor, baseline: Baseline) -> Tensor:
    """How much better each of N answers is than expected -> (N,); answers to one prompt have the same group.

    group          (r - mean of the group) / std of the group      Shao et al., arXiv:2402.03300, section 4.1.2
    leave_one_out  r - mean of the group's other answers           Ahmadian et al., arXiv:2402.14740, section 3.2
    batch          r - mean of all                                 Williams 1992, REINFORCE with a baseline

    A group whose answers are all as good teaches nothing: its advantages are 0. Raises ValueError where a group that is
    compared within itself has one answer.
    """
    if baseline == "batch":
        return reward_N - reward_N.mean()
    _, place_N, count_G = group_N.unique(return_inverse=True, return_counts=True)
    if int(count_G.min()) < 2:
        raise ValueError(f"baseline {baseline!r} needs two or more answers to a prompt")
    sums_G = torch.zeros(len(count_G), dtype=reward_N.dtype, device=reward_N.device)
    over_N = reward_N - (sums_G.index_add(0, place_N, reward_N) / count_G)[place_N]
    # The mean of equal rewards may be a rounding away from them, which over the standard deviation is no small number.
    most_G = sums_G.scatter_reduce(0, place_N, reward_N, "amax", include_self=False)
    least_G = sums_G.scatter_reduce(0, place_N, reward_N, "amin", include_self=False)
    over_N = over_N.masked_fill(torch.isclose(most_G, least_G, rtol=EQUAL, atol=0.0)[place_N], 0.0)
    if baseline == "leave_one_out":
        return over_N * (count_G / (count_G - 1))[place_N]
    variance_G = sums_G.index_add(0, place_N, over_N**2) / (count_G - 1)
    return over_N / (variance_G.sqrt()[place_N] + 1e-4)
