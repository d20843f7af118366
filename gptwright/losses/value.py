"""The value model's loss and what it explains of the returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gptwright.losses.reduce import masked_variance


@dataclass(frozen=True)
class ClippedValueLoss:
    """0.5 * max((V - R)^2, (V_clipped - R)^2) per token -> (B, T), V_clipped within `clip` of the rollout's value.

    As in OpenAI's PPO implementations since baselines; Ziegler et al. (arXiv:1909.08593) train with it.
    """

    clip: float = 0.2

    def __call__(self, value_BT: Tensor, old_value_BT: Tensor, return_BT: Tensor) -> Tensor:
        near_BT = old_value_BT + (value_BT - old_value_BT).clamp(-self.clip, self.clip)
        return 0.5 * ((value_BT - return_BT) ** 2).maximum((near_BT - return_BT) ** 2)


def explained_variance(value_BT: Tensor, return_BT: Tensor, mask_BT: Tensor) -> float:
    """1 - Var(returns - values) / Var(returns): 1 is perfect, 0 no better than a constant, never above 1."""
    variance = float(masked_variance(return_BT, mask_BT))
    if variance == 0:
        return 0.0
    return 1 - float(masked_variance(return_BT - value_BT, mask_BT)) / variance
