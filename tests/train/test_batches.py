"""Which examples make a batch, and the tensors they become."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptwright.train.batches import Prefetch, batch_indices, epoch_order


@given(count=st.integers(1, 60), batch=st.integers(1, 20), seed=st.integers(0, 5))
def test_every_epoch_holds_each_example_once(count: int, batch: int, seed: int) -> None:
    per_epoch = -(-count // batch)
    for epoch in range(3):
        batches = [batch_indices(count, batch, seed, epoch * per_epoch + i) for i in range(per_epoch)]
        assert sorted(index for each in batches for index in each) == list(range(count))
        assert all(len(each) == batch for each in batches[:-1])


def test_order_is_a_function_of_seed_and_epoch() -> None:
    assert epoch_order(50, 1, 0).tolist() == epoch_order(50, 1, 0).tolist()
    orders = {tuple(epoch_order(50, seed, epoch).tolist()) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_an_epochs_first_place_goes_to_every_example_alike() -> None:
    first = [batch_indices(4, 1, seed, 0)[0] for seed in range(2000)]
    assert all(400 < first.count(index) < 600 for index in range(4))


def test_prefetched_batches_are_those_of_their_steps_in_any_order() -> None:
    made: list[int] = []

    def make(step: int) -> str:
        made.append(step)
        return f"batch {step}"

    batch = Prefetch(make)
    assert [batch(step) for step in (0, 1, 2, 7, 3)] == [f"batch {step}" for step in (0, 1, 2, 7, 3)]
    batch.thread.shutdown()
    assert made == [0, 1, 2, 3, 7, 8, 3, 4]


def test_what_making_a_batch_raises_is_raised_when_it_is_asked_for() -> None:
    def make(step: int) -> int:
        return 1 // (2 - step)

    batch = Prefetch(make)
    assert [batch(0), batch(1)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        batch(2)
