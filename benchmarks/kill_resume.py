"""The smoke recipe killed at ten random moments and resumed each time, against the same run left alone.

    python benchmarks/kill_resume.py [--seed 0]

Twice: as the recipe is, and compiled in bfloat16 with SFT in halves side by side, as larger runs compute. The kills go
round the stages in order. Each comes at a random share of what the unbroken run's stage logged (training), or of the
time it took (the others), as SIGKILL; then the same command is given again. In the end every stage's weights must be
the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import random
import signal
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import command
from record import write_result

from gptwright.pipeline.stages import stages_of
from gptwright.recipe import load_recipe

RECIPE = "smoke"
KILLS = 10
LATEST = 0.5
"""Of a stage that logs nothing on its way, kills come in the first half of its time: the next time may be shorter."""
POLL_SECONDS = 0.005
WAYS = {
    "float32, eager": ["machine.precision=float32", "machine.compile=never"],
    "bfloat16, compiled": [
        "machine.precision=bfloat16",
        "machine.compile=always",
        "sft.batch_rows=14",  # with 2 of text two halves of 8
        "sft.pretrain_rows=2",
    ],
}


def arguments(folder: Path) -> list[str]:
    settings = [part for setting in WAYS[folder.parent.name] for part in ("-o", setting)]
    return ["run", RECIPE, *settings, "--dir", str(folder)]


def stage_names() -> list[str]:
    return [stage.name for stage in stages_of(load_recipe(RECIPE))]


def is_done(folder: Path, stage: str) -> bool:
    return (folder / stage / "lineage.json").is_file()


class Watched:
    """A run in a process of its own, and what it has said since it started."""

    def __init__(self, folder: Path) -> None:
        self.recipe, self.log = folder / "recipe.yaml", folder.with_suffix(".log")
        self.said = self.log.stat().st_size if self.log.exists() else 0
        self.started = time.time()
        self.process = command.start(arguments(folder), self.log)

    def past(self, stage: str) -> bool:
        """Whether this process has done the stage, or found it done, or has ended."""
        lines = self.log.read_bytes()[self.said :].decode("utf-8", errors="replace").splitlines()
        ends = (f"{stage:<12} done in", f"{stage:<12} is up to date")
        return any(line.startswith(ends) for line in lines) or self.process.poll() is not None

    def at(self, stage: str) -> bool:
        """Whether it has come to the stage."""
        before = stage_names()[: stage_names().index(stage)]
        if before:
            return self.past(before[-1])
        return self.past(stage) or (self.recipe.exists() and self.recipe.stat().st_mtime > self.started)


def wait_until(is_so: Callable[[], bool], seconds: float = math.inf) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not is_so():
        time.sleep(POLL_SECONDS)


def run_unbroken(folder: Path) -> dict[str, float]:
    """Run to the end; returns the seconds of each stage."""
    run, seconds = Watched(folder), {}
    for stage in stage_names():
        wait_until(partial(run.at, stage))
        start = time.monotonic()
        wait_until(partial(run.past, stage))
        seconds[stage] = time.monotonic() - start
    if run.process.wait():
        raise RuntimeError(f"the unbroken run ended with exit code {run.process.returncode}")
    return seconds


def logged(folder: Path) -> int:
    """Lines of a stage's log."""
    file = folder / "metrics.jsonl"
    return file.read_bytes().count(b"\n") if file.is_file() else 0


class Moment(NamedTuple):
    """When to kill: within `stage`, when it has logged so many lines, or else so many seconds after it began."""

    stage: str
    share: float
    lines: int
    seconds: float


def plan(unbroken: Path, seconds: dict[str, float], seed: int) -> list[Moment]:
    """In the order of the stages; the longest ones are hit twice."""
    draw = random.Random(f"kill {seed}")
    longest = sorted(seconds, key=lambda stage: -seconds[stage])
    often = {stage: 1 + (rank < KILLS - len(seconds)) for rank, stage in enumerate(longest)}
    moments = []
    for stage in [name for name in seconds for _ in range(often[name])]:
        lines = logged(unbroken / stage)
        share = draw.uniform(0.02, 0.98 if lines else LATEST)
        moments.append(Moment(stage, share, math.ceil(share * lines), share * seconds[stage]))
    return moments[:KILLS]


def run_killed(folder: Path, moments: list[Moment]) -> list[dict[str, Any]]:
    """Kill the run at each moment, start it again each time, and let the last one end; says what each kill hit."""
    kills = []
    for moment in moments:
        run, log = Watched(folder), folder / "checkpoints" / moment.stage / "log"
        wait_until(partial(run.at, moment.stage))
        if moment.lines:
            wait_until(lambda: logged(log) >= moment.lines or run.past(moment.stage))  # noqa: B023  (called at once)
        else:
            wait_until(partial(run.past, moment.stage), moment.seconds)
        run.process.send_signal(signal.SIGKILL)
        status = run.process.wait()
        hit = next((name for name in stage_names() if not is_done(folder, name)), "end")
        kills.append({"stage": hit, "share_of_stage": round(moment.share, 3), "killed": status == -signal.SIGKILL})
    command.run(arguments(folder), folder.with_suffix(".log"))
    return kills


def weights(folder: Path) -> dict[str, str]:
    """sha256 of every stage's weights."""
    files = sorted(folder.glob("*/model.safetensors"))
    return {file.parent.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def both_runs(folder: Path, seed: int) -> dict[str, Any]:
    """One way of computing: the unbroken run, the killed one, and what their weights are."""
    folder.mkdir()
    unbroken, killed = folder / "unbroken", folder / "killed"
    kills = run_killed(killed, plan(unbroken, run_unbroken(unbroken), seed))
    expected, found = weights(unbroken), weights(killed)
    return {
        "kills": kills,
        "stages_hit": sorted({kill["stage"] for kill in kills if kill["killed"]}),
        "sha256_unbroken": expected,
        "sha256_killed_and_resumed": found,
        "identical": expected == found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        figures = {way: both_runs(Path(temporary) / way, options.seed) for way in WAYS}
    print(write_result("kill_resume", f"python benchmarks/kill_resume.py --seed {options.seed}", figures))
    if not all(found["identical"] for found in figures.values()):
        raise SystemExit("the killed run's weights differ from the unbroken run's")


if __name__ == "__main__":
    main()
