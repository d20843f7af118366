"""Files that are either whole or not there: written beside their place, then moved into it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def open_atomically(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write bytes to, which takes its name only when the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The process id keeps two writers of the same file apart.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Have a folder's files on the disk before anything relies on them; where a folder cannot be synced, its files."""
    for file in (path for path in folder.rglob("*") if path.is_file()):
        with file.open("rb+") as opened:
            os.fsync(opened.fileno())
    sync_names(folder)


def sync_names(folder: Path) -> None:
    """Have what a folder's files are called on the disk. Windows has no such thing."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_bytes_atomically(path: str | Path, content: bytes) -> None:
    with open_atomically(path) as file:
        file.write(content)
