"""What counts as a spike, what is kept of it, and that a resumed watch expects what the first one did."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from gptwright.train.runlog import RunLog
from gptwright.train.spikes import FIRST_STEPS, LASTING, MOST_KEPT, SpikeWatch

BATCH = np.array([[1, 2, 3]])


def kept(folder: Path) -> list[dict[str, object]]:
    path = folder / "spikes.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def fed(watch: SpikeWatch, first: int, steps: int) -> list[bool]:
    """Losses that wander by 0.1 around 2."""
    losses = 2 + 0.1 * np.random.default_rng(0).standard_normal(1000)
    return [watch.see(step, float(losses[step]), lambda: BATCH, skipped=False) for step in range(first, first + steps)]


def test_noise_is_no_spike_and_a_jump_is(tmp_path: Path) -> None:
    watch = SpikeWatch(RunLog(tmp_path), {})
    assert not any(fed(watch, 0, 300))
    assert watch.see(300, 3.5, lambda: BATCH, skipped=False)
    (row,) = kept(tmp_path)
    assert (row["step"], row["loss"], row["skipped"], row["ids"]) == (300, 3.5, False, [[1, 2, 3]])
    assert abs(float(str(row["expected"])) - 2) < 0.1
    assert not any(fed(watch, 301, 50)), "the jump itself must not become what is expected"


def test_a_loss_that_stays_high_is_what_is_expected_then(tmp_path: Path) -> None:
    watch = SpikeWatch(RunLog(tmp_path), {})
    fed(watch, 0, 300)
    after = [watch.see(step, 4 + 0.1 * (step % 2), lambda: BATCH, skipped=False) for step in range(300, 400)]
    assert all(after[:LASTING]) and not any(after[LASTING:])
    assert watch.see(400, 5.5, lambda: BATCH, skipped=False)
    # However many spikes there were, what is not finite is kept.
    for step in range(401, 400 + 10 * MOST_KEPT):
        watch.see(step, 4.0 if step % 2 else 40.0, lambda: BATCH, skipped=False)
    before = len(kept(tmp_path))
    watch.see(1000, float("nan"), lambda: BATCH, skipped=True)
    assert len(kept(tmp_path)) == before + 1


def test_a_loss_that_is_not_finite_is_kept_at_any_step(tmp_path: Path) -> None:
    watch = SpikeWatch(RunLog(tmp_path), {})
    assert watch.see(3, float("nan"), lambda: BATCH, skipped=True)
    assert kept(tmp_path) == [{"step": 3, "loss": None, "expected": 0.0, "skipped": True, "ids": [[1, 2, 3]]}]


def test_the_first_steps_expect_nothing(tmp_path: Path) -> None:
    watch = SpikeWatch(RunLog(tmp_path), {})
    fed(watch, 0, FIRST_STEPS - 1)
    assert not watch.see(FIRST_STEPS - 1, 9.0, lambda: BATCH, skipped=False)


def test_a_watch_with_the_stored_counters_goes_on_as_the_first(tmp_path: Path) -> None:
    whole, first = {}, {}  # type: dict[str, float], dict[str, float]
    fed(SpikeWatch(RunLog(tmp_path), whole), 0, 200)
    fed(SpikeWatch(RunLog(tmp_path), first), 0, 90)
    fed(SpikeWatch(RunLog(tmp_path), first), 90, 110)
    assert first == whole


def test_a_run_gone_wild_does_not_fill_the_disk(tmp_path: Path) -> None:
    watch = SpikeWatch(RunLog(tmp_path), {})
    for step in range(3 * MOST_KEPT):
        watch.see(step, float("inf"), lambda: BATCH, skipped=True)
    assert len(kept(tmp_path)) == MOST_KEPT
    assert watch.counters["not_finite"] == 3 * MOST_KEPT
