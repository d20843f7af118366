"""The language loss without its logits: computed a few tokens at a time, gradients on the way.

For a vocabulary of 128k, the logits of 8,192 tokens take 4 GB in float32 and their gradient as much again, more than
all the rest of a small model. The gradient of the loss with respect to the logits is known as soon as they are
(softmax - one-hot), so a chunk's logits can go before the next chunk's come (Cut Your Losses, Wijmans et al.,
arXiv:2411.09009, does the same in one kernel).

Shapes: N tokens, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def chunked_language_loss(
    hidden_ND: Tensor, output_VD: Tensor, target_N: Tensor, *, chunk: int, z_weight: float = 0.0
) -> Tensor:
    """Mean over tokens of -log p(target) + z_weight * logZ^2, in nats: `language_loss` and `z_loss` of the same logits.

    At most `chunk` rows of logits exist at once. Inside autocast, products use its precision; sums are float32.
    """
    loss: Tensor = _ChunkedLoss.apply(hidden_ND, output_VD, target_N, chunk, z_weight)
    return loss


class _ChunkedLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden_ND: Tensor, output_VD: Tensor, target_N: Tensor, chunk: int, z_weight: float
    ) -> Tensor:
        device = hidden_ND.device.type
        precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden_ND.dtype
        count = target_N.numel()
        hidden, output = hidden_ND.to(precision), output_VD.to(precision)
        hidden_gradient, output_gradient = torch.empty_like(hidden), torch.zeros_like(output_VD, dtype=torch.float32)
        total = torch.zeros((), device=hidden.device)
        # Autocast off: every product below has its operands in `precision` already.
        with torch.autocast(device, enabled=False):
            for start in range(0, count, chunk):
                part = slice(start, start + chunk)
                logits = (hidden[part] @ output.T).float()
                target = target_N[part, None]
                log_z = logits.logsumexp(dim=1, keepdim=True)
                total += (log_z - logits.gather(1, target) + z_weight * log_z**2).sum()
                # d/dlogits: softmax - one_hot(target), and 2 * z_weight * logZ * softmax.
                gradient = logits.sub_(log_z).exp_().mul_((1 + 2 * z_weight * log_z) / count)
                gradient.scatter_add_(1, target, gradient.new_full((1, 1), -1 / count).expand_as(target))
                gradient = gradient.to(precision)
                hidden_gradient[part] = gradient @ output
                output_gradient += gradient.T @ hidden[part]
        ctx.save_for_backward(hidden_gradient.to(hidden_ND.dtype), output_gradient.to(output_VD.dtype))
        return total / count

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        hidden_gradient, output_gradient = ctx.saved_tensors
        return hidden_gradient * scale, output_gradient * scale, None, None, None
