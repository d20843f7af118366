"""`gptwright sweep`: a grid of pretrainings on one tokenizer and corpus, and the law that their losses follow.

Each training is a stage of the sweep's run: it is killed and resumed like any other, and not repeated when it is there.
Cheapest first, so that a mistake shows early.

    runs/NAME-sweep/
      tokenizer/  corpus/        shared; the corpus is made for the largest budget
      4x128-2M/ ...              one Hugging Face folder per training: layers x width - tokens
      sweep.json  sweep.html  sweep.png
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from gptwright import __version__
from gptwright.data.atomic import write_bytes_atomically
from gptwright.errors import InputError
from gptwright.evaluate.scaling import TrainedRun, check_grid, study
from gptwright.grid import GridModel
from gptwright.model.config import ModelConfig
from gptwright.pipeline.run import Run, Stage, execute, fingerprint, is_fresh, open_run
from gptwright.pipeline.stages import stages_of, train_base
from gptwright.pipeline.wiring import check_pretraining, model_config
from gptwright.recipe import OptimizerSettings, Recipe
from gptwright.report.sweep_page import check_extras, write_sweep_page
from gptwright.train.fast_path import choose
from gptwright.train.progress import clock, say

_UNITS = ((10**9, "B"), (10**6, "M"), (10**3, "k"))


@dataclass(frozen=True)
class GridPoint:
    """One training of the grid."""

    name: str
    recipe: Recipe
    config: ModelConfig
    """With the vocabulary that the recipe asks for; a tokenizer may turn out smaller."""

    @property
    def flops(self) -> float:
        return self.config.flops_per_token(self.config.context) * self.recipe.pretrain.tokens

    def stage(self) -> Stage:
        return Stage(self.name, ("model", "pretrain"), ("corpus",), partial(train_base, stage=self.name))


def grid_points(recipe: Recipe) -> list[GridPoint]:
    """The recipe's grid, cheapest training first.

    Raises InputError for a recipe without a grid, and a grid that determines no law or holds what can't be trained.
    """
    if recipe.sweep is None:
        raise InputError(
            f"recipe {recipe.name!r} has no sweep section: add one, or give --grid model.width=64,96,128 and --grid "
            "pretrain.tokens=1M,2M,4M"
        )
    points = [_point(recipe, model, tokens) for model in recipe.sweep.models for tokens in recipe.sweep.tokens]
    names = [point.name for point in points]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"sweep.models: two of them are {twice.split('-')[0]} (layers x width): keep one of the two")
    check_grid(len({point.config.parameter_count() for point in points}), len(recipe.sweep.tokens))
    for point in points:
        check_pretraining(point.recipe)
    return sorted(points, key=lambda point: point.flops)


def _point(recipe: Recipe, model: GridModel, tokens: int) -> GridPoint:
    """The recipe with one model and budget, the rates that its width takes, and no samples."""
    assert recipe.sweep is not None  # grid_points has looked
    values = recipe.model_dump() | {"sweep": None}
    values["model"] = model.over(values["model"])
    factor = (recipe.model.width / values["model"]["width"]) ** recipe.sweep.rate_exponent
    optimizer = _scaled(recipe.pretrain.optimizer, factor)
    values["pretrain"] |= {"tokens": tokens, "optimizer": optimizer.model_dump(), "sample_prompts": ()}
    own = Recipe.model_validate(values)
    return GridPoint(
        f"{own.model.layers}x{own.model.width}-{short_count(tokens)}",
        own,
        model_config(own, own.tokenizer.most_tokens),
    )


def _scaled(optimizer: OptimizerSettings, factor: float) -> OptimizerSettings:
    """The same with its peak rates times `factor`, to six digits."""
    rates = {name: getattr(optimizer, name) for name in ("learning_rate", "muon_learning_rate")}
    return optimizer.model_copy(
        update={name: float(f"{rate * factor:.6g}") for name, rate in rates.items() if rate is not None}
    )


def short_count(count: int) -> str:
    """1_500_000 -> '1.5M', 250_000 -> '250k'; a count that would need more than three decimals is written out."""
    for size, letter in _UNITS:
        if count >= size and count * 1000 % size == 0:
            return f"{count / size:.3f}".rstrip("0").rstrip(".") + letter
    return str(count)


def run_sweep(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Train what is missing of the grid, fit the law, write sweep.json, sweep.html and sweep.png; returns the first.

    Raises InputError before any training for a bad grid, a folder of another run or a missing extra.
    """
    points = grid_points(recipe)
    check_extras()
    _refuse_other_run(folder)
    budget = max(point.recipe.pretrain.tokens for point in points)
    shared = recipe.model_copy(update={"pretrain": recipe.pretrain.model_copy(update={"tokens": budget})})
    run = open_run(recipe, folder)
    run = replace(run, recipe=shared)
    execute(run, stages_of(shared), until="corpus")
    _choose_path(run, points)
    _train(run, points)
    result = {
        "recipe": recipe.name,
        "version": __version__,
        "seed": recipe.seed,
        "context": recipe.model.context,
        "rate_exponent": recipe.sweep.rate_exponent if recipe.sweep else None,
        "epochs": _most_epochs(folder),
        **_measured(run, points),
    }
    write_bytes_atomically(folder / "sweep.json", (json.dumps(result, indent=2) + "\n").encode())
    write_sweep_page(folder)
    return result


