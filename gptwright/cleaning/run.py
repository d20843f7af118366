"""A whole cleaning: plan the shards, run the stages, leave documents, cleaning.json and a page.

OUT/documents/SOURCE/*.jsonl.gz      what data.files and data.sources read
OUT/cleaning.json, cleaning.html     what was removed and why
work/, inside OUT                    until it is done: what a killed cleaning goes on from
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gptwright
from gptwright.cleaning.contamination import load_contamination
from gptwright.cleaning.executors import hand_over, run_stages
from gptwright.cleaning.settings import CleaningSettings
from gptwright.cleaning.shards import Shard, plan_shards
from gptwright.cleaning.stages import Places, stages_of
from gptwright.cleaning.summary import FILE_NAME
from gptwright.data.atomic import write_bytes_atomically
from gptwright.data.sources import find_files
from gptwright.errors import InputError, pip_install
from gptwright.train.progress import say

NEEDED = ("datatrove", "xxhash", "py3langid")
"""Of the extra `data`."""


def clean(settings: CleaningSettings, out: Path, draw: Callable[[Path], None]) -> dict[str, Any] | None:
    """Clean all sources into a folder; `draw` makes the page from what lies there. Returns cleaning.json's content.

    With Slurm the jobs are only handed over, and None is returned. Raises InputError for a source that cannot be
    read, an extra that is not installed, and a folder that holds another cleaning.
    """
    _require_extra()
    # datatrove draws bars of its own; read when tqdm is imported, here and in the workers.
    os.environ.setdefault("TQDM_DISABLE", "1")
    shards = tuple(plan_shards(settings))
    if settings.decontaminate:
        load_contamination(settings.decontaminate)  # tells at once what is wrong with it
    places = Places(out)
    fingerprint = _fingerprint(settings, shards)
    finished = _finished(places, fingerprint)
    if finished is None:
        stages = stages_of(settings, shards, places, fingerprint=fingerprint, draw=draw)
        if settings.executor.kind == "slurm":
            hand_over(stages, settings.executor, places)
            say(f"handed over to Slurm: when {out / FILE_NAME} is there all is done, and {places.work} can go")
            return None
        run_stages(stages, settings.executor, places)
        finished = _finished(places, fingerprint)
    shutil.rmtree(places.work, ignore_errors=True)
    return finished


def _require_extra() -> None:
    for module in NEEDED:
        # Not imported here: only workers need them all.
        if importlib.util.find_spec(module) is None:
            raise InputError(f"cleaning needs {module}, which is not installed: {pip_install('data')}")


def _fingerprint(settings: CleaningSettings, shards: tuple[Shard, ...]) -> str:
    """Of settings, version and input: which files there are, their sizes and times."""
    files = [Path(file) for shard in shards for file in shard.files]
    for copy in (Path(shard.hub) for shard in shards if shard.hub):  # not there where it is a name on the hub
        files += sorted(file for file in copy.rglob("*") if file.is_file())
    for pattern in settings.decontaminate.files if settings.decontaminate else ():
        files += find_files(pattern)
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    # What runs the work does not change what comes out.
    value = [gptwright.__version__, settings.model_dump(mode="json", exclude={"executor"}), stats]
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _finished(places: Places, fingerprint: str) -> dict[str, Any] | None:
    """What an earlier call left, when it is whole; starts the folder when there is nothing.

    Raises InputError when the folder holds a cleaning of other input or with other settings, finished or not.
    """
    summary, started = places.out / FILE_NAME, places.work / "fingerprint"
    for path in (summary, started):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            known = json.loads(text)["fingerprint"] if path == summary else text
            if known != fingerprint:
                raise InputError(
                    f"{places.out} holds a cleaning of other files or with other settings: "
                    "give another folder, or remove it"
                )
            if path == summary:
                value: dict[str, Any] = json.loads(text)
                return value
    if places.out.exists() and any(places.out.iterdir()) and not started.is_file():
        raise InputError(f"{places.out} holds files of something else: give a folder that is empty or does not exist")
    write_bytes_atomically(started, fingerprint.encode())
    return None
