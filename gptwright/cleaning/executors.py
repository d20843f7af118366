"""Who runs a stage: processes here, a Slurm job or a Ray cluster, through datatrove's executors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gptwright.cleaning.heartbeat import documents_so_far
from gptwright.cleaning.settings import Executor
from gptwright.cleaning.stages import Places, Stage
from gptwright.processes import available_cores
from gptwright.train.progress import Progress

LOOK_SECONDS = 1.0


def build_executors(stages: list[Stage], settings: Executor, work: Path) -> list[Any]:
    """One datatrove executor per stage, each waiting for the one before it."""
    executors: list[Any] = []
    for stage in stages:
        before = executors[-1] if executors else None
        executors.append(_build(stage, settings, work / "logs" / stage.name, before))
    return executors


def _build(stage: Stage, settings: Executor, logs: Path, before: Any) -> Any:
    pipeline, workers = list(stage.steps), settings.workers or -1
    if settings.kind == "local":
        from gptwright.cleaning.quiet_local import QuietLocalExecutor  # noqa: PLC0415

        # Stages are started one by one, with a progress line for each, so none depends on another here.
        workers = min(settings.workers or available_cores(), stage.tasks)
        return QuietLocalExecutor(pipeline, tasks=stage.tasks, workers=workers, logging_dir=str(logs))
    if settings.kind == "slurm":
        from datatrove.executor.slurm import SlurmPipelineExecutor  # noqa: PLC0415

        return SlurmPipelineExecutor(
            pipeline,
            tasks=stage.tasks,
            time=settings.slurm.time,
            partition=settings.slurm.partition,
            qos=settings.slurm.qos,
            venv_path=settings.slurm.venv,
            mem_per_cpu_gb=settings.memory_gb,
            workers=workers,
            job_name=f"clean-{stage.name}",
            logging_dir=str(logs),
            depends=before,
        )
    from datatrove.executor.ray import RayPipelineExecutor  # noqa: PLC0415

    return RayPipelineExecutor(
        pipeline,
        tasks=stage.tasks,
        workers=workers,
        mem_per_cpu_gb=settings.memory_gb,
        logging_dir=str(logs),
        depends=before,
    )


def run_here(stages: list[Stage], settings: Executor, places: Places) -> None:
    """All stages in processes of this machine; those that are done are not run again."""
    executors = build_executors(stages, settings, places.work)
    from loguru import logger  # noqa: PLC0415

    logger.disable("datatrove")
    for stage, executor in zip(stages, executors, strict=True):
        with _progress(stage, executor, places):
            executor.run()


@contextmanager
def _progress(stage: Stage, executor: Any, places: Places) -> Iterator[None]:
    """A line with the tasks that are done and the documents that were read, for as long as the stage runs."""
    stop = threading.Event()
    done_before = stage.tasks - len(executor.get_incomplete_ranks())
    progress = Progress(stage.name, stage.tasks, done_before)

    def look() -> None:
        while not stop.wait(LOOK_SECONDS):
            done = stage.tasks - len(executor.get_incomplete_ranks())
            if done < stage.tasks:
                progress.update(done, f"{documents_so_far(places.work, stage.name):,} documents")

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
    progress.update(stage.tasks)
