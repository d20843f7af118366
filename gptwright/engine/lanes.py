"""Batches generated side by side: the operations of one decoding step are too small to keep several cores busy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")


def lane_count(device: torch.device) -> int:
    """How many batches to generate at the same time: on a CPU one for each core that torch would use."""
    return torch.get_num_threads() if device.type == "cpu" else 1


def side_by_side(work: Callable[[Item], None], items: Sequence[Item], lanes: int) -> None:
    """`work` on every item, `lanes` of them at a time, each on one core. What one of them raises is raised here."""
    threads = torch.get_num_threads()
    if min(lanes, len(items)) < 2:
        for item in items:
            work(item)
        return
    # set_num_threads holds for the thread that calls it, but for MKL's products, where it holds for all.
    pool = ThreadPoolExecutor(lanes, initializer=torch.set_num_threads, initargs=(1,))
    try:
        for future in [pool.submit(work, item) for item in items]:
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)  # after an error or Ctrl-C nothing new is begun
        torch.set_num_threads(threads)
