"""glibc is asked to keep or return freed memory, unless the user's environment or another C library says otherwise."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gptwright import allocator
from gptwright.cli.main import app

FAULTS_OF_THE_LAST_TENSORS = """
import resource, sys
from gptwright.allocator import FREED_MEMORY
assert FREED_MEMORY[sys.argv[1]]()
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
    kept, cleared = (int(subprocess.check_output([*command, way])) for way in ("keep", "return"))
    assert kept < 1000 < 20_000 < cleared


def test_the_users_own_settings_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    assert not allocator.keep_freed_memory()
    assert not allocator.return_freed_memory()


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ctypes.CDLL:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert not allocator.keep_freed_memory()


@pytest.mark.parametrize("wanted", ["keep", "return"])
def test_a_run_asks_for_what_its_recipe_says(wanted: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Told before anything large is allocated: here the recipe's text is missing, which ends the run."""
    asked = []
    for way in allocator.FREED_MEMORY:
        monkeypatch.setitem(allocator.FREED_MEMORY, way, lambda way=way: asked.append(way))
    monkeypatch.chdir(tmp_path)
    overrides = [f"machine.freed_memory={wanted}", "data.files=missing.txt"]
    result = CliRunner().invoke(app, ["pretrain", "text", *(part for it in overrides for part in ("-o", it))])
    assert result.exit_code != 0
    assert asked == [wanted]
    assert ("nothing has changed" in result.stderr) == (wanted == "return")  # as if it had not been done
