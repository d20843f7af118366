"""Estimators of KL(policy || reference) from samples of the policy (Schulman, "Approximating KL divergence", 2020).

With r = p_reference(x) / p_policy(x) for a sampled token x:

    k1 = -log r               unbiased, may be negative; the one for rewards, as it adds up to the sequence's log-ratio
    k2 = (log r)^2 / 2        its gradient is the KL's; the one for loss terms
    k3 = r - 1 - log r        unbiased and never negative; the one to report beside k1
"""

from __future__ import annotations

from torch import Tensor


def k1(logprob: Tensor, reference_logprob: Tensor) -> Tensor:
    """log p_policy - log p_reference, per token."""
    return logprob - reference_logprob


def k2(logprob: Tensor, reference_logprob: Tensor) -> Tensor:
    """Half the squared log-ratio, per token."""
    return 0.5 * (reference_logprob - logprob) ** 2


def k3(logprob: Tensor, reference_logprob: Tensor) -> Tensor:
    """r - 1 - log r, per token; expm1 keeps it exact near r = 1."""
    log_ratio = reference_logprob - logprob
    return log_ratio.expm1() - log_ratio
