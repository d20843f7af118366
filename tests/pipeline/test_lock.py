"""Two processes never work in one run's folder."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gptwright.cli.main import app
from gptwright.errors import InputError
from gptwright.pipeline import lock
from gptwright.pipeline.lock import alone_in

HOLD = """
import sys, time
from pathlib import Path
from gptwright.pipeline.lock import alone_in
with alone_in(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE", 0.1)


def test_a_folder_in_which_another_process_works_is_refused_until_that_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        try:
            assert other.stdout.readline() == b"held\n"
            for command in (["pretrain", "smoke"], ["sweep", "scaling"]):
                result = CliRunner().invoke(app, [*command, "--dir", str(folder)])
                assert isinstance(result.exception, InputError)
                assert f"another gptwright is at work in {folder}" in str(result.exception)
                assert not (folder / "recipe.yaml").exists()
        finally:
            other.kill()
    with alone_in(folder):
        pass


def test_a_folder_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), alone_in(tmp_path):
        raise ZeroDivisionError
    with alone_in(tmp_path), pytest.raises(InputError, match="at work"), alone_in(tmp_path):
        pass


def test_what_was_refused_leaves_no_folders(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), alone_in(tmp_path / "runs" / "mine"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ZeroDivisionError), alone_in(tmp_path / "runs" / "mine"):
        (tmp_path / "runs" / "mine" / "recipe.yaml").touch()
        raise ZeroDivisionError
    assert (tmp_path / "runs" / "mine" / "recipe.yaml").exists()


def test_a_file_in_the_folders_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("not a folder")
    for folder in (tmp_path / "run", tmp_path / "run" / "deeper"):
        with pytest.raises(InputError, match="a file is in the way"), alone_in(folder):
            pass


def test_where_there_are_no_locks_work_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock.FileLock, "acquire", unsupported)
    with alone_in(tmp_path / "run"):
        (tmp_path / "run" / "written").touch()
    assert (tmp_path / "run" / "written").exists()
