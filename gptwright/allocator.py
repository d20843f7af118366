"""Memory that the C library keeps for the next tensor instead of giving it back to the system.

A training step allocates the same hundreds of megabytes again and again. glibc hands large blocks back when they are
freed, and the kernel then clears every page anew: on a CPU that is a tenth of a step, and makes its time uneven.
"""

from __future__ import annotations

import ctypes
import os

# The numbers of glibc's malloc.h, see mallopt(3).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
LARGEST = 2**30
"""Blocks up to this many bytes come from memory that is kept."""


def keep_freed_memory() -> bool:
    """Ask glibc for it; True where it was done. With another C library, or MALLOC_ variables set, nothing changes."""
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # not glibc
        return False
    wanted = ((M_MMAP_THRESHOLD, LARGEST), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**26))
    return all(mallopt(option, value) == 1 for option, value in wanted)
