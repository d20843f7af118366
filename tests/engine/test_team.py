"""One thread or a team: whichever was faster lately, and now and then the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from gptwright.engine.native.team import LAST_TRIAL, Pace


def taken(pace: Pace, steps: int, seconds: Callable[[bool], float]) -> list[bool]:
    """Which way each step went, when the ways take so long."""
    ways = []
    for _ in range(steps):
        ways.append(pace.choose())
        pace.see(ways[-1], seconds(ways[-1]))
    return ways


def test_both_are_tried_and_the_faster_one_is_kept() -> None:
    for faster in (True, False):
        ways = taken(Pace(), 4000, lambda team, faster=faster: 1.0 if team == faster else 3.0)  # type: ignore[misc]
        assert ways[:2] == [True, False]
        trials = [step for step, way in enumerate(ways[2:]) if way != faster]
        gaps = [b - a for a, b in itertools.pairwise(trials)]
        assert gaps[:3] == [16, 32, 64]
        assert max(gaps) == LAST_TRIAL


def test_a_team_that_has_to_wait_is_given_up_and_found_again() -> None:
    pace = Pace()
    assert sum(taken(pace, 100, lambda team: 1.0 if team else 2.0)) > 90
    crowded = taken(pace, 100, lambda team: 20.0 if team else 2.5)
    assert sum(crowded) < 10
    free = taken(pace, 300, lambda team: 1.0 if team else 2.0)
    assert sum(free[-100:]) > 90


def test_one_slow_step_changes_nothing_for_long() -> None:
    pace = Pace()
    taken(pace, 200, lambda team: 1.0 if team else 2.0)
    taken(pace, 1, lambda _: 30.0)
    assert sum(taken(pace, 100, lambda team: 1.0 if team else 2.0)) > 90
