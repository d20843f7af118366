"""Which source each training row comes from: exact shares over any stretch, and no state to save.

The schedule solves the chairman assignment problem with Tijdeman's algorithm (Discrete Mathematics 32, 1980): after
any number of rows, each source has had its share of them to within one row. A random draw would be off by the square
root of the rows, which is most of a small source.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from gptwright.errors import InputError

BLOCK = 16_384
"""Rows that are worked out together."""
KEPT_BLOCKS = 64


class Mixture:
    """Sources in fixed shares; row i's source is a pure function of the proportions, the seed and i.

    The seed decides which of two sources goes first when both are due. The schedule is worked out from row 0 on demand
    (about a microsecond a row and source, once per process) in blocks. Of all of them it is kept how often each source
    has had its turn before, of the last ones the rows.
    """

    def __init__(self, proportions: Mapping[str, float], seed: int) -> None:
        if not proportions:
            raise InputError("a mixture needs one source or more: name them with their proportions")
        for name, share in proportions.items():
            if not (math.isfinite(share) and share > 0):
                raise InputError(
                    f"proportion {share} of source {name!r} is not above 0: give a positive one or remove it"
                )
        self.names = tuple(sorted(proportions))
        total = math.fsum(proportions.values())
        self.shares = tuple(proportions[name] / total for name in self.names)
        self._precedence = random.Random(f"mixture {seed}").sample(range(len(self.names)), len(self.names))
        self._counts = [(0,) * len(self.names)]
        self._block = lru_cache(KEPT_BLOCKS)(self._work_out)

    def source_at(self, position: int) -> str:
        """The source of one row."""
        sources, _ = self.schedule(position, 1)
        return self.names[sources[0]]

    def schedule(self, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """For rows start to start + count: the index of each one's source, and which turn of that source it is."""
        if len(self.names) == 1:
            return np.zeros(count, dtype=np.int16), np.arange(start, start + count)
        if not count:
            return np.empty(0, dtype=np.int16), np.empty(0, dtype=np.int64)
        first, last = start // BLOCK, (start + count - 1) // BLOCK
        blocks = [self._block(block) for block in range(first, last + 1)]
        sources, turns = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        begin = start - first * BLOCK
        return sources[begin : begin + count], turns[begin : begin + count]

    def turns_before(self, position: int) -> dict[str, int]:
        """How many of the rows before `position` each source has had."""
        if len(self.names) == 1:
            return {self.names[0]: position}
        self._reach(position // BLOCK)
        counts = np.array(self._counts[position // BLOCK])
        sources, _ = self.schedule(position - position % BLOCK, position % BLOCK)
        return dict(zip(self.names, (counts + np.bincount(sources, minlength=len(counts))).tolist(), strict=True))

    def epochs(self, tokens_needed: int, tokens_available: Mapping[str, int]) -> dict[str, float]:
        """How often each source is gone through when `tokens_needed` tokens are drawn."""
        return {
            name: tokens_needed * share / tokens_available[name]
            for name, share in zip(self.names, self.shares, strict=True)
        }

    def _reach(self, block: int) -> None:
        while len(self._counts) <= block:
            self._work_out(len(self._counts) - 1)

    def _work_out(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        self._reach(block)
        counts, shares, order = list(self._counts[block]), self.shares, self._precedence
        slack = 1 / (2 * len(shares) - 2)
        sources, turns = [], []
        for row in range(block * BLOCK + 1, (block + 1) * BLOCK + 1):
            chosen, earliest = order[0], math.inf
            for source in order:
                owed = row * shares[source] - counts[source]
                deadline = (1 - slack - owed) / shares[source]
                if owed >= slack - 1e-9 and deadline < earliest - 1e-9:
                    chosen, earliest = source, deadline
            sources.append(chosen)
            turns.append(counts[chosen])
            counts[chosen] += 1
        if len(self._counts) == block + 1:
            self._counts.append(tuple(counts))
        return np.array(sources, dtype=np.int16), np.array(turns, dtype=np.int64)


class PhasedMixture:
    """One mixture up to row `border`, another from there on; a source of both goes on where it stopped, so that nothing
    is read again before the whole of it was. As pure a function of the row as either.
    """

    def __init__(self, first: Mixture, second: Mixture, border: int) -> None:
        self.names = tuple(sorted({*first.names, *second.names}))
        self.border, self.phases = border, (first, second)
        self._places = [np.array([self.names.index(name) for name in phase.names]) for phase in self.phases]
        taken = first.turns_before(border)
        self._taken = np.array([taken.get(name, 0) for name in second.names])

    def schedule(self, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """As `Mixture.schedule`; sources are numbered as in `names`, those of both phases together."""
        before = min(max(self.border - start, 0), count)
        first, first_turns = self.phases[0].schedule(start, before)
        second, second_turns = self.phases[1].schedule(max(start - self.border, 0), count - before)
        sources = np.concatenate([self._places[0][first], self._places[1][second]])
        return sources, np.concatenate([first_turns, second_turns + self._taken[second]])
