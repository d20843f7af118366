"""How far the files that are being read have been read, as they lie on the disk: of packed ones too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_opened: dict[Path, BinaryIO] = {}


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file, to be read; `share_read` sees how far it has come."""
    with path.open("rb") as file:
        _opened[path] = file
        try:
            yield file
        finally:
            if _opened.get(path) is file:  # somebody may read it anew before an old reader is gone
                del _opened[path]


def share_read(files: Sequence[Path]) -> float | None:
    """What part is behind, from 0 to 1, of files that are read one after the other; None where none is open."""
    place = next((place for place, file in enumerate(files) if file in _opened), None)
    if place is None:
        return None
    sizes = [file.stat().st_size for file in files]
    return (sum(sizes[:place]) + _opened[files[place]].tell()) / max(1, sum(sizes))
