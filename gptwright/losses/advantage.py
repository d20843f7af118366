"""Per-token rewards and generalized advantage estimation (Schulman et al., arXiv:1506.02438).

Shapes: B answers, T tokens of prompt and response, right-padded; `mask_BT` is true on response tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
