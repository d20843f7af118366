"""The smoke recipe killed at ten random moments and resumed each time, against the same run left alone.

    python benchmarks/kill_resume.py [--seed 0]

The kills go round the stages in order. Each comes a random share of the stage's unbroken time after the stage began, or
when it ends where that is sooner, as SIGKILL; then the same command is given again. In the end every stage's weights
must be the same bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import random
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import command
from record import write_result

from gptwright.pipeline.stages import stages_of
from gptwright.recipe import load_recipe

RECIPE = "smoke"
KILLS = 10
POLL_SECONDS = 0.005


def arguments(folder: Path) -> list[str]:
    return ["run", RECIPE, "--dir", str(folder)]


def stage_names() -> list[str]:
    return [stage.name for stage in stages_of(load_recipe(RECIPE))]


def began(folder: Path, stage: str) -> Path:
    """The file that a stage writes first of all."""
    return folder / "checkpoints" / stage / "fingerprint"


def is_done(folder: Path, stage: str) -> bool:
    return (folder / stage / "lineage.json").is_file()


def run_unbroken(folder: Path) -> dict[str, float]:
    """Run to the end; returns the seconds of each stage."""
    since, process = time.time(), command.start(arguments(folder), folder.with_suffix(".log"))
    seconds = {}
    for stage in stage_names():
        wait_for_begin(folder, stage, process, since)
        start = time.monotonic()
        while not is_done(folder, stage) and process.poll() is None:
            time.sleep(POLL_SECONDS)
        seconds[stage] = time.monotonic() - start
    if process.wait():
        raise RuntimeError(f"the unbroken run ended with exit code {process.returncode}")
    return seconds


def plan(seconds: dict[str, float], seed: int) -> list[tuple[str, float]]:
    """(stage, seconds after its begin) of each kill, in the order of the stages; the longest ones are hit twice."""
    draw = random.Random(f"kill {seed}")
    longest = sorted(seconds, key=lambda stage: -seconds[stage])
    often = {stage: 1 + (rank < KILLS - len(seconds)) for rank, stage in enumerate(longest)}
    return [(stage, draw.uniform(0.02, 0.7) * seconds[stage]) for stage in seconds for _ in range(often[stage])][:KILLS]


def run_killed(folder: Path, moments: list[tuple[str, float]]) -> list[dict[str, Any]]:
    """Kill the run at each moment, start it again each time, and let the last one end; says what each kill hit."""
    kills = []
    for stage, after in moments:
        since, process = time.time(), command.start(arguments(folder), folder.with_suffix(".log"))
        wait_for_begin(folder, stage, process, since)
        wait_within(folder, stage, after)
        process.send_signal(signal.SIGKILL)
        status = process.wait()
        hit = next((name for name in stage_names() if not is_done(folder, name)), "end")
        kills.append({"stage": hit, "seconds_into_stage": round(after, 3), "killed": status == -signal.SIGKILL})
    command.run(arguments(folder), folder.with_suffix(".log"))
    return kills


def wait_for_begin(folder: Path, stage: str, process: subprocess.Popen[bytes], since: float) -> None:
    """Until this process, started at `since`, has begun the stage, or went past it, or ended."""
    mark = began(folder, stage)
    while process.poll() is None and not is_done(folder, stage):
        with contextlib.suppress(FileNotFoundError):  # not there yet, or the stage has just ended
            if mark.stat().st_mtime > since:
                return
        time.sleep(POLL_SECONDS)


def wait_within(folder: Path, stage: str, seconds: float) -> None:
    """So long, or until the stage ends; where it had ended before, so long into the stages behind it."""
    end, over = time.monotonic() + seconds, is_done(folder, stage)
    while time.monotonic() < end and (over or not is_done(folder, stage)):
        time.sleep(POLL_SECONDS)


def weights(folder: Path) -> dict[str, str]:
    """sha256 of every stage's weights."""
    files = sorted(folder.glob("*/model.safetensors"))
    return {file.parent.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        unbroken, killed = Path(temporary) / "unbroken", Path(temporary) / "killed"
        seconds = run_unbroken(unbroken)
        kills = run_killed(killed, plan(seconds, options.seed))
        expected, found = weights(unbroken), weights(killed)
    figures = {
        "kills": kills,
        "stages_hit": sorted({kill["stage"] for kill in kills if kill["killed"]}),
        "sha256_unbroken": expected,
        "sha256_killed_and_resumed": found,
        "identical": expected == found,
    }
    print(write_result("kill_resume", f"python benchmarks/kill_resume.py --seed {options.seed}", figures))
    if expected != found:
        raise SystemExit("the killed run's weights differ from the unbroken run's")


if __name__ == "__main__":
    main()
