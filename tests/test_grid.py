"""The grid of a sweep: what a recipe and --grid may say, and which recipe each training gets."""

from __future__ import annotations

from typing import Any

import pytest

from gptwright.errors import InputError
from gptwright.grid import GridModel, grid_overrides
from gptwright.recipe import Recipe, load_recipe


def model_section(**settings: Any) -> dict[str, Any]:
    return Recipe.model_validate({"name": "x", "model": settings}).model.model_dump()


def test_options_are_multiplied_out() -> None:
    recipe = load_recipe(
        "quickstart", grid_overrides(["model.width=64,96", "pretrain.tokens=1M,2M,4M", "model.layers=2,3"])
    )
    assert recipe.sweep is not None
    assert [(model.width, model.layers) for model in recipe.sweep.models] == [(64, 2), (64, 3), (96, 2), (96, 3)]
    assert recipe.sweep.tokens == (1_000_000, 2_000_000, 4_000_000)


def test_an_option_replaces_only_its_half_of_the_recipes_grid() -> None:
    shipped, changed = load_recipe("scaling").sweep, load_recipe("scaling", grid_overrides(["pretrain.tokens=1k,2k"]))
    assert changed.sweep is not None and shipped is not None
    assert changed.sweep.models == shipped.models
    assert changed.sweep.tokens == (1000, 2000)


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        (["model.width"], "must look like"),
        (["model.width=64,,96"], "must look like"),
        (["model.widht=64,96"], "did you mean 'model.width'"),
        (["data.held_out=0.1,0.2"], "a grid varies model.size"),
        (["model.width=64,96", "model.width=128"], "given twice"),
    ],
)
def test_bad_options_say_what_is_wrong(grid: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        grid_overrides(grid)


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        (["model.width=64,96"], "tokens is empty"),
        (["pretrain.tokens=1M,2M"], "models is empty"),
        (["model.width=64,-3", "pretrain.tokens=1M,2M"], "sweep.models.1.width"),
        (["model.width=64,64", "pretrain.tokens=1M,2M"], "models holds one of its values twice"),
        (["model.width=64,96", "pretrain.tokens=1M,1000k"], "tokens holds one of its values twice"),
        (["model.size=nano,micra", "pretrain.tokens=1M,2M"], "did you mean 'micro'"),
        (["model.size=nano,micro", "model.width=64", "pretrain.tokens=1M,2M"], "is a whole shape"),
    ],
)
def test_bad_grids_say_what_is_wrong(grid: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_recipe("quickstart", grid_overrides(grid))


def test_a_model_is_the_recipes_with_its_own_settings_laid_over_it() -> None:
    section = model_section(layers=5, width=128, heads=4, context=64)
    assert GridModel(width=64).over(section) == section | {"width": 64}
    named = GridModel(size="micro").over(section)
    assert (named["layers"], named["width"], named["heads"], named["context"]) == (6, 256, 8, 64)


def test_what_belongs_to_the_recipes_width_is_not_carried_to_another() -> None:
    section = model_section(width=128, hidden=344)
    with pytest.raises(InputError, match=r"model\.hidden = 344"):
        GridModel(width=64).over(section)
    assert GridModel(width=64, hidden=172).over(section)["hidden"] == 172
    assert GridModel(layers=2).over(section)["hidden"] == 344
