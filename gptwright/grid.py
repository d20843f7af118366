"""The grid of a scaling study as a recipe's `sweep` section: models times token budgets, and one rule for their rates.

    grid_overrides(["model.width=64,96,128", "pretrain.tokens=1M,2M,4M"]) -> overrides of `sweep.models`, `sweep.tokens`

A model is what a recipe's `model` section is with a few settings laid over it. Nothing is trained here.
"""

from __future__ import annotations

import difflib
import itertools
import json
from typing import Any, Self

from pydantic import model_validator

from gptwright.errors import InputError
from gptwright.settings import Count, Section, Share
from gptwright.sizes import size_named


class GridModel(Section):
    """One model of the grid: what differs from the recipe's `model`."""

    size: str | None = None
    layers: Count | None = None
    width: Count | None = None
    heads: Count | None = None
    hidden: Count | None = None

    @model_validator(mode="after")
    def _size_says_it_all(self) -> Self:
        if self.size is not None:
            size_named(self.size)
            if self.model_fields_set - {"size"}:
                raise ValueError(f"size {self.size!r} is a whole shape: remove it or the settings beside it")
        return self

    def over(self, model: dict[str, Any]) -> dict[str, Any]:
        """A recipe's model section as this one; the context stays, since all models read the same rows.

        Raises InputError where the recipe fixes what would have to follow the width.
        """
        shape = size_named(self.size).shape() if self.size else self.model_dump(exclude_none=True)
        shape.pop("context", None)
        for name in ("hidden", "head_dim"):
            if model[name] is not None and name not in shape and shape.get("width", model["width"]) != model["width"]:
                raise InputError(
                    f"sweep.models: width {shape['width']} stands beside model.{name} = {model[name]}, which belongs "
                    f"to width {model['width']}: remove model.{name} and it follows the width"
                )
        return model | {"size": None} | shape


class SweepSettings(Section):
    """A scaling study, for `gptwright sweep`: every model is trained with every number of tokens."""

    models: tuple[GridModel, ...] = ()
    """What each model has of its own: [{layers: 2, width: 48}, {size: nano}]; the rest is as in `model`."""
    tokens: tuple[Count, ...] = ()
    """Token budgets; each training has a schedule of its own, which ends with it."""
    rate_exponent: Share = 0.5
    """A model of width w takes the recipe's peak rates times (model.width / w) to this power."""

    @model_validator(mode="after")
    def _several_of_each(self) -> Self:
        for name, flag in (("models", "model.width=64,96,128"), ("tokens", "pretrain.tokens=1M,2M,4M")):
            given = getattr(self, name)
            if not given:
                raise ValueError(f"{name} is empty: set it, or give --grid {flag}")
            if len(set(given)) < len(given):
                raise ValueError(f"{name} holds one of its values twice: remove one")
        return self


def grid_overrides(grid: list[str]) -> list[str]:
    """`--grid KEY=V1,V2` options as overrides of the sweep section; several keys of `model` are multiplied out.

    Raises InputError for an option of another form or a key that is not varied.
    """
    values: dict[str, list[str]] = {}
    known = [f"model.{name}" for name in GridModel.model_fields] + ["pretrain.tokens"]
    for option in grid:
        key, equals, text = option.partition("=")
        if not equals or not all(part.strip() for part in text.split(",")):
            raise InputError(f"--grid {option!r} must look like model.width=64,96,128")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"a grid varies {', '.join(known)}; use -o for one value"
            raise InputError(f"--grid {option!r}: {key!r} is not varied: {remedy}")
        if key in values:
            raise InputError(f"--grid {option!r}: {key} is given twice; put all its values into one option")
        values[key] = [part.strip() for part in text.split(",")]
    overrides = []
    tokens = values.pop("pretrain.tokens", None)
    if values:
        names = [key.removeprefix("model.") for key in values]
        models = [dict(zip(names, each, strict=True)) for each in itertools.product(*values.values())]
        overrides.append(f"sweep.models={json.dumps(models)}")
    if tokens:
        overrides.append(f"sweep.tokens={json.dumps(tokens)}")
    return overrides
