"""Code that a model wrote, run where it can do little harm: another process, with little time and memory, an empty
folder that is thrown away, no environment, no packages but Python's own, and on Linux no network where the system lets
us take it away.

It keeps accidents in, endless loops and full disks; it is no wall against code that wants to break out. Where
models write code for strangers, put a container around the whole program. Nor is it one against code that wants to
pass: answer and tests share an interpreter, so an answer may give back what equals everything, or look in the frames
above it for how passing is told.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

MEMORY = 512 * 2**20
MOST_OUTPUT = 2**20
_INSIDE = Path(__file__).with_name("sandboxed.py")


def run_tests(code: str, tests: Sequence[str], *, seconds: float) -> int:
    """How many of the statements `tests` run without an error after `code`; 0 where the code itself fails."""
    # What counts is a line that begins with a word that is not guessed: printing and exiting pass no test.
    word = secrets.token_hex(16)
    # Its output goes to a file, not a pipe: what the code started and left behind could hold a pipe open for ever.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", str(_INSIDE)],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={"SYSTEMROOT": os.environ["SYSTEMROOT"]} if "SYSTEMROOT" in os.environ else {},
            start_new_session=True,
        )
        task = {"word": word, "code": code, "tests": list(tests), "seconds": seconds, "memory": MEMORY}
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(json.dumps(task).encode(), timeout=seconds + 1)
        _kill(process)
        out.seek(0)
        output = out.read(MOST_OUTPUT)
    lines = [line.split() for line in output.decode(errors="replace").splitlines()]
    passed = [int(line[1]) for line in lines if len(line) == 2 and line[0] == word and line[1].isdigit()]
    return min(passed[-1], len(tests)) if passed else 0


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The process with its group. Where we are root, code may start others, and one in a session of its own stays."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
