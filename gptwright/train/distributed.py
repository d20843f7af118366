"""The processes that torchrun started, as one group: who they are, what one does for all, what all must have alike.

`Ranks()` is one process by itself; every method then costs nothing. Tensors travel over NCCL between GPUs and over gloo
between CPUs; words, numbers and waiting always over gloo, since rank 0 may build a corpus for hours while the others
wait.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from gptwright import launch
from gptwright.errors import InputError, RunError
from gptwright.train.machine import device_for

WAIT = timedelta(days=14)
"""How long ranks wait for what rank 0 does alone. One that ends wakes the others at once."""
TENSOR_WAIT = timedelta(minutes=30)
"""How long a rank waits for the others' gradients; after that one of them hangs."""
SLOW = 1.2
"""A rank that takes this many times the median rank's time is told."""

LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Timed out waiting")
"""What gloo says when another rank has gone."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Ranks:
    """`size` processes, of which this is number `rank`."""

    rank: int = 0
    size: int = 1
    group: Any = None
    """The gloo group over which words and numbers are exchanged; None for one process."""
    parent: int = 0
    """Process id of the torchrun that started this rank."""

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes, measures and talks."""
        return self.rank == 0

    def of_first(self, work: Callable[[], Result]) -> Result:
        """Have rank 0 do `work` alone; all others wait and get what it returned.

        Raises what `work` raised on rank 0, and RunError on the others.
        """
        if self.size == 1:
            return work()
        outcome: list[Any] = [None, False]
        if self.first:
            try:
                outcome = [work(), True]
            finally:  # those that wait must be told of a failure too
                self._broadcast(outcome)
        else:
            self._broadcast(outcome)
            if not outcome[1]:
                raise RunError("rank 0 has failed and says why")
        result: Result = outcome[0]
        return result

    def gather(self, value: Result) -> list[Result]:
        """Every rank's value, in order of rank, on every rank. Raises RunError when torchrun was killed."""
        if self.size == 1:
            return [value]
        if os.getppid() != self.parent:  # torchrun could not end its ranks, and the next ones would meet these
            raise RunError("torchrun has ended, and so does this rank; the same command resumes")
        found: list[Any] = [None] * self.size
        with others_alive():
            dist.all_gather_object(found, value, group=self.group)
        return found

    def check_same(self, mine: Mapping[str, str]) -> None:
        """Refuse to go on when a rank's value for a name, such as 'recipe', is not rank 0's.

        Raises InputError on the rank that differs, and RunError naming it on the others.
        """
        everyone = self.gather(dict(mine))
        for number, theirs in enumerate(everyone):
            differing = [name for name, value in everyone[0].items() if theirs.get(name) != value]
            if not differing:
                continue
            what, of_first, other = differing[0], everyone[0][differing[0]], theirs.get(differing[0], "none")
            if number == self.rank:
                raise InputError(
                    f"its {what} is not rank 0's ({other} and {of_first}): start all ranks with the same command, the "
                    "same gptwright and a run folder that all of them see"
                )
            raise RunError(f"the {what} of rank {number} is not rank 0's ({other} and {of_first})")

    def shared_out(self, items: Sequence[Item], work: Callable[[Sequence[Item]], Sequence[Result]]) -> list[Result]:
        """`work`'s result for each item, in order, on every rank; each rank does an equal part of them."""
        start, end = (len(items) * rank // self.size for rank in (self.rank, self.rank + 1))
        mine = list(work(items[start:end])) if end > start else []
        return [result for part in self.gather(mine) for result in part]

    def combine(self, parameters: Sequence[torch.Tensor], loss: float) -> float:
        """After backward: add up gradients and loss over the ranks, of which some may have had nothing to do."""
        if self.size == 1:
            return loss
        everyone = self.gather((loss, [parameter.grad is not None for parameter in parameters]))
        learning = [each for i, each in enumerate(parameters) if any(has[i] for _, has in everyone)]
        for parameter in learning:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.sum_tensors([parameter.grad for parameter in learning if parameter.grad is not None])
        return sum(each for each, _ in everyone)

    def sum_tensors(self, tensors: Sequence[torch.Tensor]) -> None:
        """Add up each tensor over the ranks, in place; every rank ends with the same bits."""
        if self.size == 1:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.flatten() for tensor in bucket])
            with others_alive():
                dist.all_reduce(flat)
            for tensor, part in zip(bucket, flat.split([tensor.numel() for tensor in bucket]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def take_from_first(self, tensors: Sequence[torch.Tensor]) -> None:
        """Overwrite each tensor with rank 0's."""
        if self.size > 1:
            for tensor in tensors:
                with others_alive():
                    dist.broadcast(tensor, src=0)

    def _broadcast(self, values: list[Any]) -> None:
        with others_alive():
            dist.broadcast_object_list(values, src=0, group=self.group)


ALONE = Ranks()
"""One process, as without torchrun."""
BUCKET_ELEMENTS = 1 << 25
"""Gradients are sent in pieces of about 128 MB: few enough to be fast, small enough to need little memory."""


def _buckets(tensors: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    bucket: list[torch.Tensor] = []
    for tensor in tensors:
        if bucket and sum(each.numel() for each in bucket) + tensor.numel() > BUCKET_ELEMENTS:
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


@contextmanager
def others_alive() -> Iterator[None]:
    """Tell a person, not a programmer, that another rank has gone away in the middle of an exchange."""
    try:
        yield
    except RuntimeError as error:  # gloo raises no narrower one
        if not (isinstance(error, dist.DistError) or any(words in str(error) for words in LOST)):
            raise
        reason = str(error).splitlines()[0]
        raise RunError(
            "another rank has ended or does not answer: its own message says why, and the same command resumes "
            f"({reason})"
        ) from error


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """The ranks that torchrun started, connected while the block runs; without torchrun, one.

    `device` is machine.device. Raises InputError when this machine has fewer CUDA devices than processes.
    """
    if launch.world_size() == 1:
        yield ALONE
        return
    cuda = device_for(device) == "cuda"
    if cuda:
        if torch.cuda.device_count() < launch.local_world_size():
            raise InputError(
                f"torchrun started {launch.local_world_size()} processes where there are {torch.cuda.device_count()} "
                f"CUDA devices: use --nproc_per_node {torch.cuda.device_count()}"
            )
        torch.cuda.set_device(launch.local_rank())  # from here on "cuda" is this rank's own
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if cuda else "gloo",
        timeout=TENSOR_WAIT,
        device_id=torch.device("cuda", launch.local_rank()) if cuda else None,
    )
    yield Ranks(launch.rank(), launch.world_size(), dist.new_group(backend="gloo", timeout=WAIT), os.getppid())
    # Not after an error: the others may be in the middle of an exchange that would never end.
    dist.destroy_process_group()


class StragglerWatch:
    """Finds the rank that keeps the others waiting, from the seconds that each needed by itself."""

    def __init__(self, every: int = 100) -> None:
        self.every = every
        """Steps between two looks."""
        self.seconds: list[list[float]] = []

    def see(self, seconds: list[float]) -> str | None:
        """Take in one step's seconds of every rank; now and then, a sentence if one is slow."""
        self.seconds.append(seconds)
        if len(self.seconds) < self.every:
            return None
        means = [statistics.fmean(each) for each in zip(*self.seconds, strict=True)]
        self.seconds = []
        return straggler(means)


def straggler(seconds: Sequence[float]) -> str | None:
    """[0.5, 0.5, 1.0] -> a sentence that names rank 2; None when no rank takes `SLOW` times the median's time."""
    slowest = max(range(len(seconds)), key=seconds.__getitem__)
    median = statistics.median_low(seconds)
    if seconds[slowest] <= SLOW * median:
        return None
    return (
        f"rank {slowest} is slow: {seconds[slowest]:.3f} s of its own work a step where the median rank takes "
        f"{median:.3f} s, and all others wait for it"
    )
