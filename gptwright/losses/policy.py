"""PPO's clipped surrogate (Schulman et al., arXiv:1707.06347, equation 7).

ratio = p_policy(token) / p_old(token)
loss  = -min(ratio * A, clip(ratio, 1 - clip, 1 + clip) * A)      per token
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ClippedSurrogate:
    """The loss of every token -> (B, T); `losses.reduce` takes the mean over response tokens."""

    clip: float = 0.2

    def __call__(self, logprob_BT: Tensor, old_logprob_BT: Tensor, advantage_BT: Tensor) -> Tensor:
        ratio_BT = (logprob_BT - old_logprob_BT).exp()
        clipped_BT = ratio_BT.clamp(1 - self.clip, 1 + self.clip)
        return -(ratio_BT * advantage_BT).minimum(clipped_BT * advantage_BT)

    def clipped(self, logprob_BT: Tensor, old_logprob_BT: Tensor) -> Tensor:
        """1.0 where the ratio left the clip range, else 0.0."""
        return (((logprob_BT - old_logprob_BT).exp() - 1).abs() > self.clip).float()
