"""What a stage writes down while it works: JSON Lines files that a resumed run continues without a seam."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gptwright.train.trackers import Tracker


class RunLog:
    """Append-only logs in one folder. A checkpoint stores `positions()`; `rewind` cuts what came after it.

    With `writes` false nothing is written: of several ranks the first keeps the log.
    """

    def __init__(self, folder: Path, trackers: Sequence[Tracker] = (), *, writes: bool = True) -> None:
        self.folder, self.trackers, self.writes = folder, trackers, writes
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, file: str, row: dict[str, Any]) -> None:
        """Append one row to `file`, on disk before this returns. What is no finite number is null: JSON has none."""
        if not self.writes:
            return
        row = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()
        }
        with (self.folder / file).open("a", encoding="utf-8") as out:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")

    def metrics(self, row: dict[str, Any]) -> None:
        self.write("metrics.jsonl", row)
        for track in self.trackers:
            track(row)

    def positions(self) -> dict[str, int]:
        """Length of each log in bytes."""
        return {path.name: path.stat().st_size for path in sorted(self.folder.glob("*.jsonl"))}

    def rewind(self, positions: dict[str, int]) -> None:
        """Cut every log back to where it was; logs that were not there yet are emptied."""
        for path in self.folder.glob("*.jsonl") if self.writes else ():
            with path.open("r+b") as file:
                file.truncate(min(positions.get(path.name, 0), path.stat().st_size))
