"""A full disk as one sentence: whoever writes it, Python or a library, and with the folder that has no room."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gptwright.errors import RunError

# Also a quota and a limit on the size of files, which mean the same to the person.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def report_full_disk(folder: Path) -> Iterator[None]:
    """Around work that writes into `folder`. Raises RunError when there is no room."""
    try:
        yield
    except Exception as error:
        if not is_disk_full(error):
            raise
        raise RunError(
            f"no room to write in {folder} ({error}): free some space, then give the same command again; it goes on "
            "where it was"
        ) from error


def is_disk_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in DISK_FULL
    # safetensors has an exception of its own, with the operating system's number in its words.
    return any(f"(os error {number})" in str(error) for number in DISK_FULL)
