"""One optimizer step: gradients of micro-batches added up, clipped, applied; never with a number that is not finite."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from gptwright.errors import RunError
from gptwright.train.optimizers import Optimizers

MAX_SKIPPED_IN_A_ROW = 5


@dataclass(frozen=True)
class StepResult:
    """What one step did; `skipped` when loss or gradient was not finite and the weights were left alone."""

    loss: float
    grad_norm: float
    skipped: bool


def accumulate(losses: Iterable[Callable[[], Tensor]]) -> float:
    """Add the gradients of several losses, each already divided by the step's whole token count; returns their sum."""
    total = 0.0
    for loss_of in losses:
        loss = loss_of()
        loss.backward()
        total += float(loss.detach())
    return total


def apply_gradients(optimizers: Optimizers, loss: float) -> StepResult:
    """Clip the whole gradient's norm and step; a non-finite loss or norm skips the step."""
    norm = torch.nn.utils.clip_grad_norm_(optimizers.parameters, optimizers.settings.clip)
    if type(norm) is not Tensor:  # of sharded gradients, each rank has its part of the norm
        from torch.distributed.tensor import DTensor  # noqa: PLC0415

        assert isinstance(norm, DTensor)
        norm = norm.full_tensor()
    skipped = not (bool(torch.isfinite(norm)) and torch.isfinite(torch.tensor(loss)))
    if not skipped:
        optimizers.step()
    optimizers.zero_grad()
    return StepResult(loss, float(norm), skipped)


def gradient_step(
    optimizers: Optimizers,
    losses: Iterable[Callable[[], Tensor]],
    combine: Callable[[float], float] | None = None,
) -> StepResult:
    """Accumulate and apply: the step of every stage with one loss.

    `combine` adds up gradients and loss over ranks, see `DataParallel.combine`.
    """
    loss = accumulate(losses)
    return apply_gradients(optimizers, combine(loss) if combine else loss)


class SkipCounter:
    """Counts skipped steps and ends the run when they come in a row."""

    def __init__(self) -> None:
        self.total = 0
        self.in_a_row = 0

    def see(self, result: StepResult, step: int) -> None:
        """Raises RunError after `MAX_SKIPPED_IN_A_ROW` skipped steps in a row."""
        self.in_a_row = self.in_a_row + 1 if result.skipped else 0
        self.total += result.skipped
        if self.in_a_row >= MAX_SKIPPED_IN_A_ROW:
            raise RunError(
                f"step {step}: loss or gradient was not finite {self.in_a_row} times in a row; "
                "lower the learning rate, or set machine.precision=float32"
            )
