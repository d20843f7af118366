"""One process, or one torchrun, at a time in a run's folder: two would take each other's checkpoints away."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from gptwright.errors import InputError
from gptwright.train.distributed import ALONE, Ranks

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""What some network file systems answer: there the work goes on without."""
PATIENCE = 10.0
"""Seconds to wait for one that was told to stop."""


@contextmanager
def alone_in(folder: Path, ranks: Ranks = ALONE) -> Iterator[None]:
    """Nobody else works in `folder` meanwhile. The lock ends with the process, however that ends.

    A folder that was made for it and holds nothing else in the end is taken away again: what was asked for was refused.
    Raises InputError where somebody else is at work, or where a file is in the folder's place.
    """
    lock = FileLock(folder / ".lock", fallback_to_soft=False)  # a soft one would outlive a killed process
    made = ranks.of_first(lambda: _take(lock, folder))
    try:
        yield
    finally:
        if ranks.first and made and [path.name for path in folder.iterdir()] == [".lock"]:
            (folder / ".lock").unlink()
            for place in made:
                with suppress(OSError):  # others have put something there
                    place.rmdir()
        lock.release()


def _take(lock: FileLock, folder: Path) -> list[Path]:
    """Returns the folders that were made, the innermost first."""
    places = (folder, *folder.parents)
    if any(place.exists() and not place.is_dir() for place in places):
        raise InputError(f"{folder} cannot be a run's folder, a file is in the way: choose another --dir")
    made = [place for place in places if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        raise InputError(
            f"another gptwright is at work in {folder}: wait until it ends, or choose another --dir"
        ) from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return made
