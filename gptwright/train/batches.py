"""Which examples make a batch, and batches made ahead of time.

The order is a pure function of (seed, epoch), so a resumed run needs only its step number.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np

B = TypeVar("B")


class Prefetch(Generic[B]):
    """Batches made by a thread one step ahead, while the device computes; `make` is a function of the step alone."""

    def __init__(self, make: Callable[[int], B]) -> None:
        self.make, self.thread = make, ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        self.ahead: dict[int, Future[B]] = {}

    def __call__(self, step: int) -> B:
        """Step `step`'s batch; raises what making it raised."""
        future = self.ahead.pop(step, None) or self.thread.submit(self.make, step)
        batch = future.result()
        self.ahead = {step + 1: self.thread.submit(self.make, step + 1)}
        return batch


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation of 0..count-1 for this epoch."""
    return np.random.default_rng((seed, epoch)).permutation(count)


def batch_indices(count: int, batch: int, seed: int, step: int) -> list[int]:
    """The examples of optimizer step `step`; every epoch is a fresh permutation, its last batch the remainder."""
    per_epoch = -(-count // batch)
    epoch, position = divmod(step, per_epoch)
    order = epoch_order(count, seed, epoch)
    return [int(index) for index in order[position * batch : (position + 1) * batch]]


def stream_indices(count: int, batch: int, seed: int, step: int) -> list[int]:
    """Like `batch_indices`, but every batch is full: one that reaches an epoch's end goes on in the next order."""
    places = [divmod(place, count) for place in range(step * batch, (step + 1) * batch)]
    orders = {epoch: epoch_order(count, seed, epoch) for epoch in {epoch for epoch, _ in places}}
    return [int(orders[epoch][index]) for epoch, index in places]
