"""Threads that work side by side, each with its share of the cores.

The operations of a small model are too small for many cores: what one core has written the next operation reads on
another, and all wait for the last. Whole batches in each thread share nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def same_threads_everywhere() -> None:
    """Say once more how many threads there are. Until it is said, which lanes do, MKL decides for itself how many a
    product takes, and so its last bits: a stage that begins a process would end otherwise than behind one that samples.
    """
    torch.set_num_threads(torch.get_num_threads())


class Lanes:
    """`count` threads; torch works in each of them with its share of the threads that it has now.

    set_num_threads holds for the thread that calls it, but for MKL and for threads that have not begun: so it is called
    once more by the caller, when all have made their call.
    """

    def __init__(self, count: int) -> None:
        self.count, threads = count, torch.get_num_threads()
        ready = threading.Barrier(count + 1)

        def begin() -> None:
            torch.set_num_threads(max(1, threads // count))
            torch.get_num_threads()  # a thread's first call takes over what the last one, in whatever thread, has set
            ready.wait()

        self.pool = ThreadPoolExecutor(count, initializer=begin, thread_name_prefix="lane")
        for _ in range(count):
            self.pool.submit(int)
        ready.wait()
        torch.set_num_threads(threads)
        self.warm = False

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """`work` on every item, in order. What one of them raises is raised here, and nothing new is begun."""
        futures = [self.pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise

    def first_alone(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """`map`, but at its first call one item after the other: what compiles is compiled once."""
        if self.warm:
            return self.map(work, items)
        self.warm = True
        return [self.pool.submit(work, item).result() for item in items]

    def close(self) -> None:
        """End the threads once they have done what they began."""
        self.pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def side_by_side(work: Callable[[Item], Any], items: Iterable[Item], lanes: int) -> None:
    """`work` on every item, `lanes` of them at a time."""
    items = list(items)
    if min(lanes, len(items)) < 2:
        for item in items:
            work(item)
        return
    with Lanes(lanes) as threads:
        threads.map(work, items)
