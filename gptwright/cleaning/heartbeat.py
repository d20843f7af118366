"""How far tasks are, told in small files, since they may run in other processes and on other machines."""

from __future__ import annotations

import time
from pathlib import Path

SECONDS = 1.0


class Heartbeat:
    """Counts the documents of one task; the file is a hint for people, so it is not written with care."""

    def __init__(self, work: Path, stage: str, rank: int) -> None:
        self._path = work / "progress" / stage / f"{rank:05d}"
        self._count = 0
        self._due = time.monotonic() + SECONDS

    def beat(self) -> None:
        """One more document."""
        self._count += 1
        now = time.monotonic()
        if now >= self._due:
            self._due = now + SECONDS
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(str(self._count), encoding="ascii")


def documents_so_far(work: Path, stage: str) -> int:
    """Of all tasks of a stage."""
    counts = (path.read_text(encoding="ascii") for path in (work / "progress" / stage).glob("*"))
    return sum(int(count) for count in counts if count)
