"""One process, or one torchrun, at a time in a run's folder: two would take each other's checkpoints away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gptwright.errors import InputError
from gptwright.train.distributed import ALONE, Ranks

PATIENCE = 10.0
"""Seconds to wait for one that was told to stop."""


@contextmanager
def alone_in(folder: Path, ranks: Ranks = ALONE) -> Iterator[None]:
    """Nobody else works in `folder` meanwhile. The lock ends with the process, however that ends.

    Raises InputError where somebody does, or where a file is in the folder's place.
    """
    lock = FileLock(folder / ".lock")
    ranks.of_first(lambda: _take(lock, folder))
    try:
        yield
    finally:
        lock.release()


def _take(lock: FileLock, folder: Path) -> None:
    if any(place.exists() and not place.is_dir() for place in (folder, *folder.parents)):
        raise InputError(f"{folder} cannot be a run's folder, a file is in the way: choose another --dir")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        raise InputError(
            f"another gptwright is at work in {folder}: wait until it ends, or choose another --dir"
        ) from None
    except NotImplementedError:  # some network file systems have no locks
        return
