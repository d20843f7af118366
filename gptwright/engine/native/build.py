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
import warnings
from functools import lru_cache
from pathlib import Path

SOURCE = Path(__file__).with_name("decode.cpp")
COMPILERS = ("g++", "clang++")
FLAGS = (
    "-O3", "-march=native", "-std=c++17", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast",
    "-shared", "-fPIC",
)  # fmt: skip
"""Nothing that lets a compiler change the order of sums."""
COMPILING_SECONDS = 300
TEAMS = "-fopenmp"
"""With it, threads take a step together: those that torch has, whose library it is. Where it is missing, one does."""


@lru_cache(1)
def library() -> ctypes.CDLL | None:
    """The library; None where it cannot be had, which is warned of once, and torch decodes."""
    try:
        return load()
    except OSError as error:
        warnings.warn(f"torch decodes, which is slower: {error}", stacklevel=2)
        return None


def load() -> ctypes.CDLL:
    """The library, compiled if it has to be. Raises OSError, which says why it cannot be had."""
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise OSError(f"there is no compiler, {' or '.join(COMPILERS)}")
    told = (SOURCE.read_bytes(), compiler, TEAMS, FLAGS, platform.machine(), _processor())
    path = cache_folder() / f"decode-{hashlib.sha256(repr(told).encode()).hexdigest()[:16]}.so"
    if not path.is_file():
        try:
            _compile(compiler, path)
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip().splitlines()
            raise OSError(f"{compiler} fails: {said[-1] if said else error}") from None
        except subprocess.TimeoutExpired:
            raise OSError(f"{compiler} takes longer than {COMPILING_SECONDS} s") from None
    return ctypes.CDLL(str(path))


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
    subprocess.run(command, check=True, capture_output=True, timeout=COMPILING_SECONDS)


def _processor() -> str:
    """What the processor can do: a cache may be shared by machines."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return platform.processor()
