"""Numbers as people read them: percentages with intervals, counts, durations, and the names of models and stages."""

from __future__ import annotations

from gptwright.evaluate.intervals import Figure
from gptwright.report.blocks import Measured

NOTHING = "-"
_MODEL_NAMES = {
    "base": "Base",
    "base_few_shot": "Base, few-shot",
    "sft": "SFT",
    "dpo": "DPO",
    "rejection": "Rejection sampling",
    "grpo": "GRPO",
    "ppo_without_mix": "PPO without mix",
    "ppo": "PPO",
    "reward": "Reward model",
    "all": "All",
    "qa": "QA",
}
_LARGE = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def spoken(name: str) -> str:
    """`base_few_shot` -> `Base, few-shot`, `open_qa` -> `Open QA`, `ppo_2` -> `PPO, round 2`; an unknown name keeps its
    words.
    """
    if name in _MODEL_NAMES:
        return _MODEL_NAMES[name]
    stage, _, number = name.rpartition("_")
    if stage in _MODEL_NAMES and number.isdigit():
        return f"{_MODEL_NAMES[stage]}, round {number}"
    words = [_MODEL_NAMES["qa"] if word == "qa" else word for word in name.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def percent(value: float | None) -> str:
    """0.6243 -> 62.4%; a tiny share says so instead of being 0."""
    if value is None:
        return NOTHING
    if 0 < value < 0.0005:
        return "<0.1%"
    return f"{100 * value:.1f}%"


def percent_range(figure: Figure) -> str:
    return f"{100 * figure.low:.1f} to {100 * figure.high:.1f}"


def measured_percent(figure: Figure | None) -> Measured | str:
    return Measured(percent(figure.value), f"{percent_range(figure)}, n {figure.n:,}") if figure else NOTHING


def measured(figure: Figure | None, digits: int = 2) -> Measured | str:
    if figure is None:
        return NOTHING
    interval = f"{figure.low:.{digits}f} to {figure.high:.{digits}f}, n {figure.n:,}"
    return Measured(f"{figure.value:.{digits}f}", interval)


def decimal(value: float | None, digits: int = 3) -> str:
    return NOTHING if value is None else f"{value:.{digits}f}"


def count(value: float | None) -> str:
    """950 -> 950, 20,480 -> 20.5k, 21,000,000 -> 21.0M."""
    if value is None:
        return NOTHING
    for size, letter in _LARGE:
        if abs(value) >= 10 * size or (abs(value) >= size and size > 1e3):
            return f"{value / size:.1f}{letter}"
    return f"{value:,.0f}"


def scientific(value: float | None) -> str:
    """3.14e14, without plus sign and leading zero."""
    if value is None:
        return NOTHING
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def duration(seconds: float | None) -> str:
    """48 -> 48 s, 192 -> 3 min 12 s, 3840 -> 1 h 4 min."""
    if seconds is None:
        return NOTHING
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
