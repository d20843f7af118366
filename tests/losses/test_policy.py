"""PPO's clipped surrogate."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from gptwright.losses.policy import ClippedSurrogate

LOSS = ClippedSurrogate(clip=0.2)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        (1.5, 2.0, -2.4, 0.0),  # better and already far up: held at 1.2
        (0.5, 2.0, -1.0, -1.0),  # better but it went down: free to come back
        (1.5, -2.0, 3.0, 3.0),  # worse but it went up: free to come back
        (0.5, -2.0, 1.6, 0.0),  # worse and already far down: held at 0.8
        (1.1, 2.0, -2.2, -2.2),  # inside the range nothing is clipped
        (0.9, -2.0, 1.8, 1.8),
    ],
)
def test_corners_by_hand(ratio: float, advantage: float, loss: float, gradient: float) -> None:
    """The derivative by log p of ratio * A is ratio * A."""
    logprob = torch.tensor(ratio).log().requires_grad_()
    value = LOSS(logprob, torch.tensor(0.0), torch.tensor(advantage))
    value.backward()
    assert logprob.grad is not None
    assert_close(value.detach(), torch.tensor(loss))
    assert_close(logprob.grad, torch.tensor(gradient))


def test_gradient_at_ratio_1_is_the_policy_gradient() -> None:
    logprob = torch.tensor([-0.5, -1.0, -3.0], requires_grad=True)
    advantage = torch.tensor([1.0, -2.0, 0.5])
    LOSS(logprob, logprob.detach(), advantage).sum().backward()
    assert_close(logprob.grad, -advantage)


def test_zero_advantage_gives_zero_gradient() -> None:
    logprob = torch.tensor([0.5, -1.0, -3.0], requires_grad=True)
    LOSS(logprob, torch.tensor([0.0, 0.0, -3.0]), torch.zeros(3)).sum().backward()
    assert_close(logprob.grad, torch.zeros(3))


def test_clipped_marks_ratios_outside_the_range() -> None:
    ratio = torch.tensor([0.79, 0.81, 1.0, 1.19, 1.21])
    assert LOSS.clipped(ratio.log(), torch.zeros(5)).tolist() == [1, 0, 0, 0, 1]
