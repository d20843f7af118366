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
from gptwright.data.atomic import write_bytes_atomically
from gptwright.errors import InputError, RunError
from gptwright.processes import available_cores
from gptwright.train.progress import Progress

LOOK_SECONDS = 1.0


def build_executors(stages: list[Stage], settings: Executor, work: Path) -> list[Any]:
    """One datatrove executor per stage; Slurm's wait for the one before them, the others are run one by one."""
    executors: list[Any] = []
    for stage in stages:
        before = executors[-1] if executors else None
        executors.append(_build(stage, settings, work / "logs" / stage.name, before))
    return executors


def _build(stage: Stage, settings: Executor, logs: Path, before: Any) -> Any:
    pipeline, workers = list(stage.steps), settings.workers or -1
    if settings.kind == "local":
        from gptwright.cleaning.quiet_local import QuietLocalExecutor  # noqa: PLC0415

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
    )


def run_stages(stages: list[Stage], settings: Executor, places: Places) -> None:
    """All stages, one after the other, in processes of this machine or of a Ray cluster; those that are done are not
    run again. Raises RunError where tasks failed without a word, as they do on a cluster.
    """
    executors = build_executors(stages, settings, places.work)
    from loguru import logger  # noqa: PLC0415

    logger.disable("datatrove")
    for stage, executor in zip(stages, executors, strict=True):
        with _progress(stage, executor, places):
            executor.run()
            if failed := executor.get_incomplete_ranks():
                raise RunError(
                    f"{len(failed)} of the {stage.tasks} tasks of stage {stage.name} failed; "
                    f"{places.work / 'logs' / stage.name / 'logs'} says why: mend it and give the same command again"
                )


def hand_over(stages: list[Stage], settings: Executor, places: Places) -> None:
    """All stages to Slurm, as jobs that wait for each other. Raises InputError when they are with it already: two
    jobs would write the same files.
    """
    mark = places.work / "submitted"
    if mark.is_file():
        raise InputError(
            f"this cleaning is with Slurm already (last job {mark.read_text(encoding='utf-8')}): wait for it, or, when "
            f"squeue no longer shows it, remove {mark} and give the same command again, which goes on from what is done"
        )
    last = build_executors(stages, settings, places.work)[-1]
    last.run()
    write_bytes_atomically(mark, str(last.job_id).encode())


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
