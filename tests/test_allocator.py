"""glibc is asked to keep freed memory, unless the user's environment or another C library says otherwise."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from gptwright import allocator

FAULTS_OF_THE_LAST_TENSORS = """
import resource, sys
from gptwright.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
import torch
def allocate():
    return float(torch.ones(12_000_000).sum())
for _ in range(15):  # until the heap has room between what lives longer
    allocate()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    allocate()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the setting")
def test_freed_memory_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """48 MB are 12,000 pages: cleared again for every tensor, or once."""
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    command = [sys.executable, "-c", FAULTS_OF_THE_LAST_TENSORS]
    kept, cleared = (int(subprocess.check_output([*command, way])) for way in ("keep", "not"))
    assert kept < 1000 < 20_000 < cleared


def test_the_users_own_settings_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    assert not allocator.keep_freed_memory()


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ctypes.CDLL:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert not allocator.keep_freed_memory()
