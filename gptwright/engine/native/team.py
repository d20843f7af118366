"""Threads that take a decoding step together, wherever that is faster than one alone.

A team waits for its slowest member some ten times a layer. On cores of its own it takes half the time of one thread;
where another program wants a core too, many times as long. So both ways are timed, and the faster one is taken: a step
gives the same bits either way.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import torch

WORTH_A_TEAM = 4_000_000
"""Products of a step below which one thread takes it alone: to begin another takes longer than its half."""
FIRST_TRIAL, LAST_TRIAL = 8, 512
"""Steps after which the slower way is tried again: more each time that it is still the slower one."""


@dataclass
class Pace:
    """Steps of about one size, either way: seconds a token as they were lately, and when the slower is tried next."""

    alone: float | None = None
    together: float | None = None
    left: int = FIRST_TRIAL
    between: int = FIRST_TRIAL

    def choose(self) -> bool:
        """Whether the next step is one for a team."""
        if self.alone is None or self.together is None:
            return self.together is None
        self.left -= 1
        return self._team_is_faster() != (self.left <= 0)

    def see(self, team: bool, seconds: float) -> None:
        """What a step took. One that took very long, as when another program begins, counts twice what was known."""
        trial, was_faster = self.left <= 0, self._team_is_faster()
        before = self.together if team else self.alone
        now = seconds if before is None or trial else (before + min(seconds, 2 * before)) / 2
        if team:
            self.together = now
        else:
            self.alone = now
        if self._team_is_faster() != was_faster:
            self.left = self.between = FIRST_TRIAL
        elif trial:
            self.left = self.between = min(2 * self.between, LAST_TRIAL)

    def _team_is_faster(self) -> bool:
        return self.alone is None or (self.together is not None and self.together < self.alone)


class Team:
    """As many threads as torch uses, the caller's among them; one step at a time."""

    def __init__(self, release: Callable[[object], None]) -> None:
        self.threads, self.release, self.lock = torch.get_num_threads(), release, threading.Lock()
        self.pool = ThreadPoolExecutor(max(1, self.threads - 1), thread_name_prefix="decoder")
        self.paces: dict[int, Pace] = {}

    def size(self, products: int, tokens: int) -> int:
        """How many threads should take a step of so many products a token."""
        threads = min(self.threads, torch.get_num_threads())  # fewer, where others work beside this one
        if threads == 1 or products * tokens < WORTH_A_TEAM:
            return 1
        return threads if self.paces.setdefault(tokens.bit_length(), Pace()).choose() else 1

    def run(self, part: Callable[[int], None], size: int, tokens: int, arrived: ctypes.c_int64) -> None:
        """`part(0)` to `part(size - 1)`, which wait for each other by `arrived`."""
        started = time.perf_counter()
        if size == 1:
            part(0)
        else:
            self._together(part, size, arrived)
        if pace := self.paces.get(tokens.bit_length()):
            pace.see(size > 1, (time.perf_counter() - started) / tokens)

    def _together(self, part: Callable[[int], None], size: int, arrived: ctypes.c_int64) -> None:
        others: list[Future[None]] = []
        with self.lock:
            try:
                others += [self.pool.submit(part, number) for number in range(1, size)]
                part(0)
            except BaseException:
                self.release(ctypes.byref(arrived))  # Ctrl-C came before the last part began: let the others end
                raise
            finally:
                wait(others)
