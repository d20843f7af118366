"""Whether other processes disturbed a timing: torch's threads wait for each other, so one busy neighbour spoils it."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MAX_FOREIGN_CORES = 0.10
STATISTICS = Path("/proc/stat")
"""What the cores have done since the machine started; Linux alone has it."""


@dataclass(frozen=True)
class Timed:
    """How long a piece of work took, and how many cores others kept busy meanwhile (None where nothing tells)."""

    seconds: float
    foreign_cores: float | None

    @property
    def quiet(self) -> bool:
        return self.foreign_cores is None or self.foreign_cores <= MAX_FOREIGN_CORES


def timed(work: Callable[[], None]) -> Timed:
    """Do the work once."""
    started, others = time.perf_counter(), _others_seconds()
    work()
    seconds = time.perf_counter() - started
    return Timed(seconds, max(0.0, (_others_seconds() - others) / seconds) if STATISTICS.exists() else None)


def stolen_seconds() -> float | None:
    """Seconds that all cores together stood still because the host of this virtual machine ran others; only
    differences mean something. None where nothing tells.
    """
    return _core_seconds()[-1] if STATISTICS.exists() else None


def _others_seconds() -> float:
    """Seconds that all cores together have worked for anyone but this process; only differences mean something."""
    if not STATISTICS.exists():
        return 0.0
    user, nice, system, _idle, _iowait, irq, softirq, steal = _core_seconds()
    return user + nice + system + irq + softirq + steal - _own_seconds()


def _core_seconds() -> list[float]:
    """What all cores together have spent on each of the kernel's first eight kinds of work."""
    ticks = STATISTICS.read_text().split()[1:9]
    return [int(each) / os.sysconf("SC_CLK_TCK") for each in ticks]


def _own_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
