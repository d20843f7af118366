"""Threads that take a decoding step together, wherever that is faster than one alone.

A team waits for its slowest member some ten times a layer. On cores of its own it takes half the time of one thread;
where another program wants a core too, many times as long. So both ways are timed, and the faster one is taken: a step
gives the same bits either way.
"""

from __future__ import annotations

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
    """How many threads take a step, by its size: one, or as many as torch uses."""

    def __init__(self) -> None:
        self.paces: dict[int, Pace] = {}

    def size(self, products: int, tokens: int) -> int:
        """For a step of so many products a token."""
        threads = torch.get_num_threads()  # one, where others work beside this one
        if threads == 1 or products * tokens < WORTH_A_TEAM:
            return 1
        return threads if self.paces.setdefault(tokens.bit_length(), Pace()).choose() else 1

    def see(self, size: int, tokens: int, seconds: float) -> None:
        """What a step of that size took."""
        if pace := self.paces.get(tokens.bit_length()):
            pace.see(size > 1, seconds / tokens)
