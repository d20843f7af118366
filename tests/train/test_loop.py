"""The loop: killed anywhere, it ends at the same bits and the same logs as a run that never was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gptwright.train.checkpoint import Checkpoints

NewProcess = Callable[..., Any]


@pytest.fixture
def unbroken(new_process: NewProcess) -> Any:
    job = new_process("unbroken")
    job.run(checkpoint_seconds=1e9)
    return job


def assert_same_end(job: Any, unbroken: Any) -> None:
    bits, wanted = job.bits(), unbroken.bits()
    assert bits.keys() == wanted.keys()
    assert [key for key in wanted if not torch.equal(bits[key], wanted[key])] == []
    assert job.trainee.counters == unbroken.trainee.counters
    assert job.logs() == unbroken.logs()


def test_unbroken_run_takes_every_step_once_and_logs_it(unbroken: Any) -> None:
    assert unbroken.steps_done == list(range(12))
    rows = [json.loads(line) for line in unbroken.logs()["metrics.jsonl"].splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 13))
    samples = [json.loads(line)["step"] for line in unbroken.logs()["samples.jsonl"].splitlines()]
    assert samples == [0, 4, 8, 12]


@pytest.mark.parametrize("step", [0, 1, 5, 11])
def test_killed_after_its_gradient_step(new_process: NewProcess, unbroken: Any, step: int) -> None:
    new_process().killed(die_after_step=step)
    again = new_process()
    again.run()
    assert again.steps_done == list(range(step, 12))
    assert_same_end(again, unbroken)


@pytest.mark.parametrize("step", [0, 4, 8, 12])
def test_killed_while_measuring(new_process: NewProcess, unbroken: Any, step: int) -> None:
    new_process().killed(die_before=step)
    again = new_process()
    again.run()
    assert_same_end(again, unbroken)


def test_killed_twice_with_logs_ahead_of_the_checkpoint(new_process: NewProcess, unbroken: Any) -> None:
    """The second process writes no checkpoint: its rows for steps 4 to 8 must go before the third writes them anew."""
    new_process().killed(die_after_step=3)
    new_process().killed(die_after_step=9, checkpoint_seconds=1e9)
    again = new_process()
    again.run()
    assert again.steps_done == list(range(3, 12))
    assert_same_end(again, unbroken)


def test_killed_before_the_first_checkpoint(new_process: NewProcess, unbroken: Any) -> None:
    new_process().killed(die_after_step=5, checkpoint_seconds=1e9)
    again = new_process()
    again.run()
    assert again.steps_done == list(range(12))
    assert_same_end(again, unbroken)


def test_killed_in_the_middle_of_a_row_and_of_a_checkpoint(
    new_process: NewProcess, unbroken: Any, tmp_path: Path
) -> None:
    new_process().killed(die_after_step=6)
    with (tmp_path / "run" / "log" / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 7, "lo')
    leftover = tmp_path / "run" / "writing-00000007"
    leftover.mkdir()
    (leftover / "state.safetensors").write_bytes(b"half")
    again = new_process()
    again.run()
    assert not leftover.exists()
    assert_same_end(again, unbroken)


def test_finished_job_started_again_does_nothing(new_process: NewProcess, unbroken: Any) -> None:
    again = new_process("unbroken")
    again.run()
    assert again.steps_done == []
    assert_same_end(again, unbroken)


def test_time_of_killed_processes_counts(new_process: NewProcess, tmp_path: Path) -> None:
    new_process().killed(die_after_step=6)
    state = tmp_path / "run" / "step-00000006" / "state.json"
    values = json.loads(state.read_text(encoding="utf-8"))
    state.write_text(json.dumps(values | {"seconds": 1000.0}), encoding="utf-8")
    assert 1000 < new_process().run() < 1100


def test_checkpoints_that_are_slow_to_write_are_further_apart(
    new_process: NewProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a clock by which a step takes one second and a checkpoint four: every four seconds would be all the time."""
    seconds, saved = 0.0, list[int]()
    job = new_process()
    do_step, save = job.do_step, Checkpoints.save

    def one_second(step: int) -> Any:
        nonlocal seconds
        seconds += 1
        return do_step(step)

    def four_seconds(checkpoints: Checkpoints, trainee: Any, step: int, details: Any) -> None:
        nonlocal seconds
        seconds += 4
        saved.append(step)
        save(checkpoints, trainee, step, details)

    monkeypatch.setattr("gptwright.train.loop.time", SimpleNamespace(monotonic=lambda: seconds))
    monkeypatch.setattr("gptwright.train.loop.SAVING_SHARE", 0.5)
    monkeypatch.setattr(Checkpoints, "save", four_seconds)
    job.do_step = one_second
    job.run(checkpoint_seconds=3.0)
    assert saved == [3, 7, 11, 12]
