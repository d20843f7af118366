"""Writes one benchmark's result as JSON, with all that a reader needs to judge it: command, commit, date, machine."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
GIB = 1024**3


def write_result(name: str, command: str, figures: dict[str, Any]) -> Path:
    """Write `results/NAME.json`; a result that names a place of this machine is refused."""
    result = {
        "name": name,
        "command": command,
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "figures": figures,
    }
    text = json.dumps(result, indent=1) + "\n"
    named = [place for place in (str(ROOT), tempfile.gettempdir()) if place in text]
    if named:
        raise ValueError(f"the result of {name} names {named[0]}, which exists on this machine alone: leave it out")
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(text, encoding="utf-8")
    return path


def commit() -> str:
    """The commit that was measured; '-dirty' when the package or the benchmarks differ from it."""
    head = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", "gptwright", "benchmarks/*.py")
    return f"{head}-dirty" if changed else head


def machine() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB, 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(encoding="utf-8") if info.exists() else "", re.M)
    return found[1] if found else platform.processor() or platform.machine()
