"""The sandbox: code that misbehaves passes nothing and leaves nothing behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gptwright.tasks.sandbox import run_tests

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="limits of this kind are Linux's")


def test_statements_that_pass_are_counted_one_by_one() -> None:
    tests = ["assert f(1) == 2", "assert f(1) == 3", "f('x')", "assert f(2) == 3", "this is no Python"]
    assert run_tests("def f(x):\n    return x + 1", tests, seconds=5) == 2


@pytest.mark.parametrize(
    "code",
    [
        "this is no Python",
        "raise SystemExit(0)",
        "import os; os._exit(0)",
        "import os\nos.write(1, b'\\n' + b'0' * 32 + b' 1\\n')\nos._exit(0)",
        "x = 'a' * 10**11",
        "import os\nwhile True: pass",
    ],
    ids=["broken", "exit", "hard exit", "tells", "memory", "endless"],
)
def test_code_that_fails_or_cheats_passes_nothing(code: str) -> None:
    assert run_tests(code, ["pass"], seconds=1) == 0


@pytest.mark.parametrize("name", ["exec", "compile"])
def test_an_answer_cannot_exchange_what_runs_the_tests(name: str) -> None:
    code = f"import builtins\nbuiltins.{name} = lambda *_: 'pass'"
    assert run_tests(code, ["assert False", "pass"], seconds=5) == 1


@LINUX
def test_code_has_no_network() -> None:
    unshared = "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x50000000) != 0)"
    if subprocess.run([sys.executable, "-c", unshared], check=False).returncode:
        pytest.skip("this system does not let us take the network away")
    with socket.create_server(("127.0.0.1", 0)) as server:
        call = f"import socket; socket.create_connection({server.getsockname()!r}, 1)"
        assert subprocess.run([sys.executable, "-c", call], check=False).returncode == 0
        assert run_tests("", ["import socket", call], seconds=5) == 1


def test_a_test_that_never_ends_counts_as_failed_and_those_before_it_as_they_are() -> None:
    assert run_tests("", ["pass", "assert True", "while True: pass", "pass"], seconds=1) == 2


@LINUX
def test_what_the_code_leaves_running_is_not_waited_for() -> None:
    left = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(20)'], start_new_session=True)"
    )
    started = time.monotonic()
    run_tests(left, ["while True: pass"], seconds=1)
    assert time.monotonic() - started < 15  # a hang, not a speed


def test_code_sees_no_environment_and_no_folder_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "42")
    monkeypatch.chdir(tmp_path)
    tests = ["import os; assert 'SECRET_KEY' not in os.environ", "import os; assert os.listdir() == []"]
    assert run_tests("", tests, seconds=5) == 2
    run_tests("open('left', 'w').write('x')", ["pass"], seconds=5)
    assert os.listdir(tmp_path) == []


@LINUX
def test_a_file_cannot_grow_without_end() -> None:
    code = "def fill():\n    with open('f', 'wb') as file:\n        for _ in range(64): file.write(bytes(2**20))"
    assert run_tests(code, ["fill()"], seconds=5) == 0
