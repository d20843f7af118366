"""Which of several processes this one is, as torchrun tells it: `torchrun --nproc_per_node 2 -m gptwright ...`.

    RANK         number of this process, from 0          LOCAL_RANK        the same among those of this machine
    WORLD_SIZE   how many there are                      LOCAL_WORLD_SIZE  how many of them are on this machine

Without torchrun there is one, rank 0. Only the environment is read here; `train/distributed.py` connects the processes.
"""

from __future__ import annotations

import os


def rank() -> int:
    return int(os.environ.get("RANK", "0")) if world_size() > 1 else 0


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))


def local_world_size() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def named(message: str) -> str:
    """'disk full' -> 'rank 1: disk full' where there are several processes."""
    return f"rank {rank()}: {message}" if world_size() > 1 else message
