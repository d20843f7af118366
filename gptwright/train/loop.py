"""The one loop: resume, step, log, checkpoint, show progress.

A stage hands in `do_step(step)`, a function of the step number and the weights alone, and gets back a loop that can be
killed at any moment: on restart it goes on from the last checkpoint and ends at the same bits as a run that was never
interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from gptwright.train.checkpoint import Checkpoints, Trainee
from gptwright.train.distributed import ALONE, Ranks
from gptwright.train.progress import Progress
from gptwright.train.runlog import RunLog

Metrics = dict[str, float]

SAVING_SHARE = 0.1
"""Of the time, at most, that checkpoints take where they are slow to write."""


def run_loop(
    name: str,
    trainee: Trainee,
    do_step: Callable[[int], Metrics],
    *,
    total: int,
    folder: Path,
    log: RunLog,
    checkpoint_seconds: float,
    before_step: Callable[[int], None] | None = None,
    note: Callable[[Metrics], str] | None = None,
    ended: Callable[[], bool] | None = None,
    ranks: Ranks = ALONE,
) -> float:
    """Run steps up to `total` and return the seconds all of them took, those of earlier, killed processes included.

    `before_step(s)` is called with the weights after s steps, for s = 0..total: the place to measure and to print
    samples. Checkpoints go to `folder`, `checkpoint_seconds` apart or as much further as the time that writing them
    takes asks for. Of several ranks the first one's clock and log count. Once `ended` says so,
    which must follow from what checkpoints keep, no further step is done.
    """
    checkpoints = Checkpoints(folder, ranks)
    state = checkpoints.load_last(trainee)
    first, earlier = 0, 0.0
    if state is not None:
        first, earlier = state["step"], state["seconds"]
    log.rewind(state["logs"] if state else {})
    started = saved = time.monotonic()
    wait = checkpoint_seconds
    progress = Progress(name, total, first)
    last = first
    for step in range(first, total):
        if ended and ended():
            break
        if before_step:
            before_step(step)
        metrics = do_step(step)
        log.metrics({"step": step + 1, **metrics})
        progress.update(step + 1, note(metrics) if note else "")
        now, last = time.monotonic(), step + 1
        due = now - saved >= wait or last == total or bool(ended and ended())
        if ranks.gather(due)[0]:
            details = {"seconds": earlier + now - started, "logs": log.positions()}
            checkpoints.save(trainee, step + 1, details)
            saved = time.monotonic()
            if checkpoint_seconds:
                wait = max(checkpoint_seconds, (saved - now) * (1 - SAVING_SHARE) / SAVING_SHARE)
    if before_step:
        before_step(last)
    return earlier + time.monotonic() - started
