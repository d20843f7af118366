"""`run` and the single-stage commands: a recipe into a folder, and at the end where to look and whom to talk to."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from pathlib import Path

from gptwright.allocator import FREED_MEMORY
from gptwright.cli.disk import report_full_disk
from gptwright.errors import InputError
from gptwright.pipeline.lock import alone_in
from gptwright.pipeline.run import Run, Stage, execute, open_run, outdated
from gptwright.pipeline.stages import stages_of
from gptwright.recipe import Recipe
from gptwright.train.distributed import joined
from gptwright.train.progress import clock, say

NEED_TEXT = ("text", "shakespeare", "gpt2-124m", "gpt3-175b", "llama-65b")
"""Shipped recipes for a text of one's own; on the built-in world they would be something else."""


def run_recipe(recipe: Recipe, folder: Path | None, until: str | None) -> None:
    """Execute a recipe up to `until`, or all of it. Raises InputError for a recipe that cannot be run."""
    need_text(recipe)
    refuse_grid(recipe)
    handle_freed_memory(recipe.machine.freed_memory)
    started = time.monotonic()
    stages, folder = stages_of(recipe), folder or Path("runs") / recipe.name
    with report_full_disk(folder), joined(recipe.machine.device) as ranks, alone_in(folder, ranks):
        run = open_run(recipe, folder, ranks)
        execute(run, stages, until=until)
    say(f"\n{recipe.name} done in {clock(time.monotonic() - started)}")
    _say_what_is_there(run, stages)


def _say_what_is_there(run: Run, stages: list[Stage]) -> None:
    """Where the report is and whom to talk to, of what this recipe made as it is now."""
    old = outdated(run, stages)
    if old:
        again = f"{program()} run {run.recipe.name}"
        say(f"outdated {', '.join(old)}: of other settings or models; {again} makes them anew")
    made = {stage.name for stage in stages} - set(old)
    if "report" in made and (run.folder / "report.html").is_file():
        say(f"report:  {run.folder / 'report.html'}")
    for name in ("ppo", "grpo", "rejection", "dpo", "sft"):
        if name in made and (run.folder / name / "config.json").is_file():
            say(f"talk:    {program()} chat {run.folder}:{name}")
            return
    say(f'try:     {program()} complete {run.folder}:base "Once upon a time"')


def program() -> str:
    """How this program is called where it was just called: `make` runs one that is on no path."""
    if shutil.which("gptwright"):
        return "gptwright"
    beside = Path(sys.executable).with_name("gptwright")
    if not beside.is_file():
        return f"{sys.executable} -m gptwright"
    with contextlib.suppress(ValueError):  # on another drive
        return str(beside.relative_to(Path.cwd()))
    return str(beside)


def handle_freed_memory(how: str) -> None:
    """As `machine.freed_memory` says; told where memory cannot be returned, since keeping it is a favour."""
    if not FREED_MEMORY[how]() and how == "return":
        say("memory       machine.freed_memory=return needs glibc and no MALLOC_ variables: nothing has changed")


def need_text(recipe: Recipe) -> None:
    """Raises InputError for a recipe that was written for a text that is not there."""
    if recipe.name in NEED_TEXT and recipe.data.files is None and recipe.data.sources is None:
        raise InputError(f"recipe {recipe.name!r} needs text: add -o data.files=PATH with a .txt, .jsonl or .parquet")


def refuse_grid(recipe: Recipe) -> None:
    """Raises InputError for a recipe of many trainings where one is asked for."""
    if recipe.sweep is not None:
        raise InputError(
            f"recipe {recipe.name!r} describes a grid of trainings: use gptwright sweep (--plan shows the grid), or "
            "-o sweep=null for one of them"
        )
