"""Metrics to TensorBoard or Weights & Biases as well, for those who watch there; metrics.jsonl is written anyway."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gptwright.errors import InputError, pip_install

Tracker = Callable[[dict[str, float]], None]
"""Takes one row of metrics, with its "step"."""


def require_trackers(names: Sequence[str]) -> None:
    """Raises InputError when a package is missing, with the command that installs it."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            raise InputError(f"machine.trackers names {name}, which is not installed: {pip_install('track')}") from None


def trackers_for(names: Sequence[str], run: Path, stage: str) -> list[Tracker]:
    """One per name. Raises InputError when its package is missing."""
    require_trackers(names)
    return [_MAKERS[name](run, stage) for name in names]


def _tensorboard(run: Path, stage: str) -> Tracker:
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415

    writers: list[Any] = []

    def log(row: dict[str, float]) -> None:
        if not writers:  # made at the first row: after a kill, TensorBoard drops what came after that row's step
            writers.append(SummaryWriter(str(run / "tensorboard" / stage), purge_step=int(row["step"])))
        for name, value in row.items():
            if name != "step":
                writers[0].add_scalar(name, value, int(row["step"]))
        writers[0].flush()

    return log


def _wandb(run: Path, stage: str) -> Tracker:
    import wandb  # noqa: PLC0415

    # The same folder and stage are the same run there, before a kill and after.
    name = hashlib.sha256(f"{run.resolve()}/{stage}".encode()).hexdigest()[:16]
    session = wandb.init(
        project="gptwright",
        name=f"{run.name}/{stage}",
        id=name,
        resume="allow",
        dir=str(run),
        reinit="finish_previous",  # without it the stages of one process all log to the first of them
    )

    def log(row: dict[str, float]) -> None:
        session.log({key: value for key, value in row.items() if key != "step"}, step=int(row["step"]))

    return log


_MAKERS: dict[str, Callable[[Path, str], Tracker]] = {"tensorboard": _tensorboard, "wandb": _wandb}
