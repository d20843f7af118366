"""datatrove's local executor without its log on the screen; errors still reach the caller. Needs the extra `data`.

Import it only where something is cleaned: it loads datatrove.
"""

from __future__ import annotations

from copy import deepcopy

from datatrove.executor import LocalPipelineExecutor
from datatrove.utils.stats import PipelineStats
from loguru import logger


class QuietLocalExecutor(LocalPipelineExecutor):
    """Every worker is a process of its own, so each must be told to be quiet. One worker alone needs no process."""

    def run(self) -> None:
        if self.workers > 1:
            super().run()
            return
        for rank in self.get_incomplete_ranks():
            deepcopy(self)._run_for_rank(rank)

    def _run_for_rank(self, rank: int, local_rank: int = 0, node_rank: int = -1) -> PipelineStats:
        logger.disable("datatrove")
        return super()._run_for_rank(rank, local_rank, node_rank)
