"""Learning-rate schedules, worked by hand: 10 steps, 2 of them warmup, ending at a tenth of the peak."""

from __future__ import annotations

import pytest

from gptwright.recipe import OptimizerSettings
from gptwright.train.schedule import rate


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", {0: 0.5, 1: 1.0, 2: 1.0, 9: 1.0}),
        ("linear", {0: 0.5, 1: 1.0, 2: 1.0, 6: 0.55, 9: 0.2125}),  # progress 0, 4/8, 7/8
        ("cosine", {0: 0.5, 1: 1.0, 2: 1.0, 4: 0.8681981, 6: 0.55, 8: 0.2318019}),  # 0.55 +- 0.45 cos(pi/4)
        ("stable_decay", {0: 0.5, 1: 1.0, 5: 1.0, 6: 1.0, 7: 0.775, 9: 0.325}),  # the last 4 steps fall
    ],
)
def test_by_hand(schedule: str, expected: dict[int, float]) -> None:
    changes = {"decay": 0.4} if schedule == "stable_decay" else {}
    settings = OptimizerSettings(schedule=schedule, warmup=0.2, final=0.1, **changes)
    assert {step: rate(settings, step, 10) for step in expected} == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "stable_decay"])
@pytest.mark.parametrize("warmup", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("total", [1, 2, 7, 100])
def test_rises_once_then_never_rises_and_stays_between_0_and_1(schedule: str, warmup: float, total: int) -> None:
    settings = OptimizerSettings(schedule=schedule, warmup=warmup, final=0.0)
    rates = [rate(settings, step, total) for step in range(total)]
    peak = rates.index(max(rates))
    assert all(0 < value <= 1 for value in rates)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_decay_over_the_whole_run_begins_after_the_warmup() -> None:
    settings = OptimizerSettings(schedule="stable_decay", warmup=0.5, decay=1.0, final=0.0)
    assert [rate(settings, step, 4) for step in range(4)] == [0.5, 1.0, 1.0, 0.5]
