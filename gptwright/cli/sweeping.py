"""Behind `gptwright sweep`: the grid as a table before it is trained, and in words what came of it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from gptwright.cli.disk import report_full_disk
from gptwright.cli.runs import handle_freed_memory, need_text
from gptwright.pipeline.lock import alone_in
from gptwright.pipeline.sweep import grid_points, run_sweep
from gptwright.recipe import Recipe
from gptwright.report.sweep_page import findings
from gptwright.train.progress import clock, say


def sweep(recipe: Recipe, folder: Path | None, *, plan: bool, as_json: bool) -> None:
    """Train a recipe's grid and print what it says; with `plan` only the grid. Raises InputError for a bad one."""
    if plan:
        _print_grid(recipe, as_json)
        return
    need_text(recipe)
    handle_freed_memory(recipe.machine.freed_memory)
    started = time.monotonic()
    folder = folder or Path("runs") / f"{recipe.name}-sweep"
    with report_full_disk(folder), alone_in(folder):
        result = run_sweep(recipe, folder)
    say(f"\n{recipe.name} done in {clock(time.monotonic() - started)}")
    say(f"page:    {folder / 'sweep.html'}")
    sys.stdout.write(json.dumps(result) + "\n" if as_json else "".join(f"{line}\n" for line in findings(result)))


def _print_grid(recipe: Recipe, as_json: bool) -> None:
    points = grid_points(recipe)
    tokens, flops = sum(point.recipe.pretrain.tokens for point in points), sum(point.flops for point in points)
    if as_json:
        rows = [
            {
                "name": point.name,
                "parameters": point.config.parameter_count(),
                "tokens": point.recipe.pretrain.tokens,
                "learning_rate": point.recipe.pretrain.optimizer.learning_rate,
                "flops": point.flops,
            }
            for point in points
        ]
        print(json.dumps({"runs": rows, "tokens": tokens, "flops": flops}))
        return
    print(f"{'training':<16}{'parameters':>14}{'tokens':>16}{'rate':>10}{'FLOPs':>12}")
    for point in points:
        print(
            f"{point.name:<16}{point.config.parameter_count():>14,}{point.recipe.pretrain.tokens:>16,}"
            f"{point.recipe.pretrain.optimizer.learning_rate:>10.3g}{point.flops:>12.2e}"
        )
    print(f"{'all':<16}{'':>14}{tokens:>16,}{'':>10}{flops:>12.2e}")