def _refuse_other_run(folder: Path) -> None:
    """An ordinary run's tokenizer and corpus must not be replaced by a sweep's."""
    try:
        there = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return  # none, or one that open_run refuses
    if isinstance(there, dict) and there.get("sweep") is None:
        raise InputError(f"{folder} holds a run that is no sweep: choose another --dir")


def _choose_path(run: Run, points: list[GridPoint]) -> None:
    """One way of computing for the whole grid, the fastest for its largest model: precision must not tell runs apart.

    Each model is compiled once, so what a compilation must repay is the tokens of one model's trainings.
    """
    largest = max(points, key=lambda point: point.config.parameter_count())
    pretrain = largest.recipe.pretrain
    tokens = sum(point.recipe.pretrain.tokens for point in points if point.config == largest.config)
    rows = pretrain.micro_rows or pretrain.batch_rows
    choose(run.folder, largest.config, run.recipe.machine, rows=rows, tokens=tokens, for_all=True)


def _train(run: Run, points: list[GridPoint]) -> None:
    """Every training that is missing or stale, with the time left by the operations that are left."""
    missing = [point for point in points if not _is_there(run, point)]
    left = sum(point.flops for point in missing)
    say(f"grid         {len(points)} trainings, {len(missing)} to do, {left:.2e} operations")
    fastest = None  # seconds per operation of the fastest yet: the first ones also compile
    for number, point in enumerate(missing, start=1):
        timing = f", about {clock(left * fastest)} left" if fastest else ""
        say(f"\ntraining {number}/{len(missing)}: {point.name}, {point.flops:.2e} operations{timing}")
        # The compiler keeps a limited number of variants of one function, and each training brings a new one.
        torch.compiler.reset()
        execute(Run(point.recipe, run.folder, run.fingerprints), [point.stage()])
        pace = _lineage(run.folder, point)["seconds"] / point.flops
        fastest = min(pace, fastest or pace)
        left -= point.flops


def _is_there(run: Run, point: GridPoint) -> bool:
    own, stage = Run(point.recipe, run.folder, run.fingerprints), point.stage()
    run.fingerprints[point.name] = fingerprint(own, stage)
    return is_fresh(own, stage)


def _lineage(folder: Path, point: GridPoint) -> dict[str, Any]:
    lineage: dict[str, Any] = json.loads((folder / point.name / "lineage.json").read_text(encoding="utf-8"))
    return lineage


def _measured(run: Run, points: list[GridPoint]) -> dict[str, Any]:
    """The runs' figures, and what they say together."""
    rows = []
    for point in points:
        lineage = _lineage(run.folder, point)
        optimizer = point.recipe.pretrain.optimizer
        rows.append(
            {
                "name": point.name,
                "layers": point.config.layers,
                "width": point.config.width,
                "learning_rate": optimizer.learning_rate,
                **{
                    key: lineage[key]
                    for key in ("parameters", "tokens", "flops", "validation_loss", "bits_per_byte", "seconds")
                },
            }
        )
    trained = [
        TrainedRun(row["name"], row["parameters"], row["tokens"], row["flops"], row["validation_loss"]) for row in rows
    ]
    found = study(trained)
    return {"runs": rows, **asdict(found)}


def _most_epochs(folder: Path) -> float:
    """How often the largest budget read the source that it read most often."""
    manifest = json.loads((folder / "corpus" / "manifest.json").read_text(encoding="utf-8"))
    return max(float(source["epochs"]) for source in manifest["sources"])
