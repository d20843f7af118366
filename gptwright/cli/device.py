"""Where a finished model answers: the CPU, or a GPU."""

from __future__ import annotations

import torch

from gptwright.errors import InputError


def device_of(asked: str) -> str:
    """'cpu' or 'cuda'; 'auto' is cuda where there is one. Raises InputError for one that is not there."""
    there = torch.cuda.is_available()
    if asked == "auto":
        return "cuda" if there else "cpu"
    if asked not in ("cpu", "cuda") or (asked == "cuda" and not there):
        raise InputError(f"--device {asked} is not there: give cpu, or cuda where `gptwright doctor` shows one")
    return asked
