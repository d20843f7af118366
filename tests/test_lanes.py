"""Batches side by side: all done, each on one core, and an error or the thread count never lost."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from gptwright.lanes import Lanes, side_by_side


@pytest.mark.parametrize(("lanes", "items"), [(1, 3), (2, 1), (2, 7), (3, 7)])
def test_every_item_is_worked_on_once_and_threads_stay_as_they_were(lanes: int, items: int) -> None:
    before, seen = torch.get_num_threads(), list[int]()
    side_by_side(seen.append, range(items), lanes)
    assert sorted(seen) == list(range(items))
    assert torch.get_num_threads() == before


def test_lanes_work_at_the_same_time_on_one_core_each() -> None:
    meeting, threads = threading.Barrier(2, timeout=60), list[int]()

    def work(_: int) -> None:
        meeting.wait()  # breaks after a minute if the other never comes
        threads.append(torch.get_num_threads())

    side_by_side(work, range(2), lanes=2)
    assert threads == [1, 1]


def test_an_error_is_raised_and_nothing_new_is_begun() -> None:
    before, begun = torch.get_num_threads(), list[int]()

    def work(item: int) -> None:
        begun.append(item)
        if item == 0:
            raise ValueError("the first is bad")
        time.sleep(0.05)

    with pytest.raises(ValueError, match="the first is bad"):
        side_by_side(work, range(100), lanes=2)
    assert len(begun) < 100
    assert torch.get_num_threads() == before


def test_results_come_in_order_and_the_first_time_one_by_one() -> None:
    running, most = 0, list[int]()

    def work(item: int) -> int:
        nonlocal running
        running += 1
        most.append(running)
        time.sleep(0.02)
        running -= 1
        return item * item

    with Lanes(2) as lanes:
        assert lanes.first_alone(work, range(4)) == [0, 1, 4, 9]
        assert max(most) == 1
        assert lanes.first_alone(work, range(4)) == [0, 1, 4, 9]
        assert max(most) == 2


def test_each_lane_has_its_share_of_the_threads() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        with Lanes(2) as lanes:
            assert lanes.map(lambda _: torch.get_num_threads(), range(2)) == [2, 2]
            assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
