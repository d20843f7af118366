"""What the C library does with freed memory: keep it for the next tensor, or give it back to the system.

A training step allocates the same hundreds of megabytes again and again. glibc hands large blocks back when they are
freed, and the kernel then clears every page anew: on a CPU that is a tenth of a step, and makes its time uneven. Kept
memory costs room instead: what lives long stands between what was freed, so a process holds up to three times as much
as it uses.
"""

from __future__ import annotations

import ctypes
import os

# The numbers of glibc's malloc.h, see mallopt(3).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
LARGEST = 2**30
"""Blocks up to this many bytes come from memory that is kept."""
SMALLEST = 2**17
"""Blocks from this many bytes on are given back at once: glibc's first threshold, which it otherwise moves up."""


def keep_freed_memory() -> bool:
    """Ask glibc for it; True where it was done. With another C library, or MALLOC_ variables set, nothing changes."""
    return _ask_glibc((M_MMAP_THRESHOLD, LARGEST), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**26))


def return_freed_memory() -> bool:
    """The contrary: a process holds what it uses, within a few percent, and is slower."""
    return _ask_glibc((M_MMAP_THRESHOLD, SMALLEST), (M_TRIM_THRESHOLD, SMALLEST), (M_TOP_PAD, SMALLEST))


def _ask_glibc(*wanted: tuple[int, int]) -> bool:
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # not glibc
        return False
    done = [mallopt(option, value) == 1 for option, value in wanted]
    return all(done)


FREED_MEMORY = {"keep": keep_freed_memory, "return": return_freed_memory}
"""By the recipe's `machine.freed_memory`."""
