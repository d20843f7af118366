"""A run killed at any moment ends, when it is run again, at the same weights as one that nothing disturbed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")

SEED = 3
# Where each kill falls: after this file is there, and up to so many seconds later.
MOMENTS = (
    ("checkpoints/base/log", 2.0),
    ("checkpoints/sft", 1.0),
    ("checkpoints/reward", 1.0),
    ("checkpoints/grpo", 0.5),
    ("checkpoints/ppo", 1.5),
)
PATIENCE_SECONDS = 100


def kill_after(process: subprocess.Popen[bytes], file: Path, delay: float) -> bool:
    """SIGKILL `delay` seconds after `file` appears; False when the process ended before that."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not file.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(delay)
    alive = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return alive


def test_killed_run_resumes_to_the_same_weights(cli: Any, tiny: Path, finished: Any, weights: Any) -> None:
    run, rng = cli.folder / "killed", random.Random(SEED)
    kills = 0
    for file, most in MOMENTS:
        kills += kill_after(cli.start("run", tiny, "--dir", run), run / file, rng.uniform(0, most))
    assert kills >= 2  # on a fast machine a late kill may find the work done
    result = cli("run", tiny, "--dir", run)
    assert result.returncode == 0, result.stderr
    assert weights(run) == weights(finished[0])
    # The logs have no seam either: no step twice, none left out.
    assert (run / "sft" / "metrics.jsonl").read_bytes() == (finished[0] / "sft" / "metrics.jsonl").read_bytes()


def test_kill_between_writing_a_result_and_moving_it_loses_nothing(
    cli: Any, tiny: Path, run_copy: Path, finished: Any, weights: Any
) -> None:
    # The folder is whole under its working name, and the old one is already gone.
    (run_copy / "reward").rename(run_copy / "reward.partial")
    result = cli("run", tiny, "--dir", run_copy)
    assert result.returncode == 0, result.stderr
    assert not (run_copy / "reward.partial").exists()
    assert weights(run_copy) == weights(finished[0])
