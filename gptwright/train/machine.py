"""What a recipe's machine section asks for and this machine lacks: told before hours of work, not after."""

from __future__ import annotations

import torch

from gptwright.errors import InputError
from gptwright.recipe import MachineSettings
from gptwright.train.float8 import require_float8
from gptwright.train.trackers import require_trackers


def check_machine(settings: MachineSettings) -> None:
    """Raises InputError naming the setting."""
    device = device_for(settings.device)
    if settings.float8:
        require_float8(device)
    require_trackers(settings.trackers)


def device_for(setting: str) -> str:
    """The kind of device that `machine.device` means here. Raises InputError where there is none of it."""
    present = torch.cuda.is_available()
    if setting == "cuda" and not present:
        raise InputError(
            "machine.device is cuda, and this torch sees no CUDA device: set machine.device=cpu, or install a torch "
            "with CUDA (README.md) where there is a GPU"
        )
    return ("cuda" if present else "cpu") if setting == "auto" else setting
