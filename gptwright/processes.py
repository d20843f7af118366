"""Processes that work for this one: how many there may be, and that none of them is left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with_parent() -> None:
    """What a worker process does first: it leaves Ctrl-C to the process that it works for, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker is started by another process"

    def leave_with_parent() -> None:
        wait([parent.sentinel])
        os._exit(1)

    # A parent that was killed tells nobody, and a worker would wait for its next task for ever.
    threading.Thread(target=leave_with_parent, daemon=True).start()
