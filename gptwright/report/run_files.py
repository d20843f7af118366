"""Reads what the stages left in a run directory; every file may be missing, none may be broken."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gptwright.errors import InputError

LATER_ROUNDS = tuple(f"ppo_{number}" for number in range(2, 10))
STAGES = ("base", "sft", "reward", "dpo", "rejection", "grpo", "ppo", "ppo_without_mix", *LATER_ROUNDS)
Row = dict[str, Any]


@dataclass(frozen=True)
class RunFiles:
    """The parsed files of one run; None or an absent stage is a file that is not there yet."""

    directory: str
    name: str
    unasked: frozenset[str]
    """Sections that the run's recipe leaves out."""
    metrics: Mapping[str, list[Row]]
    samples: list[Row] | None
    tokenizer: Row | None
    corpus: Row | None
    evaluation: Row | None
    recipe: Row
    reward_model: Row | None = None
    """The figures of the reward model, which its stage leaves."""

    def setting(self, section: str, name: str) -> Any:
        """A setting of the run's recipe; None where the recipe is not there, or has none of that name."""
        return (self.recipe.get(section) or {}).get(name)

    def missing(self, file: str) -> str:
        """The sentence that stands in for what a missing file would have shown."""
        return f"This run has no {file} yet: gptwright run RECIPE --dir {self.directory} makes it."

    def not_evaluated(self, *keys: str) -> tuple[str, ...]:
        """The sentence for parts of evaluation.json that are not there; nothing if all are."""
        if self.evaluation is None:
            return (self.missing("evaluation.json"),)
        lacking = [key for key in keys if key not in self.evaluation]
        return (self.missing(f"{', '.join(lacking)} in evaluation.json"),) if lacking else ()


def read_run(run_dir: Path) -> RunFiles:
    if not run_dir.is_dir():
        raise InputError(f"{run_dir} is not a directory: give the directory of a run, such as runs/quickstart")
    recipe = _read_recipe(run_dir / "recipe.yaml")
    asked = [stage for stage in STAGES if _asks_for(recipe, stage)]
    stages = {stage: _read_lines(run_dir / stage / "metrics.jsonl") for stage in asked}
    evaluation = _read_object(run_dir / "evaluation.json")
    reward_model = _read_object(run_dir / "reward" / "figures.json") if "reward" in asked else None
    return RunFiles(
        directory=str(run_dir),
        name=str(recipe.get("name", run_dir.resolve().name)),
        unasked=frozenset(key for key, value in recipe.items() if value is None),
        metrics={stage: rows for stage, rows in stages.items() if rows},
        samples=_read_lines(run_dir / "base" / "samples.jsonl"),
        tokenizer=_read_object(run_dir / "tokenizer" / "stats.json"),
        corpus=_read_object(run_dir / "corpus" / "manifest.json"),
        evaluation=evaluation,
        recipe=recipe,
        # Runs of earlier versions have it in evaluation.json alone.
        reward_model=(evaluation or {}).get("reward_model") if reward_model is None else reward_model,
    )


def _asks_for(recipe: Row, stage: str) -> bool:
    """Whether the run's recipe has this stage: another one may have left its own in the folder."""
    if stage in LATER_ROUNDS:
        count = (recipe.get("rounds") or {}).get("count", 1) if recipe else len(STAGES)
        return int(stage.rpartition("_")[2]) <= int(count)
    if stage == "ppo_without_mix":
        return not recipe or bool((recipe.get("evaluate") or {}).get("without_mix"))
    return recipe.get(stage, {}) is not None


def required(row: Row, name: str, where: str) -> Any:
    """A field that the page cannot do without; `where` names the place in a complaint."""
    if name not in row:
        raise InputError(f"{where} has no {name!r}: run the evaluation again")
    return row[name]


def series(rows: Sequence[Row], name: str, *, x: str = "step") -> tuple[list[float], list[float]]:
    """The steps at which a metric was logged, and its values; null (undefined) leaves a gap."""
    logged = [row for row in rows if name in row and x in row]
    return [float(row[x]) for row in logged], [math.nan if row[name] is None else float(row[name]) for row in logged]


def last(rows: Sequence[Row], name: str) -> float | None:
    """The last finite value of a metric."""
    values = [value for value in series(rows, name)[1] if math.isfinite(value)]
    return values[-1] if values else None


def _read_recipe(path: Path) -> Row:
    if not path.is_file():
        return {}
    try:
        recipe = yaml.safe_load(_read_text(path))
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML: mend it or run the stage again ({error})") from error
    return recipe if isinstance(recipe, dict) else {}


def _read_object(path: Path) -> Row | None:
    return _parse(_read_text(path), str(path)) if path.is_file() else None


def _read_lines(path: Path) -> list[Row] | None:
    if not path.is_file():
        return None
    # Not splitlines: a sample of real text may hold other signs that end a line, as JSON lets it.
    lines = enumerate(_read_text(path).split("\n"), start=1)
    return [_parse(line, f"{path}, line {number}") for number, line in lines if line.strip()]


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is damaged (not UTF-8 at byte {error.start}): run the stage again") from None


def _parse(text: str, where: str) -> Row:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{where} is not JSON: mend it or run the stage again ({error})") from error
    if not isinstance(value, dict):
        raise InputError(f"{where} must be a JSON object, got {type(value).__name__}: run the stage again")
    return value
