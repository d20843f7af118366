"""Logs that a resumed run continues without a seam, and the progress line."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptwright.train.progress import Progress, Tally, clock
from gptwright.train.runlog import RunLog


def test_rewind_cuts_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.metrics({"step": 1})
    log.write("samples.jsonl", {"text": "café"})  # two bytes for one character: positions are bytes
    positions = log.positions()
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    log.metrics({"step": 2})
    log.write("samples.jsonl", {"text": "late"})
    log.write("new.jsonl", {"step": 2})
    log.rewind(positions)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept | {"new.jsonl": b""}


def test_what_is_no_number_is_null(tmp_path: Path) -> None:
    RunLog(tmp_path).metrics({"step": 3, "loss": float("nan"), "grad_norm": float("inf"), "lr": 0.5})
    line = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8")
    assert line == '{"step": 3, "loss": null, "grad_norm": null, "lr": 0.5}\n'


def test_rewind_to_nothing_empties_every_log(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.metrics({"step": 1})
    log.rewind({})
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""


def test_rewind_never_lengthens_a_log(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.metrics({"step": 1})
    size = log.positions()["metrics.jsonl"]
    log.rewind({"metrics.jsonl": size + 50})
    assert log.positions() == {"metrics.jsonl": size}


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (95, "1:35"), (3723, "1:02:03"), (59.6, "1:00"), (-3, "0:00")]
)
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_a_log_gets_one_line_at_the_end_however_fast_the_steps_are(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("sft", 50)
    progress.update(1, "loss 3")  # the first one tells that it works
    for done in range(2, 51):
        progress.update(done, f"loss {done}")
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 2
    assert lines[-1].split()[:3] == ["sft", "50/50", "100%"]
    assert lines[-1].endswith("loss 50")


def test_time_left_is_told_without_the_first_step_which_may_compile(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("gptwright.train.progress.time.monotonic", lambda: now)
    progress = Progress("sft", 100, 20)
    for now, done in ((1090.0, 21), (1110.0, 31)):  # noqa: B007
        progress.update(done)
    first, second = capsys.readouterr().err.splitlines()
    assert "left" not in first
    assert "2:18 left" in second  # 69 steps of 2 seconds each


def test_a_stream_tells_its_time_left_from_the_part_behind(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("gptwright.train.progress.time.monotonic", lambda: now)
    tally = Tally("corpus")
    for now, share in ((1020.0, 0.5), (1040.0, 0.6), (1060.0, None), (1080.0, 1.0)):  # noqa: B007
        tally.update(10.0, "MB of text", "books", share=share)
    first, second, third, last = capsys.readouterr().err.splitlines()
    assert "left" not in first + third + last  # a resumed stream begins in its middle
    assert "1:20 left  books" in second  # a tenth took 20 seconds
