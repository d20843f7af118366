"""How far the files that are being read have been read, as they lie on the disk: of packed ones too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

_opened: dict[Path, BinaryIO] = {}


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file, to be read; `ShareRead` sees how far it has come."""
    with path.open("rb") as file:
        _opened[path] = file
        try:
            yield file
        finally:
            if _opened.get(path) is file:  # somebody may read it anew before an old reader is gone
                del _opened[path]


class ShareRead:
    """What part is behind, from 0 to 1, of files that are read one after the other; None while none is open."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.places = {file: place for place, file in enumerate(files)}
        self.before = list(accumulate((file.stat().st_size for file in files), initial=0))

    def __call__(self) -> float | None:
        place, file = min(((self.places[path], path) for path in _opened if path in self.places), default=(None, None))
        if place is None or file is None:
            return None
        return (self.before[place] + _opened[file].tell()) / max(1, self.before[-1])
