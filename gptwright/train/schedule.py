"""Learning-rate schedules as pure functions of the step."""

from __future__ import annotations

import math

from gptwright.recipe import OptimizerSettings


def rate(settings: OptimizerSettings, step: int, total: int) -> float:
    """The learning rate of step `step` (0-based) as a share of its peak; a linear warmup, then the schedule's shape."""
    warmup = max(1, round(settings.warmup * total))
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    if settings.schedule == "constant":
        return 1.0
    if settings.schedule == "stable_decay":
        falling = min(max(1, round(settings.decay * total)), total - warmup)
        progress = max(0.0, (step - (total - falling)) / falling)
    shape = 0.5 * (1 + math.cos(math.pi * progress)) if settings.schedule == "cosine" else 1 - progress
    return settings.final + (1 - settings.final) * shape
