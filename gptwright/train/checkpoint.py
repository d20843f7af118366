"""Resumable state on disk: written whole or not at all, the last two kept, every byte checked when read.

    checkpoints/STAGE/step-00000120/state.safetensors   weights, optimizer state, averages
    checkpoints/STAGE/step-00000120/state.json          step, counters, log positions, checksum

Nothing random is stored: every draw in gptwright is a function of (seed, step), so the step alone restores it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from gptwright.errors import RunError
from gptwright.train.optimizers import Optimizers

KEPT = 2


@dataclass
class Trainee:
    """Everything that a stage changes as it learns."""

    modules: dict[str, nn.Module]
    optimizers: dict[str, Optimizers]
    counters: dict[str, float] = field(default_factory=dict)
    """Plain numbers that must survive a kill, such as an adaptive coefficient."""

    def tensors(self) -> dict[str, torch.Tensor]:
        found = {}
        for name, module in self.modules.items():
            seen = set()
            for key, value in module.state_dict().items():
                if value.data_ptr() not in seen:  # tied weights are stored once
                    seen.add(value.data_ptr())
                    found[f"{name}:{key}"] = value
        for name, optimizers in self.optimizers.items():
            found |= {f"{name}!{key}": value for key, value in optimizers.tensors().items()}
        return found

    def load_tensors(self, tensors: dict[str, torch.Tensor]) -> None:
        for name, module in self.modules.items():
            own = {k.removeprefix(f"{name}:"): v for k, v in tensors.items() if k.startswith(f"{name}:")}
            module.load_state_dict(own, strict=False)
        for name, optimizers in self.optimizers.items():
            own = {k.removeprefix(f"{name}!"): v for k, v in tensors.items() if k.startswith(f"{name}!")}
            optimizers.load_tensors(own)


class Checkpoints:
    """The checkpoints of one stage."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("writing-*"):  # a kill in the middle of a write
            shutil.rmtree(leftover)

    def save(self, trainee: Trainee, step: int, details: dict[str, Any]) -> None:
        """Write step `step`'s state beside the others, then drop all but the last two."""
        partial = self.folder / f"writing-{step:08d}"
        try:
            partial.mkdir(exist_ok=True)
            _write_state(trainee, step, details, partial)
            final = self.folder / f"step-{step:08d}"
            if final.exists():
                shutil.rmtree(final)
            partial.replace(final)
        finally:  # when the disk is full, half a checkpoint must not keep it so
            shutil.rmtree(partial, ignore_errors=True)
        for old in self._steps()[:-KEPT]:
            shutil.rmtree(old)

    def load_last(self, trainee: Trainee) -> dict[str, Any] | None:
        """Put the newest state into `trainee`; None when there is none.

        Raises RunError when that checkpoint is damaged, naming the one before it.
        """
        steps = self._steps()
        if not steps:
            return None
        last = steps[-1]
        try:
            state: dict[str, Any] = json.loads((last / "state.json").read_text(encoding="utf-8"))
            sound = file_checksum(last / "state.safetensors") == state["sha256"]
        except (OSError, ValueError, TypeError, KeyError):
            sound = False
        if not sound:
            before = f"resume from {steps[-2].name}" if len(steps) > 1 else "start this stage again"
            raise RunError(
                f"checkpoint {last} is damaged (its checksum does not match): delete that folder to {before}"
            )
        trainee.load_tensors(load_file(last / "state.safetensors"))
        trainee.counters.update(state["counters"])
        return state

    def _steps(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))


def _write_state(trainee: Trainee, step: int, details: dict[str, Any], folder: Path) -> None:
    weights = folder / "state.safetensors"
    tensors = {key: value.detach().cpu().contiguous() for key, value in trainee.tensors().items()}
    save_file(tensors, weights)
    state = {"step": step, "counters": trainee.counters, "sha256": file_checksum(weights), **details}
    (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")
    for path in (weights, folder / "state.json"):
        with path.open("rb") as file:
            os.fsync(file.fileno())


def file_checksum(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
