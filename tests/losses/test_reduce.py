"""Masked reductions: hand-worked, and blind to whatever stands in the padding."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from gptwright.losses.reduce import masked_mean, masked_sum, masked_variance, whiten

X = torch.tensor([[1.0, 2.0, float("nan")], [6.0, float("inf"), float("nan")]])
MASK = torch.tensor([[True, True, False], [True, False, False]])


def test_reductions_by_hand() -> None:
    assert float(masked_sum(X, MASK)) == 9
    assert float(masked_mean(X, MASK)) == 3
    assert float(masked_mean(X, MASK, 18)) == 0.5
    assert float(masked_variance(X, MASK)) == pytest.approx(14 / 3)


def test_whitened_tokens_have_mean_0_and_variance_1() -> None:
    white = whiten(X, MASK)
    assert float(masked_mean(white, MASK)) == pytest.approx(0, abs=1e-6)
    assert float(masked_variance(white, MASK)) == pytest.approx(1, abs=1e-5)
    assert torch.equal(white[~MASK], torch.zeros(3))


def test_whitening_keeps_the_order_and_ignores_shift_and_scale() -> None:
    assert_close(whiten(X * 5 - 100, MASK), whiten(X, MASK), rtol=1e-4, atol=1e-5)


def test_whitening_equal_values_gives_zero() -> None:
    assert torch.equal(whiten(torch.full((2, 2), 3.0), torch.ones(2, 2, dtype=torch.bool)), torch.zeros(2, 2))


def test_mean_over_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="the mask selects nothing"):
        masked_mean(X, torch.zeros_like(MASK))


def test_padding_gets_no_gradient() -> None:
    x = torch.tensor([1.0, float("nan"), 3.0], requires_grad=True)
    masked_mean(x, torch.tensor([True, False, True])).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.5, 0.0, 0.5]
