"""Where a stage works and how its result comes into being: whole, with its lineage, or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gptwright.recipe import MachineSettings
from gptwright.train.checkpoint import file_checksum, sync_folder, sync_names
from gptwright.train.distributed import ALONE, Ranks
from gptwright.train.fast_path import FastPath
from gptwright.train.runlog import RunLog
from gptwright.train.trackers import trackers_for


@dataclass(frozen=True)
class Workspace:
    """One stage of one run."""

    run: Path
    stage: str
    seed: int
    machine: MachineSettings
    path: FastPath
    ranks: Ranks = ALONE

    @property
    def output(self) -> Path:
        """The folder that the stage leaves behind."""
        return self.run / self.stage

    @property
    def checkpoints(self) -> Path:
        """Where resumable state lies while the stage works."""
        return self.run / "checkpoints" / self.stage

    def log(self) -> RunLog:
        first = self.ranks.first
        trackers = trackers_for(self.machine.trackers, self.run, self.stage) if first else ()
        return RunLog(self.checkpoints / "log", trackers, writes=first)

    def finish(self, write: Callable[[Path], None], lineage: dict[str, Any]) -> None:
        """Fill a folder beside the output and rename it there: `write`'s files, the logs, `lineage.json`."""
        partial = self.run / f"{self.stage}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write(partial)
        for log in sorted((self.checkpoints / "log").glob("*.jsonl")):
            shutil.copy(log, partial / log.name)
        # What the next run compares, so that damaged weights are never trained on.
        checksums = {file.name: file_checksum(file) for file in sorted(partial.glob("*.safetensors"))}
        if checksums:
            lineage = {**lineage, "sha256": checksums}
        (partial / "lineage.json").write_text(json.dumps(lineage, indent=2) + "\n", encoding="utf-8")
        for name in checksums:  # safetensors lets only their maker read them
            shutil.copymode(partial / "lineage.json", partial / name)
        sync_folder(partial)  # before checkpoints are gone, from which a power cut could be mended
        shutil.rmtree(self.output, ignore_errors=True)
        partial.replace(self.output)
        sync_names(self.run)
        shutil.rmtree(self.checkpoints, ignore_errors=True)
