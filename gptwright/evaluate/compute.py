"""Each stage's part of the compute; the operations themselves are counted by `ModelConfig.flops_per_token`."""

from __future__ import annotations

from collections.abc import Mapping

from gptwright.errors import InputError


def shares(flops: Mapping[str, float]) -> dict[str, float]:
    """Each stage's part of the whole: `shares({"pretrain": 9, "sft": 1})` is `{"pretrain": 0.9, "sft": 0.1}`."""
    total = sum(flops.values())
    if total <= 0:
        raise InputError(f"shares need a total above zero, got {dict(flops)}")
    return {stage: value / total for stage, value in flops.items()}
