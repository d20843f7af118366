"""Next-token prediction and what is read off the same logits: log-probabilities and entropy.

Shapes: B batch, T tokens, V vocabulary. Logits at t predict token t+1; callers pass targets already shifted.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from gptwright.losses.reduce import masked_mean


def token_logprobs(logits_BTV: Tensor, target_BT: Tensor, temperature: float = 1.0) -> Tensor:
    """log p(target) for each position, in float32 -> (B, T). The one place where log-probabilities are computed."""
    logits_BTV = logits_BTV.float()
    if temperature != 1.0:
        logits_BTV = logits_BTV / temperature
    nll = F.cross_entropy(logits_BTV.flatten(0, -2), target_BT.flatten(), reduction="none")
    return -nll.view(target_BT.shape)


def token_entropy(logits_BTV: Tensor, temperature: float = 1.0) -> Tensor:
    """Entropy of the whole next-token distribution in nats -> (B, T)."""
    logp_BTV = (logits_BTV.float() / temperature).log_softmax(dim=-1)
    return -(logp_BTV.exp() * logp_BTV).sum(dim=-1)


def z_loss(logits_BTV: Tensor) -> Tensor:
    """Mean of logZ^2: kept near 0, logits don't drift to where bfloat16 is coarse (PaLM, arXiv:2204.02311, section 5).

    PaLM's weight for it is 1e-4.
    """
    return logits_BTV.float().logsumexp(dim=-1).square().mean()


def language_loss(
    logits_BTV: Tensor, target_BT: Tensor, mask_BT: Tensor | None = None, count: Tensor | float | None = None
) -> Tensor:
    """Mean negative log-likelihood per selected token (without a mask: every token), in nats; `count` as in
    `masked_mean`.
    """
    nll_BT = -token_logprobs(logits_BTV, target_BT)
    if mask_BT is None:
        return nll_BT.sum() / (nll_BT.numel() if count is None else count)
    return masked_mean(nll_BT, mask_BT, count)
