"""KL estimators against the exact KL of a distribution small enough to enumerate."""

from __future__ import annotations

import math

import torch
from torch.testing import assert_close

from gptwright.losses.divergence import k1, k2, k3

POLICY_LOGITS = torch.tensor([0.3, -1.2, 2.0, 0.0], dtype=torch.float64)
REFERENCE = torch.tensor([0.1, 0.4, 0.3, 0.2], dtype=torch.float64).log()


def exact_kl(logits: torch.Tensor) -> torch.Tensor:
    logp = logits.log_softmax(-1)
    return (logp.exp() * (logp - REFERENCE)).sum()


def test_estimators_by_hand() -> None:
    """p_policy = 1/2 and p_reference = 1/4, so r = 1/2 and log r = -ln 2."""
    logprob, reference = torch.tensor(0.5).log(), torch.tensor(0.25).log()
    assert_close(k1(logprob, reference), torch.tensor(math.log(2)))
    assert_close(k2(logprob, reference), torch.tensor(math.log(2) ** 2 / 2))
    assert_close(k3(logprob, reference), torch.tensor(0.5 - 1 + math.log(2)))


def test_k1_and_k3_are_unbiased() -> None:
    logp = POLICY_LOGITS.log_softmax(-1)
    for estimator in (k1, k3):
        assert_close((logp.exp() * estimator(logp, REFERENCE)).sum(), exact_kl(POLICY_LOGITS))


def test_k3_is_never_negative_where_k1_is() -> None:
    logp = POLICY_LOGITS.log_softmax(-1)
    assert bool((k1(logp, REFERENCE) < 0).any())
    assert bool((k3(logp, REFERENCE) >= 0).all())


def test_gradient_of_expected_k2_is_that_of_the_kl() -> None:
    """Sampled tokens are constants to autograd: the expectation is over fixed p, the gradient goes through log p."""
    logits = POLICY_LOGITS.clone().requires_grad_()
    logp = logits.log_softmax(-1)
    (kl_gradient,) = torch.autograd.grad(exact_kl(logits), logits)
    (estimate,) = torch.autograd.grad((logp.detach().exp() * k2(logp, REFERENCE)).sum(), logits)
    assert_close(estimate, kl_gradient)


def test_equal_distributions_have_no_divergence() -> None:
    logp = POLICY_LOGITS.log_softmax(-1)
    for estimator in (k1, k2, k3):
        assert torch.equal(estimator(logp, logp), torch.zeros(4, dtype=torch.float64))


def test_k3_of_a_tiny_ratio_is_exact_in_float32() -> None:
    """exp(x) - 1 - x by itself would round to 0 or to noise; half of x squared is what it is."""
    ratio = torch.tensor(1e-3)
    assert_close(k3(torch.tensor(0.0), ratio), torch.tensor(5.001667e-7), rtol=1e-3, atol=0)
