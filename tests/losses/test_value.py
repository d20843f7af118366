"""The value model's clipped loss and the variance it explains."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from gptwright.losses.value import ClippedValueLoss, explained_variance


@pytest.mark.parametrize(
    ("value", "old", "target", "loss"),
    [
        (1.1, 1.0, 2.0, 0.405),  # moved within the clip: 0.9^2 / 2
        (2.0, 1.0, 2.0, 0.32),  # right, but it moved too far: held at 1.2, 0.8^2 / 2
        (0.0, 1.0, 2.0, 2.0),  # moved away: the worse of the two counts, 2^2 / 2
        (3.5, 1.0, 2.0, 1.125),  # overshot: 1.5^2 / 2 beats 0.8^2 / 2
    ],
)
def test_loss_by_hand(value: float, old: float, target: float, loss: float) -> None:
    got = ClippedValueLoss(clip=0.2)(torch.tensor(value), torch.tensor(old), torch.tensor(target))
    assert_close(got, torch.tensor(loss))


def test_value_that_moved_too_far_towards_the_return_gets_no_gradient() -> None:
    value = torch.tensor(1.5, requires_grad=True)
    ClippedValueLoss(clip=0.2)(value, torch.tensor(1.0), torch.tensor(2.0)).backward()
    assert value.grad is not None
    assert float(value.grad) == 0


def test_explained_variance_by_hand() -> None:
    returns = torch.tensor([[0.0, 1.0, 2.0, 3.0, float("nan")]])
    mask = torch.tensor([[True, True, True, True, False]])
    assert explained_variance(returns.clone(), returns, mask) == 1
    assert explained_variance(torch.full((1, 5), 7.0), returns, mask) == 0
    assert explained_variance(returns + 100, returns, mask) == 1  # a constant offset is not variance
    assert explained_variance(-returns, returns, mask) == pytest.approx(-3)
    assert explained_variance(returns / 2, returns, mask) == pytest.approx(0.75)


def test_explained_variance_is_never_above_1() -> None:
    generator = torch.Generator().manual_seed(0)
    mask = torch.ones(3, 7, dtype=torch.bool)
    for _ in range(50):
        values, returns = torch.randn(2, 3, 7, generator=generator)
        assert explained_variance(values, returns, mask) <= 1


def test_explained_variance_of_equal_returns_is_0() -> None:
    assert (
        explained_variance(torch.tensor([[1.0, 2.0, 3.0, 9.0]]), torch.ones(1, 4), torch.ones(1, 4, dtype=torch.bool))
        == 0
    )
