"""What training costs in floating-point operations, from the shape of a model and the tokens it saw."""

from __future__ import annotations

from collections.abc import Mapping

from gptwright.errors import InputError


def forward_flops(*, parameters: int, layers: int, width: int, context: int, tokens: int) -> float:
    """Operations to read `tokens` tokens once: per token 2 N for the matrices and 2 L d T for attention.

    A multiply-add is two operations (Kaplan et al. 2020, section 2.1). Attention's two products with T positions cost
    4 L d T (PaLM, appendix B); half of it here, since a causal token sees T / 2 positions on average. `width` is heads
    times head size. `parameters` counts what multiplies: an input embedding not tied to the output is only looked up.
    """
    sizes = {"parameters": parameters, "layers": layers, "width": width, "context": context, "tokens": tokens}
    for name, size in sizes.items():
        if size < 0:
            raise InputError(f"{name} must not be negative, got {size}")
    return float(tokens) * (2 * parameters + 2 * layers * width * context)


def training_flops(*, parameters: int, layers: int, width: int, context: int, tokens: int) -> float:
    """Operations to train on `tokens` tokens, 6 N + 6 L d T each: the backward pass costs twice the forward one."""
    return 3 * forward_flops(parameters=parameters, layers=layers, width=width, context=context, tokens=tokens)


def shares(flops: Mapping[str, float]) -> dict[str, float]:
    """Each stage's part of the whole: `shares({"pretrain": 9, "sft": 1})` is `{"pretrain": 0.9, "sft": 0.1}`."""
    total = sum(flops.values())
    if total <= 0:
        raise InputError(f"shares need a total above zero, got {dict(flops)}")
    return {stage: value / total for stage, value in flops.items()}
