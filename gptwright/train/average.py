"""A running average of the weights: less noise than the last step's, at the price of a copy."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def average_of(model: M) -> M:
    """A copy to average into; it starts as the model is."""
    return copy.deepcopy(model).requires_grad_(False).eval()


@torch.no_grad()
def move_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """average = decay * average + (1 - decay) * model, for every weight."""
    for mean, weight in zip(average.parameters(), model.parameters(), strict=True):
        mean.lerp_(weight, 1 - decay)


def rising_decay(decay: float, step: int) -> float:
    """The decay of step `step` (0-based) from random weights: small at first, so that those are forgotten."""
    return min(decay, (1 + step) / (10 + step))
