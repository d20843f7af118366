"""One optimizer step: gradients of micro-batches added up, clipped, applied; never with a number that is not finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gptwright.errors import RunError
from gptwright.lanes import Lanes
from gptwright.train.optimizers import Optimizers
from gptwright.train.progress import say

MAX_SKIPPED_IN_A_ROW = 5


@dataclass(frozen=True)
class StepResult:
    """What one step did; `skipped` when loss or gradient was not finite and the weights were left alone."""

    loss: float
    grad_norm: float
    skipped: bool


def accumulate(
    losses: Sequence[Callable[[], Tensor]], parameters: Sequence[Tensor], lanes: Lanes | None = None
) -> float:
    """Add the gradients of several losses, each already divided by the step's whole token count; returns their sum.

    With `lanes` they are computed side by side, and added in order: the result is the same bits every time.
    """
    if lanes is None or lanes.count < 2:
        total = 0.0
        for loss_of in losses:
            loss = loss_of()
            loss.backward()
            total += float(loss.detach())
        return total

    def gradients(loss_of: Callable[[], Tensor]) -> tuple[float, tuple[Tensor | None, ...]]:
        loss = loss_of()
        return float(loss.detach()), torch.autograd.grad(loss, parameters, allow_unused=True)

    total = 0.0
    for start in range(0, len(losses), lanes.count):
        for value, part in lanes.first_alone(gradients, losses[start : start + lanes.count]):
            total += value
            for parameter, gradient in zip(parameters, part, strict=True):
                if gradient is not None:
                    parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
    return total


def apply_gradients(optimizers: Optimizers, loss: float) -> StepResult:
    """Clip the whole gradient's norm and step; a non-finite loss or norm skips the step."""
    norm = whole_norm(torch.nn.utils.clip_grad_norm_(optimizers.parameters, optimizers.settings.clip))
    skipped = not (math.isfinite(norm) and math.isfinite(loss))
    if not skipped:
        optimizers.step()
    optimizers.zero_grad()
    return StepResult(loss, norm, skipped)


def whole_norm(norm: Tensor) -> float:
    """Of sharded gradients, each rank has its part of the norm."""
    if type(norm) is not Tensor:
        from torch.distributed.tensor import DTensor  # noqa: PLC0415

        assert isinstance(norm, DTensor)
        norm = norm.full_tensor()
    return float(norm)


def gradient_step(
    optimizers: Optimizers,
    losses: Sequence[Callable[[], Tensor]],
    combine: Callable[[float], float] | None = None,
    lanes: Lanes | None = None,
) -> StepResult:
    """Accumulate and apply: the step of every stage with one loss, or with several side by side in `lanes`.

    `combine` adds up gradients and loss over ranks, see `DataParallel.combine`.
    """
    loss = accumulate(losses, optimizers.parameters, lanes)
    return apply_gradients(optimizers, combine(loss) if combine else loss)


class SkipCounter:
    """Ends the run when skipped steps come in a row. Their number stands in `counters`, which checkpoints keep."""

    def __init__(self, counters: dict[str, float], name: str = "model") -> None:
        self.counters, self.key = counters, f"{name}/skipped_in_a_row"

    def see(self, result: StepResult, step: int) -> None:
        """Raises RunError after `MAX_SKIPPED_IN_A_ROW` skipped steps in a row."""
        in_a_row = int(self.counters.get(self.key, 0)) + 1 if result.skipped else 0
        self.counters[self.key] = in_a_row
        if result.skipped:
            say(f"  step {step} is skipped: its loss or gradient was not finite")
        if in_a_row >= MAX_SKIPPED_IN_A_ROW:
            raise RunError(
                f"step {step}: loss or gradient was not finite {in_a_row} times in a row; "
                "lower the learning rate, or set machine.precision=float32"
            )
