"""Behind `gptwright plan`: the plan as a table or as JSON."""

from __future__ import annotations

import json

from gptwright.cli.runs import refuse_grid
from gptwright.pipeline.wiring import model_config
from gptwright.plan import Plan, make_plan
from gptwright.recipe import Recipe


def print_plan(recipe: Recipe, machine: str, mfu: float | None, dollars: float | None, *, as_json: bool) -> None:
    """One row per stage, then what was assumed. Raises InputError for a grid of trainings."""
    refuse_grid(recipe)
    plan = make_plan(recipe, model_config(recipe, recipe.tokenizer.most_tokens), machine, mfu, dollars)
    print(json.dumps(plan.to_json()) if as_json else as_text(recipe.name, plan))


def as_text(name: str, plan: Plan) -> str:
    """The plan as people read it."""
    lines = [f"{name}: {_short(plan.stages[0].parameters)} parameters", ""]
    lines.append(f"{'stage':<8}{'tokens':>10}{'FLOPs':>12}{'state/device':>15}{'working':>14}{'time':>14}{'cost':>14}")
    for stage in plan.stages:
        working = _bytes(stage.working_bytes) if stage.working_bytes else ""
        lines.append(
            f"{stage.stage:<8}{_short(stage.tokens):>10}{stage.flops:>12.2e}{_bytes(stage.bytes_per_device):>15}"
            f"{working:>14}{_time(stage.hours):>14}{f'${stage.cost:,.0f}':>14}"
        )
    hours, cost = sum(stage.hours for stage in plan.stages), sum(stage.cost for stage in plan.stages)
    lines.append(f"{'all':<8}{'':>10}{'':>12}{'':>15}{'':>14}{_time(hours):>14}{f'${cost:,.0f}':>14}")
    return "\n".join([*lines, "", "Assumed:", *(f"- {assumption}" for assumption in plan.assumptions)])


def _short(count: float) -> str:
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return f"{count:g}"


def _bytes(count: float) -> str:
    return f"{count / 1e9:.3g} GB" if count >= 1e8 else f"{count / 1e6:.3g} MB"


def _time(hours: float) -> str:
    if hours >= 48:
        return f"{hours / 24:,.1f} days"
    return f"{hours:.1f} hours" if hours >= 1 else f"{hours * 60:.1f} minutes"
