"""decode.cpp as a library, compiled once for this processor and kept in the user's cache."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

SOURCE = Path(__file__).with_name("decode.cpp")
COMPILERS = ("g++", "clang++")
FLAGS = (
    "-O3", "-march=native", "-std=c++17", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast",
    "-shared", "-fPIC",
)  # fmt: skip
"""Nothing that lets a compiler change the order of sums."""
TEAMS = "-fopenmp"
"""With it, threads take a step together: those that torch has, whose library it is. Where it is missing, one does."""


@lru_cache(1)
def library() -> ctypes.CDLL | None:
    """The library; None where there is no compiler or it fails, and torch decodes."""
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        return None
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        told = (SOURCE.read_bytes(), compiler, TEAMS, FLAGS, platform.machine(), _processor())
        path = cache_folder() / f"decode-{hashlib.sha256(repr(told).encode()).hexdigest()[:16]}.so"
        if not path.is_file():
            _compile(compiler, path)
        return ctypes.CDLL(str(path))
    return None


def cache_folder() -> Path:
    """GPTWRIGHT_CACHE, or gptwright in the user's cache."""
    named = os.environ.get("GPTWRIGHT_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gptwright"


def _compile(compiler: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        command = [*FLAGS, "-o", str(made), str(SOURCE)]
        try:
            _run(compiler, TEAMS, *command)
        except subprocess.CalledProcessError:
            _run(compiler, *command)
        os.replace(made, path)  # whoever compiles at the same time replaces it by the same


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=300)


def _processor() -> str:
    """What the processor can do: a cache may be shared by machines."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return platform.processor()
