"""Batches of sequences of unequal length: which examples belong together, and how they become tensors.

The order is a pure function of (seed, epoch), so a resumed run needs only its step number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

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


def length_buckets(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Split indices into groups of similar length, each at most `max_tokens` when padded to its longest member."""
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if groups and (len(groups[-1]) + 1) * lengths[index] <= max_tokens:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def pad_right(rows: Sequence[Sequence[int]], fill: int) -> tuple[Tensor, Tensor]:
    """Ids (B, T) padded on the right and the mask of real tokens (B, T), from lengths and never from the fill value."""
    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), fill, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.bool)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[index, : len(row)] = True
    return ids, mask
