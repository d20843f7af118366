"""Muon with all matrices of a shape orthogonalised at once: on small matrices, a third of the time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

STACK_ELEMENTS = 2**26
"""Matrices are stacked up to this many elements: 128 MiB in bfloat16, and as much again for what they are made into."""


class StackedMuon(torch.optim.Muon):
    """`torch.optim.Muon` (Jordan et al. 2024) at AdamW's rates: same settings and state, same update but for rounding.

    Its Newton-Schulz steps are batched products over matrices of one shape (a wide matrix and its transpose count as
    one). Sharded matrices go to torch's own step, which gathers them one by one.
    """

    def __init__(self, matrices: Sequence[Tensor], **settings: Any) -> None:
        super().__init__(matrices, adjust_lr_fn="match_rms_adamw", **settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        sharded = any(hasattr(p, "full_tensor") for group in self.param_groups for p in group["params"])
        if closure is not None or sharded:
            return super().step(closure)
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                self._step_group(group, parameters)
        return None

    def _step_group(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        gradients = [p.grad for p in parameters if p.grad is not None]
        for p in parameters:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        momenta = [self.state[p]["momentum_buffer"] for p in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        updates = list(torch._foreach_lerp(gradients, momenta, group["momentum"])) if group["nesterov"] else momenta
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        for together in _of_one_shape(updates):
            stacked = torch.stack([_wide(updates[index]) for index in together]).bfloat16()
            stacked = orthogonalise(stacked, group["ns_coefficients"], group["ns_steps"], group["eps"])
            for index, update in zip(together, stacked, strict=True):
                p = parameters[index]
                size = 0.2 * max(p.shape) ** 0.5  # as large as AdamW's updates (arXiv:2502.16982, section 2.2)
                p.add_(update if p.shape[0] <= p.shape[1] else update.mT, alpha=-group["lr"] * size)


def orthogonalise(x_NRC: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """N matrices of R <= C rows towards U V^T of their singular value decompositions, by Newton-Schulz steps."""
    a, b, c = coefficients
    x_NRC = x_NRC / x_NRC.norm(dim=(-2, -1), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram_NRR = x_NRC @ x_NRC.mT
        factor_NRR = torch.baddbmm(gram_NRR, gram_NRR, gram_NRR, beta=b, alpha=c)
        x_NRC = torch.baddbmm(x_NRC, factor_NRR, x_NRC, beta=a)
    return x_NRC


def _wide(matrix: Tensor) -> Tensor:
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT


def _of_one_shape(matrices: list[Tensor]) -> Iterator[list[int]]:
    """Indices of matrices that are stacked together."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, matrix in enumerate(matrices):
        by_shape.setdefault(tuple(_wide(matrix).shape), []).append(index)
    for (rows, columns), indices in by_shape.items():
        size = max(1, STACK_ELEMENTS // (rows * columns))
        yield from (indices[start : start + size] for start in range(0, len(indices), size))
