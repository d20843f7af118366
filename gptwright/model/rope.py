"""Rotary positions: the angle of every pair of a head at every position, also stretched over a longer context.

A scaling changes how fast the pairs turn, so that a model trained on short sequences meets angles that it knows:

    linear    every pair turns `factor` times slower                     Chen et al., arXiv:2306.15595
    yarn      slow pairs do, fast ones keep their speed, between a ramp  Peng et al., arXiv:2309.00071
    llama3    the same with a ramp by wavelength                         Llama 3, arXiv:2407.21783

Names and formulas are those of transformers' `rope_parameters`. NTK-by-theta needs none of these: it is another theta.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

ScalingKind = Literal["linear", "yarn", "llama3"]


@dataclass(frozen=True)
class RopeScaling:
    """How rotary positions are stretched. Raises ValueError for what cannot be."""

    kind: ScalingKind
    factor: float
    """How many times slower the slow pairs turn."""
    original_context: int | None = None
    """Tokens that the model was trained on before; linear needs none, since its pairs are all the same."""
    beta_fast: float = 32.0
    """yarn: pairs that turn more often than this within the original context keep their speed."""
    beta_slow: float = 1.0
    """yarn: pairs that turn less often than this are slowed down in full."""
    attention_factor: float | None = None
    """yarn: what cosine and sine are multiplied with; None is 0.1 * ln(factor) + 1."""
    truncate: bool = True
    """yarn: whether the ends of the ramp are whole pairs."""
    low_freq_factor: float = 1.0
    """llama3: like beta_slow."""
    high_freq_factor: float = 4.0
    """llama3: like beta_fast."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.factor) and self.factor >= 1):
            raise ValueError(f"the factor of RoPE scaling is {self.factor}: it must be at least 1")
        if (self.original_context is None) != (self.kind == "linear"):
            raise ValueError("RoPE scaling yarn and llama3 need original_max_position_embeddings, and linear has none")
        if self.kind == "llama3" and self.low_freq_factor >= self.high_freq_factor:
            raise ValueError(
                f"low_freq_factor ({self.low_freq_factor}) of RoPE scaling must be below high_freq_factor "
                f"({self.high_freq_factor})"
            )

    @property
    def amplitude(self) -> float:
        """What cosine and sine are multiplied with (arXiv:2309.00071, section 3.4)."""
        if self.kind != "yarn":
            return 1.0
        return _yarn_amplitude(self.factor) if self.attention_factor is None else self.attention_factor

    def slow_down(self, frequency_P: Tensor, theta: float) -> Tensor:
        """The frequencies of a head's P pairs, in radians per token, as this scaling has them."""
        if self.kind == "linear":
            return frequency_P / self.factor
        assert self.original_context is not None  # seen to when it was built
        if self.kind == "llama3":
            # Turns within the original context, from low (slowed down in full) to high (kept).
            turns_P = self.original_context * frequency_P / (2 * math.pi)
            kept_P = (turns_P - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)
        else:
            kept_P = 1 - self._yarn_ramp(len(frequency_P), theta)
        kept_P = kept_P.clamp(0, 1)
        return frequency_P * kept_P + frequency_P / self.factor * (1 - kept_P)

    def _yarn_ramp(self, pairs: int, theta: float) -> Tensor:
        """0 at the pair that turns `beta_fast` times within the original context, 1 at the one of `beta_slow`."""
        assert self.original_context is not None
        first, last = (
            pairs * math.log(self.original_context / (2 * math.pi * turns)) / math.log(theta)
            for turns in (self.beta_fast, self.beta_slow)
        )
        if self.truncate:
            first, last = math.floor(first), math.ceil(last)
        # transformers ends the ramp at the head's size less one, which no pair reaches.
        first, last = max(first, 0), min(last, 2 * pairs - 1)
        return (torch.arange(pairs, dtype=torch.float32) - first) / (last - first or 0.001)


def rope_table(
    positions: int, head_dim: int, theta: float, scaling: RopeScaling | None = None
) -> tuple[Tensor, Tensor]:
    """Cosine and sine of each pair's angle at every position (Su et al., arXiv:2104.09864), (positions, head_dim / 2)
    each.
    """
    frequency = theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    amplitude = 1.0
    if scaling is not None:
        frequency, amplitude = scaling.slow_down(frequency, theta), scaling.amplitude
    angle = torch.outer(torch.arange(positions, dtype=torch.float32), frequency)
    return angle.cos() * amplitude, angle.sin() * amplitude


def ntk_theta(theta: float, factor: float, head_dim: int) -> float:
    """The theta at which the slowest pair turns `factor` times slower and the fastest as before ("NTK-aware", bloc97
    2023; arXiv:2309.00071, definition 1).
    """
    return theta * factor ** (head_dim / (head_dim - 2))


def scaling_to_hf(scaling: RopeScaling | None) -> dict[str, Any]:
    """The entries of `rope_parameters` beside rope_theta."""
    if scaling is None:
        return {"rope_type": "default"}
    values: dict[str, Any] = {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.original_context is not None:
        values["original_max_position_embeddings"] = scaling.original_context
    if scaling.kind == "yarn":
        values |= {"beta_fast": scaling.beta_fast, "beta_slow": scaling.beta_slow, "truncate": scaling.truncate}
        if scaling.attention_factor is not None:
            values["attention_factor"] = scaling.attention_factor
    if scaling.kind == "llama3":
        values |= {"low_freq_factor": scaling.low_freq_factor, "high_freq_factor": scaling.high_freq_factor}
    return values


def scaling_from_hf(rope: dict[str, Any], context: int) -> RopeScaling | None:
    """The scaling of a `rope_parameters` or `rope_scaling`; raises ValueError for a kind that is not supported.

    `context` is max_position_embeddings, which stands for an original context that is not given.
    """
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return None
    if kind not in get_args(ScalingKind):
        raise ValueError(
            f"RoPE scaling {kind!r} is not supported: only default, {', '.join(get_args(ScalingKind))} are"
        )
    original = rope.get("original_max_position_embeddings") or context
    factor = float(rope.get("factor") or context / original)
    if kind == "linear":
        return RopeScaling("linear", factor)
    if kind == "llama3":
        return RopeScaling(
            "llama3",
            factor,
            original,
            low_freq_factor=float(rope["low_freq_factor"]),
            high_freq_factor=float(rope["high_freq_factor"]),
        )
    attention = rope.get("attention_factor")
    if attention is None and rope.get("mscale") and rope.get("mscale_all_dim"):  # DeepSeek's way to write it
        attention = _yarn_amplitude(factor, rope["mscale"]) / _yarn_amplitude(factor, rope["mscale_all_dim"])
    return RopeScaling(
        "yarn",
        factor,
        original,
        beta_fast=float(rope.get("beta_fast") or 32),
        beta_slow=float(rope.get("beta_slow") or 1),
        attention_factor=None if attention is None else float(attention),
        truncate=rope.get("truncate", True),
    )


def _yarn_amplitude(factor: float, mscale: float = 1.0) -> float:
    return 0.1 * mscale * math.log(factor) + 1.0
