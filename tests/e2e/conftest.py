"""The real command line on a recipe of seconds: a way to call it, and one finished run that the tests share."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TINY = Path(__file__).with_name("tiny.yaml")
Result = subprocess.CompletedProcess[str]
COMMAND = [sys.executable, "-m", "gptwright.cli.main"]
# One thread: the same bits however many cores there are, and no waiting for each other where cores are busy.
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class CommandLine:
    """Calls `gptwright` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str | Path, stdin: str = "", before: Callable[[], None] | None = None) -> Result:
        command = [*COMMAND, *map(str, arguments)]
        return subprocess.run(
            command, input=stdin, cwd=self.folder, env=ENVIRONMENT, capture_output=True, text=True, preexec_fn=before
        )

    def start(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        command = [*COMMAND, *map(str, arguments)]
        return subprocess.Popen(command, cwd=self.folder, env=ENVIRONMENT, stderr=subprocess.DEVNULL)


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """`cli("run", "smoke")` in a folder of the test's own."""
    return CommandLine(tmp_path)


@pytest.fixture(scope="session")
def tiny() -> Path:
    """The recipe of the finished run."""
    return TINY


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A run of the tiny recipe that nothing disturbed, not to be changed, and what the command printed."""
    folder = tmp_path_factory.mktemp("finished")
    result = CommandLine(folder)("run", TINY, "--dir", "tiny")
    assert result.returncode == 0, result.stderr
    return folder / "tiny", result


@pytest.fixture
def run_copy(finished: tuple[Path, Result], tmp_path: Path) -> Path:
    """A copy of the finished run, with its times, to be changed at will."""
    return Path(shutil.copytree(finished[0], tmp_path / "tiny"))


@pytest.fixture(scope="session")
def weights() -> Callable[[Path], dict[str, str]]:
    """sha256 of the weights of every stage of a run."""

    def checksums(run: Path) -> dict[str, str]:
        files = sorted(run.glob("*/model.safetensors"))
        return {file.parent.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    return checksums
