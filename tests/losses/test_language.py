"""Log-probabilities, entropy and the language loss: numbers worked by hand, and accumulation."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from gptwright.losses.language import language_loss, token_entropy, token_logprobs

# Row probabilities 1/2, 1/4, 1/4 and 1/8, 1/8, 3/4; logits are their logs plus any constant.
LOGITS = torch.tensor([[[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]]]).log() + torch.tensor([[[3.0], [-7.0]]])


def test_logprobs_by_hand() -> None:
    target = torch.tensor([[0, 2]])
    assert_close(token_logprobs(LOGITS, target), torch.tensor([[math.log(0.5), math.log(0.75)]]))


def test_logprobs_at_temperature_one_half() -> None:
    """Squared and renormalised: 1/4, 1/16, 1/16 -> 2/3."""
    assert_close(token_logprobs(LOGITS, torch.tensor([[0, 0]]), 0.5)[0, 0], torch.tensor(math.log(2 / 3)))


def test_logprobs_are_float32_whatever_the_logits_are() -> None:
    assert token_logprobs(LOGITS.bfloat16(), torch.tensor([[0, 2]])).dtype == torch.float32


def test_logprobs_of_huge_logits_are_finite() -> None:
    assert_close(token_logprobs(torch.tensor([[[1e30, 0.0]]]), torch.tensor([[0]])), torch.zeros(1, 1))


def test_entropy_by_hand() -> None:
    assert_close(token_entropy(LOGITS)[0, 0], torch.tensor(1.5 * math.log(2)))


def test_entropy_of_uniform_is_log_of_the_vocabulary() -> None:
    assert_close(token_entropy(torch.full((1, 1, 50), 4.0), 0.3), torch.full((1, 1), math.log(50)))


def test_loss_by_hand() -> None:
    target = torch.tensor([[0, 2]])
    assert_close(language_loss(LOGITS, target), torch.tensor(-(math.log(0.5) + math.log(0.75)) / 2))
    assert_close(language_loss(LOGITS, target, torch.tensor([[False, True]])), torch.tensor(-math.log(0.75)))
    assert_close(language_loss(LOGITS, target, count=4), torch.tensor(-(math.log(0.5) + math.log(0.75)) / 4))


def test_loss_over_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="selects nothing"):
        language_loss(LOGITS, torch.tensor([[0, 2]]), torch.zeros(1, 2, dtype=torch.bool))


def test_eight_times_one_accumulates_to_one_times_eight() -> None:
    """Rows supervise 1 to 8 tokens: a mean of means would weight short rows too much; the whole count does not."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 11, generator=generator, requires_grad=True)
    hidden = torch.randn(8, 8, 6, generator=generator)
    target = torch.randint(11, (8, 8), generator=generator)
    mask = torch.arange(8) <= torch.arange(8)[:, None]

    whole = language_loss(hidden @ weight, target, mask)
    (whole_gradient,) = torch.autograd.grad(whole, weight)
    parts = [
        language_loss(hidden[i : i + 1] @ weight, target[i : i + 1], mask[i : i + 1], mask.sum()) for i in range(8)
    ]
    gradients = [torch.autograd.grad(part, weight)[0] for part in parts]

    assert_close(torch.stack(parts).sum(), whole)
    assert_close(torch.stack(gradients).sum(0), whole_gradient)
    mean_of_means = torch.stack([language_loss(hidden[i] @ weight, target[i], mask[i]) for i in range(8)]).mean()
    assert abs(float(mean_of_means.detach() - whole.detach())) > 1e-2
