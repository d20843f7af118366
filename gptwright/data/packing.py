"""Token streams cut into training rows: each token once an epoch, in an order that is a pure function of the seed.

A source's tokens are taken as a ring. In each epoch the ring is cut at another random place into rows of `context`
tokens, and the rows are dealt in random order. What is left over (less than one row) differs from epoch to epoch, and
so do the places where rows begin. One row an epoch may pass from the end of the source to its beginning.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gptwright.data.mixture import Mixture, PhasedMixture
from gptwright.errors import InputError

# An epoch's order is needed while its rows are drawn, and the next one's when a batch reaches into it.
KEPT_EPOCHS = 2


@dataclass(frozen=True)
class Finish:
    """Other proportions from one row on, for the end of training."""

    proportions: Mapping[str, float]
    first_row: int


class PackedCorpus:
    """Rows of `context` + 1 tokens from one or more token streams, mixed in fixed proportions.

    The extra token is the last target, and the next row's first input. Row i depends on the streams, the proportions
    and the seed alone, so a resumed run, or another rank, draws the same rows without saved state.
    """

    def __init__(
        self,
        streams: Mapping[str, np.ndarray],
        proportions: Mapping[str, float],
        *,
        context: int,
        seed: int,
        finish: Finish | None = None,
    ) -> None:
        self.mixture = Mixture(proportions, seed)
        self._order: Mixture | PhasedMixture = self.mixture
        if finish is not None:
            self._order = PhasedMixture(self.mixture, Mixture(finish.proportions, seed), finish.first_row)
        self.context = context
        self.seed = seed
        missing = [name for name in self._order.names if name not in streams]
        if missing:
            raise InputError(
                f"the mixture names {missing[0]!r}, which is no source here: use {', '.join(sorted(streams))}"
            )
        self._streams = [streams[name] for name in self._order.names]
        for name, stream in zip(self._order.names, self._streams, strict=True):
            if len(stream) < context + 1:
                raise InputError(
                    f"source {name!r} has {len(stream)} tokens, fewer than one row of context {context}: "
                    "add text to it, take a shorter context or remove it"
                )
        self._orders: list[OrderedDict[int, tuple[int, np.ndarray]]] = [OrderedDict() for _ in self._streams]

    def row(self, index: int) -> np.ndarray:
        """Row `index`: context + 1 ids as int64."""
        return self.rows(index, 1)[0]

    def rows(self, start: int, count: int) -> np.ndarray:
        """Rows start to start + count, (count, context + 1)."""
        ids_RT = np.empty((count, self.context + 1), dtype=np.int64)
        sources, turns = self._order.schedule(start, count)
        for ids_T, source, turn in zip(ids_RT, sources.tolist(), turns.tolist(), strict=True):
            self._fill_row(ids_T, source, turn)
        return ids_RT

    def batch(self, step: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of one training step, (batch_size, context) int64 each."""
        ids_BT = self.rows(step * batch_size, batch_size)
        return ids_BT[:, :-1], ids_BT[:, 1:]

    def epochs_for(self, total_tokens: int) -> dict[str, float]:
        """How often each source is gone through in `total_tokens` tokens of training."""
        lengths = {name: len(stream) for name, stream in zip(self._order.names, self._streams, strict=True)}
        if isinstance(self._order, Mixture):
            return self.mixture.epochs(total_tokens, lengths)
        before = min(total_tokens, self._order.border * self.context)
        first, second = self._order.phases
        found = dict.fromkeys(lengths, 0.0) | first.epochs(before, lengths)
        return found | {
            name: found[name] + epochs for name, epochs in second.epochs(total_tokens - before, lengths).items()
        }

    def _fill_row(self, ids_T: np.ndarray, source: int, turn: int) -> None:
        stream = self._streams[source]
        epoch, place = divmod(turn, len(stream) // self.context)
        cut, order = self._epoch_order(source, epoch)
        begin = (cut + int(order[place]) * self.context) % len(stream)
        before_end = min(len(ids_T), len(stream) - begin)
        ids_T[:before_end] = stream[begin : begin + before_end]
        ids_T[before_end:] = stream[: len(ids_T) - before_end]

    def _epoch_order(self, source: int, epoch: int) -> tuple[int, np.ndarray]:
        """Where the ring is cut in this epoch, and the order of the rows."""
        orders = self._orders[source]
        if epoch not in orders:
            length = len(self._streams[source])
            # The source's name, not its number: adding a source must not reshuffle the others.
            key = f"rows {self.seed} {self._order.names[source]} {epoch}"
            generator = np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "little"))
            orders[epoch] = int(generator.integers(length)), generator.permutation(length // self.context)
            while len(orders) > KEPT_EPOCHS:
                orders.popitem(last=False)
        return orders[epoch]
