"""Losses far above what was expected: noticed, and the batch behind them kept, so that a person can read it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from gptwright.train.progress import say
from gptwright.train.runlog import RunLog

DECAY = 0.95
"""Of the running mean and variance of the loss: about the last twenty steps."""
FIRST_STEPS = 40
"""Before this the loss falls too fast to expect anything."""
DEVIATIONS = 6.0
LEAST_RISE = 0.05
"""In nats: a smaller rise is none, however quiet the loss was."""
MOST_KEPT = 20
"""Batches of spikes, and as many of losses that were not finite."""
LASTING = 5
"""Spikes in a row after which what was expected is taken from the loss: the text has changed, not one batch."""


class SpikeWatch:
    """Sees every step's loss. Its numbers lie in `counters`, which checkpoints keep: a resumed run expects the same."""

    def __init__(self, log: RunLog, counters: dict[str, float]) -> None:
        self.log, self.counters = log, counters
        for name in ("loss_mean", "loss_variance", "spikes"):
            counters.setdefault(name, 0.0)

    def see(self, step: int, loss: float, batch: Callable[[], np.ndarray], *, skipped: bool) -> bool:
        """Whether this step's loss is a spike or not finite; then spikes.jsonl gets a row with the batch's ids."""
        counters = self.counters
        mean, deviation = counters["loss_mean"], math.sqrt(counters["loss_variance"])
        rise = max(DEVIATIONS * deviation, LEAST_RISE)
        spike = skipped or not math.isfinite(loss) or (step >= FIRST_STEPS and loss > mean + rise)
        finite = math.isfinite(loss) and not skipped
        if spike:
            kind = "spikes" if finite else "not_finite"
            counters[kind] = counters.get(kind, 0.0) + 1
            if counters[kind] <= MOST_KEPT:
                self._keep(step, loss, mean, batch(), skipped=skipped)
        in_a_row = counters.get("spikes_in_a_row", 0.0) + 1 if spike and finite else 0.0
        counters["spikes_in_a_row"] = in_a_row
        if in_a_row == LASTING:
            counters["loss_mean"] = loss
        elif not spike:
            share = 1 - DECAY if step else 1.0
            off = loss - mean
            counters["loss_mean"] += share * off
            counters["loss_variance"] = (1 - share) * (counters["loss_variance"] + share * off * off) if step else 0.0
        return spike

    def _keep(self, step: int, loss: float, expected: float, ids: np.ndarray, *, skipped: bool) -> None:
        shown = loss if math.isfinite(loss) else None
        row = {"step": step, "loss": shown, "expected": expected, "skipped": skipped, "ids": ids.tolist()}
        self.log.write("spikes.jsonl", row)
        what = "was not finite" if skipped else f"has loss {loss:.3f} where {expected:.3f} was expected"
        say(f"  step {step} {what}: its batch is kept in spikes.jsonl")
