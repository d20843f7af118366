"""datatrove's local executor without its log on the screen, and without waiting for a process that is gone. Needs the
extra `data`.

Import it only where something is cleaned: it loads datatrove.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from copy import deepcopy

import dill
from datatrove.executor import LocalPipelineExecutor
from datatrove.utils.stats import PipelineStats
from loguru import logger

from gptwright.errors import RunError
from gptwright.processes import end_with_parent

PRELOADED = ["gptwright.cleaning.quiet_local", "gptwright.cleaning.rules", "datatrove.pipeline.filters"]


class QuietLocalExecutor(LocalPipelineExecutor):
    """Every worker is a process of its own, so each must be told to be quiet. One worker alone needs no process.

    datatrove's own pool waits for ever for the task of a worker that was killed.
    """

    def run(self) -> None:
        """Raises RunError when a worker was killed, and what a task raised."""
        ranks = self.get_incomplete_ranks()
        if self.workers == 1:
            for rank in ranks:
                deepcopy(self)._run_for_rank(rank)
            return
        packed = dill.dumps(self)  # knows local functions, as steps of datatrove have them
        with ProcessPoolExecutor(self.workers, _context(), end_with_parent) as pool:
            try:
                for task in as_completed([pool.submit(_run_task, packed, rank) for rank in ranks]):
                    task.result()
            except BrokenProcessPool:
                raise RunError(
                    "a cleaning process was killed, most likely for want of memory: give the same command again, "
                    f"which goes on from here, with fewer than {self.workers} of them (executor.workers)"
                ) from None
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _run_for_rank(self, rank: int, local_rank: int = 0, node_rank: int = -1) -> PipelineStats:
        logger.disable("datatrove")
        return super()._run_for_rank(rank, local_rank, node_rank)


def _context() -> multiprocessing.context.BaseContext:
    """Processes forked from one that has loaded what all of them need, where the system can."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _run_task(packed: bytes, rank: int) -> None:
    dill.loads(packed)._run_for_rank(rank)
