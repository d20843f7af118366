"""Real executors of datatrove for every kind, and what they would submit."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import dill
import pytest

from gptwright.cleaning.executors import build_executors
from gptwright.cleaning.run import clean
from gptwright.cleaning.settings import load_settings
from gptwright.cleaning.shards import plan_shards
from gptwright.cleaning.stages import MOST_FILES, Places, many_files, stages_of
from gptwright.errors import InputError, RunError

STAGES = ["filter", "exact_hash", "exact_find", "near_hash", "near_meet", "near_keep", "write", "summary"]


def draw_nothing(folder: Path) -> None:
    """Stands for the page."""


def executors_of(corpus: dict[str, str], out: Path, *overrides: str) -> list:  # type: ignore[type-arg]
    settings = load_settings(None, {name: corpus[name] for name in ("web", "mail")}, list(overrides))
    shards = tuple(plan_shards(settings))
    stages = stages_of(settings, shards, Places(out), fingerprint="", draw=draw_nothing)
    assert [stage.name for stage in stages] == STAGES
    assert [stage.tasks for stage in stages] == [2, 2, 1, 2, 24, 1, 2, 1]
    return build_executors(stages, settings.executor, out / "work")


def test_slurm_jobs_wait_for_each_other_and_travel_whole(corpus: dict[str, str], tmp_path: Path) -> None:
    from datatrove.executor.slurm import SlurmPipelineExecutor  # noqa: PLC0415

    given = ("executor={kind: slurm, workers: 7, memory_gb: 9, slurm: {partition: cpu, time: '1:00:00'}}",)
    jobs = executors_of(corpus, tmp_path / "out", *given)
    assert {type(job) for job in jobs} == {SlurmPipelineExecutor}
    assert [job.depends for job in jobs] == [None, *jobs[:-1]]
    filtering = jobs[0]
    arguments = filtering.get_sbatch_args(filtering.tasks)
    assert arguments["partition"] == "cpu"
    assert arguments["array"] == "0-1%7"
    assert arguments["mem-per-cpu"] == "9G"
    script = filtering.get_launch_file_contents(arguments, "launch_pickled_pipeline executor.pik")
    assert "#SBATCH --time=1:00:00" in script and "#SBATCH --job-name=clean-filter" in script
    # A node unpickles the job and runs a task of it.
    dill.loads(dill.dumps(filtering)).pipeline[0](None, 1, 2)
    assert (tmp_path / "out" / "work" / "kept" / "00001.jsonl.gz").is_file()


def test_ray_executors_have_the_tasks_and_workers(corpus: dict[str, str], tmp_path: Path) -> None:
    from datatrove.executor.ray import RayPipelineExecutor  # noqa: PLC0415

    jobs = executors_of(corpus, tmp_path / "out", "executor={kind: ray, workers: 3, memory_gb: 2}")
    assert {type(job) for job in jobs} == {RayPipelineExecutor}
    assert (jobs[4].world_size, jobs[4].workers, jobs[4].mem_per_cpu_gb) == (24, 3, 2)


@pytest.mark.parametrize(("workers", "used"), [(1, 1), (2, 2), (8, 2)])
def test_no_more_processes_than_tasks(corpus: dict[str, str], tmp_path: Path, workers: int, used: int) -> None:
    assert executors_of(corpus, tmp_path, f"executor.workers={workers}")[0].workers == used


def test_a_killed_worker_ends_the_cleaning_and_the_next_call_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gptwright.cleaning.quiet_local import QuietLocalExecutor  # noqa: PLC0415

    monkeypatch.setitem(dill.settings, "recurse", True)  # no worker could import this file

    def work(data: object, rank: int, world_size: int) -> None:
        if rank == 1 and not (tmp_path / "killed").is_file():
            (tmp_path / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def execute() -> QuietLocalExecutor:
        executor = QuietLocalExecutor([work], tasks=3, workers=2, logging_dir=str(tmp_path / "logs"))
        executor.run()
        return executor

    with pytest.raises(RunError, match="fewer than 2 of them"):
        execute()
    assert execute().get_incomplete_ranks() == []


def test_a_step_that_reads_all_shards_may_open_that_many_files() -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        assert many_files("data") == "data"
        raised = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        assert raised == (MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_jobs_that_slurm_has_are_not_handed_over_again(
    corpus: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two jobs would write the same files. sbatch is a stand-in that notes its calls."""
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(f"#!/bin/sh\necho call >> {tmp_path / 'calls'}\necho Submitted batch job 17\n", encoding="utf-8")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sbatch.parent}:{os.environ['PATH']}")
    given = ["executor={kind: slurm, slurm: {partition: cpu, time: '1:00:00'}}"]
    settings = load_settings(None, {"web": corpus["web"]}, given)
    assert clean(settings, tmp_path / "out", draw_nothing) is None
    calls = (tmp_path / "calls").read_text(encoding="utf-8")
    assert calls.count("call") >= len(STAGES)  # besides, one that gathers statistics for each
    with pytest.raises(InputError, match=r"with Slurm already \(last job 17\)"):
        clean(settings, tmp_path / "out", draw_nothing)
    assert (tmp_path / "calls").read_text(encoding="utf-8") == calls


def test_tasks_that_fail_without_a_word_are_told(corpus: dict[str, str], tmp_path: Path) -> None:
    """A cluster logs what a task raised, and goes on."""
    from gptwright.cleaning.quiet_local import QuietLocalExecutor  # noqa: PLC0415

    class Silent(QuietLocalExecutor):
        def run(self) -> None:
            with contextlib.suppress(InputError):
                super().run()

    (tmp_path / "broken.jsonl").write_text('{"text": "one"}\n{"te', encoding="utf-8")
    settings = load_settings(None, {"broken": str(tmp_path / "broken.jsonl")}, ["executor.workers=1"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gptwright.cleaning.quiet_local.QuietLocalExecutor", Silent)
        with pytest.raises(RunError, match="1 of the 1 tasks of stage filter failed"):
            clean(settings, tmp_path / "out", draw_nothing)
