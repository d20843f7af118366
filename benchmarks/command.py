"""Runs the real `gptwright` program as a process of its own and says what that took."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quiet import stolen_seconds
from record import ROOT

# What ru_maxrss counts in: bytes on macOS, KiB on Linux.
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Finished:
    """A command that ran to its end."""

    seconds: float
    peak_bytes: int
    """Largest resident memory of the process."""
    messages: str
    """What it wrote to stderr."""
    stolen: float | None
    """Share of the cores' time that the host of a virtual machine gave to others; None where nothing tells."""


def start(arguments: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """`gptwright ARGUMENTS` from this checkout, its messages added to `log`."""
    with log.open("ab") as messages:
        return subprocess.Popen(
            [sys.executable, "-m", "gptwright.cli.main", *arguments], cwd=ROOT, stdout=messages, stderr=messages
        )


def run(arguments: Sequence[str], log: Path) -> Finished:
    """Run it to the end. Raises RuntimeError with its last lines when it fails."""
    begin = log.stat().st_size if log.exists() else 0
    started, stolen = time.perf_counter(), stolen_seconds()
    process = start(arguments, log)
    _, status, usage = os.wait4(process.pid, 0)
    seconds, stolen_now = time.perf_counter() - started, stolen_seconds()
    process.returncode = os.waitstatus_to_exitcode(status)
    messages = log.read_bytes()[begin:].decode("utf-8", errors="replace")
    if process.returncode:
        last = "\n".join(messages.splitlines()[-5:])
        raise RuntimeError(f"gptwright {' '.join(arguments)} ended with exit code {process.returncode}:\n{last}")
    share = None
    if stolen is not None and stolen_now is not None:
        share = (stolen_now - stolen) / seconds / (os.cpu_count() or 1)
    return Finished(seconds, usage.ru_maxrss * RSS_UNIT, messages, share)
