"""Resumable state on disk: written whole or not at all, the last two kept, every byte checked when read.

    checkpoints/STAGE/step-00000120/state.safetensors   weights, optimizer state, averages
    checkpoints/STAGE/step-00000120/state.json          step, counters, log positions, checksum

Several ranks write one `shard-*.safetensors` each in place of `state.safetensors` (see `sharded_state`); any number of
ranks reads both.

Nothing random is stored: every draw in gptwright is a function of (seed, step), so the step alone restores it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from gptwright.errors import RunError
from gptwright.train.distributed import ALONE, Ranks
from gptwright.train.optimizers import Optimizers
from gptwright.train.sharded_state import load_parts, save_parts

KEPT = 2
WHOLE = "state.safetensors"
"""What one process writes."""


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
            for key, value in module.state_dict(keep_vars=True).items():
                if id(value) not in seen:  # tied weights are stored once
                    seen.add(id(value))
                    found[f"{name}:{key}"] = value.detach()
        for name, optimizers in self.optimizers.items():
            found |= {f"{name}!{key}": value for key, value in optimizers.tensors().items()}
        return found

    def like(self, names: Iterable[str]) -> dict[str, torch.Tensor]:
        """For each name that `tensors` may give, a tensor that is placed on device and ranks as that one should be."""
        own = {name: value for name, value in self.tensors().items() if ":" in name}
        for name, optimizers in self.optimizers.items():
            own |= {f"{name}!{optimizers.names[id(each)]}": each.detach() for each in optimizers.parameters}
        return {name: own[key] for name in names if (key := name.rpartition("/")[0] or name) in own}

    def load_tensors(self, tensors: dict[str, torch.Tensor]) -> None:
        for name, module in self.modules.items():
            own = {k.removeprefix(f"{name}:"): v for k, v in tensors.items() if k.startswith(f"{name}:")}
            module.load_state_dict(own, strict=False)
        for name, optimizers in self.optimizers.items():
            own = {k.removeprefix(f"{name}!"): v for k, v in tensors.items() if k.startswith(f"{name}!")}
            optimizers.load_tensors(own)


class Checkpoints:
    """The checkpoints of one stage; several ranks save and load them together."""

    def __init__(self, folder: Path, ranks: Ranks = ALONE) -> None:
        self.folder, self.ranks = folder, ranks
        ranks.of_first(self._clear)

    def _clear(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for leftover in self.folder.glob("writing-*"):  # a kill in the middle of a write
            shutil.rmtree(leftover)

    def save(self, trainee: Trainee, step: int, details: dict[str, Any]) -> None:
        """Write step `step`'s state beside the others, then drop all but the last two."""
        partial = self.folder / f"writing-{step:08d}"
        state = {"step": step, "counters": trainee.counters, **details}
        try:
            self.ranks.of_first(lambda: partial.mkdir(exist_ok=True))
            _write_tensors(trainee, partial, self.ranks)
            self.ranks.of_first(lambda: self._accept(partial, state))
        finally:  # when the disk is full, half a checkpoint must not keep it so
            shutil.rmtree(partial, ignore_errors=True)

    def _accept(self, partial: Path, state: dict[str, Any]) -> None:
        """The tensors are written: add `state`, put the folder in its place, drop old ones."""
        _write_state(state, partial)
        final = self.folder / f"step-{state['step']:08d}"
        if final.exists():
            shutil.rmtree(final)
        partial.replace(final)
        for old in self._steps()[:-KEPT]:
            shutil.rmtree(old)

    def load_last(self, trainee: Trainee) -> dict[str, Any] | None:
        """Put the newest state into `trainee`; None when there is none.

        Raises RunError when that checkpoint is damaged, naming the one before it.
        """
        last, state = self.ranks.of_first(self._last)
        if last is None:
            return None
        whole = last / WHOLE
        if self.ranks.size == 1 and whole.is_file():
            trainee.load_tensors(load_file(whole))
        else:
            trainee.load_tensors(load_parts(last, trainee.like, self.ranks))
        trainee.counters.update(state["counters"])
        return state

    def _last(self) -> tuple[Path | None, dict[str, Any]]:
        """The newest checkpoint and its state.json, after a look at every byte of it."""
        steps = self._steps()
        if not steps:
            return None, {}
        last = steps[-1]
        try:
            state: dict[str, Any] = json.loads((last / "state.json").read_text(encoding="utf-8"))
            checksums = {WHOLE: state["sha256"]} if isinstance(state["sha256"], str) else state["sha256"]
            sound = all(file_checksum(last / name) == checksum for name, checksum in checksums.items())
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            sound = False
        if not sound:
            before = f"resume from {steps[-2].name}" if len(steps) > 1 else "start this stage again"
            raise RunError(
                f"checkpoint {last} is damaged (its checksum does not match): delete that folder to {before}"
            )
        return last, state

    def _steps(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))


def _write_tensors(trainee: Trainee, folder: Path, ranks: Ranks) -> None:
    tensors = trainee.tensors()
    if ranks.size > 1:
        save_parts(tensors, folder, ranks)
    else:
        save_file({key: value.cpu().contiguous() for key, value in tensors.items()}, folder / WHOLE)


def _write_state(state: dict[str, Any], folder: Path) -> None:
    """Write state.json with the checksums of the tensors that lie beside it, and see all of it onto the disk."""
    checksums = {file.name: file_checksum(file) for file in sorted(folder.glob("*.safetensors"))}
    state = {**state, "sha256": checksums.get(WHOLE, checksums)}
    (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """See a folder's files, and what they are called, onto the disk."""
    for path in filter(Path.is_file, folder.rglob("*")):
        with path.open("r+b") as file:  # Windows syncs nothing that was opened for reading alone
            os.fsync(file.fileno())
    sync_names(folder)


def sync_names(folder: Path) -> None:
    """See what a folder holds onto the disk; Windows has no such thing."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_checksum(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
