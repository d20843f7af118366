"""`run` and the single-stage commands: a recipe into a folder, and at the end where to look and whom to talk to."""

from __future__ import annotations

import time
from pathlib import Path

from gptwright.errors import InputError
from gptwright.pipeline.run import execute, open_run
from gptwright.pipeline.stages import stages_of
from gptwright.recipe import load_recipe
from gptwright.train.progress import clock, say


def run_recipe(name: str, overrides: list[str], folder: Path | None, until: str | None) -> None:
    """Execute a recipe up to `until`, or all of it. Raises InputError for a recipe that cannot be run."""
    recipe = load_recipe(name, overrides)
    if recipe.name == "text" and recipe.data.files is None:
        raise InputError("recipe 'text' needs text: add -o data.files=PATH with a .txt, .jsonl or .parquet")
    started = time.monotonic()
    run = open_run(recipe, folder or Path("runs") / recipe.name)
    execute(run, stages_of(recipe), until=until)
    say(f"\n{recipe.name} done in {clock(time.monotonic() - started)}")
    if (run.folder / "report.html").is_file():
        say(f"report:  {run.folder / 'report.html'}")
    for stage in ("ppo", "sft"):
        if (run.folder / stage / "config.json").is_file():
            say(f"talk:    gptwright chat {run.folder}:{stage}")
            return
    say(f'try:     gptwright complete {run.folder}:base "Once upon a time"')
