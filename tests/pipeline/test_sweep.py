"""A sweep's trainings: their recipes, rates and folders; a whole tiny one, killed and gone on with; bad grids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gptwright.cli.main import app
from gptwright.errors import InputError
from gptwright.grid import grid_overrides
from gptwright.pipeline import sweep as module
from gptwright.pipeline.run import Run, execute, open_run
from gptwright.pipeline.stages import stages_of
from gptwright.pipeline.sweep import grid_points, run_sweep, short_count
from gptwright.recipe import Recipe, load_recipe
from gptwright.report.sweep_page import findings

TINY = str(Path(__file__).parent.parent / "e2e" / "tiny.yaml")
GRID = ["model.width=8,16,32", "pretrain.tokens=4096,8192,16k"]


def recipe_of(*overrides: str, grid: list[str] = GRID) -> Recipe:
    later = [f"{name}=null" for name in ("sft", "reward", "dpo", "rejection", "grpo", "ppo", "evaluate")]
    quiet = ["pretrain.optimizer.learning_rate=0.01", *later]
    return load_recipe(TINY, [*quiet, *grid_overrides(grid), *overrides])


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A finished sweep, not to be changed."""
    folder = tmp_path_factory.mktemp("sweep") / "run"
    return folder, run_sweep(recipe_of(), folder)


@pytest.mark.parametrize(
    ("count", "written"),
    [
        (999, "999"),
        (1000, "1k"),
        (250_000, "250k"),
        (1_500_000, "1.5M"),
        (2_000_000_000, "2B"),
        (1_234_567, "1234.567k"),
    ],
)
def test_counts_in_names_are_exact(count: int, written: str) -> None:
    assert short_count(count) == written


def test_points_are_the_product_cheapest_first() -> None:
    points = grid_points(recipe_of())
    assert {point.name for point in points} == {
        f"1x{width}-{tokens}" for width in (8, 16, 32) for tokens in ("4.096k", "8.192k", "16k")
    }
    assert [point.flops for point in points] == sorted(point.flops for point in points)
    assert all(point.recipe.sweep is None for point in points)


def test_rates_follow_the_width() -> None:
    # tiny.yaml has width 32: a quarter of it takes twice the rate by the square root, four times with exponent 1.
    def rates(recipe: Recipe) -> dict[int, tuple[float, float | None]]:
        optimizers = {point.config.width: point.recipe.pretrain.optimizer for point in grid_points(recipe)}
        return {width: (o.learning_rate, o.muon_learning_rate) for width, o in optimizers.items()}

    assert rates(recipe_of())[8] == (0.02, None)
    assert rates(recipe_of())[32] == (0.01, None)
    assert rates(recipe_of("sweep.rate_exponent=1"))[8] == (0.04, None)
    assert rates(recipe_of("sweep.rate_exponent=0"))[8] == (0.01, None)
    assert rates(recipe_of("pretrain.optimizer.muon_learning_rate=0.005"))[8] == (0.02, 0.01)


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (load_recipe("smoke"), "has no sweep section"),
        (recipe_of(grid=["model.width=8,16", GRID[1]]), "2 sizes and 3 token budgets"),
        (recipe_of(grid=[GRID[0], "pretrain.tokens=8192"]), "3 sizes and 1 token budget:"),
        (recipe_of(grid=["model.width=8,16,33", GRID[1]]), r"model.width \(33\)"),
        (recipe_of(grid=[GRID[0], "pretrain.tokens=100,8192,16k"]), r"pretrain.tokens \(100\)"),
        (recipe_of(grid=["model.hidden=32,64,96", GRID[1]]), "two of them are 1x32"),
    ],
)
def test_grids_that_cannot_be_are_refused(recipe: Recipe, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        run_sweep(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_ordinary_run_is_left_alone(tmp_path: Path) -> None:
    execute(open_run(load_recipe(TINY), tmp_path), [])
    before = (tmp_path / "recipe.yaml").read_bytes()
    with pytest.raises(InputError, match="no sweep: choose another --dir"):
        run_sweep(recipe_of(), tmp_path)
    assert (tmp_path / "recipe.yaml").read_bytes() == before


def test_every_run_tells_its_size_tokens_and_loss(swept: tuple[Path, dict[str, Any]]) -> None:
    folder, result = swept
    assert json.loads((folder / "sweep.json").read_text()) == json.loads(json.dumps(result))
    assert len(result["runs"]) == 9
    for row in result["runs"]:
        lineage = json.loads((folder / row["name"] / "lineage.json").read_text())
        assert row["tokens"] == lineage["tokens"] and row["validation_loss"] == lineage["validation_loss"]
    largest = next(row for row in result["runs"] if row["name"] == "1x32-16k")
    assert largest["tokens"] == 14_336  # whole steps of 8 rows of 256
    assert largest["validation_loss"] < 5.6  # ln 320 is 5.77


def test_page_and_picture_are_there_and_ask_for_nothing_outside(swept: tuple[Path, dict[str, Any]]) -> None:
    folder, result = swept
    page = (folder / "sweep.html").read_text()
    assert (folder / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert all(row["name"] in page for row in result["runs"])
    assert "<svg" in page and "http" not in page.replace("http://www.w3.org", "")
    assert all(sentence.split(":")[0].replace("'", "&#39;") in page for sentence in findings(result))


def test_a_training_of_the_sweep_is_that_of_the_run(swept: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    # The largest budget reads the corpus that an ordinary run of the same settings would have made.
    folder, _ = swept
    point = next(point for point in grid_points(recipe_of()) if point.name == "1x16-16k")
    run = open_run(point.recipe, tmp_path)
    execute(run, stages_of(point.recipe), until="base")
    weights = "model.safetensors"
    assert (tmp_path / "base" / weights).read_bytes() == (folder / point.name / weights).read_bytes()


def test_killed_and_continued_is_the_same_and_repeats_nothing(
    swept: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    train = module.train_base

    def killed_at_the_fifth(run: Run, stage: str) -> None:
        if len(trained) == 4:
            raise KeyboardInterrupt
        trained.append(stage)
        train(run, stage)

    monkeypatch.setattr(module, "train_base", killed_at_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(recipe_of(), tmp_path / "run")
    assert not (tmp_path / "run" / "sweep.json").exists()
    before = list(trained)

    def counted(run: Run, stage: str) -> None:
        trained.append(stage)
        train(run, stage)

    monkeypatch.setattr(module, "train_base", counted)
    result = run_sweep(recipe_of(), tmp_path / "run")
    assert len(trained) == len(set(trained)) == 9 and trained[:4] == before
    losses = {row["name"]: row["validation_loss"] for row in swept[1]["runs"]}
    assert {row["name"]: row["validation_loss"] for row in result["runs"]} == losses
    assert result["law"] == pytest.approx(swept[1]["law"], rel=1e-3, abs=1e-6)


def test_a_new_size_trains_only_itself(
    swept: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil  # noqa: PLC0415

    folder = shutil.copytree(swept[0], tmp_path / "run")
    trained: list[str] = []
    train = module.train_base

    def counted(run: Run, stage: str) -> None:
        trained.append(stage)
        train(run, stage)

    monkeypatch.setattr(module, "train_base", counted)
    wider = recipe_of(grid=["model.width=8,16,32,64", GRID[1]])
    assert len(run_sweep(wider, folder)["runs"]) == 12
    assert sorted(trained) == ["1x64-16k", "1x64-4.096k", "1x64-8.192k"]


def test_words_name_the_pair_or_say_that_there_is_none(swept: tuple[Path, dict[str, Any]]) -> None:
    result = json.loads(json.dumps(swept[1]))
    small, large = result["runs"][0], result["runs"][-1]
    result |= {"pairs": 4, "smaller_won": 3, "pair": {"small": small, "large": large}, "epochs": 2.5}
    result["law"]["E"] = 1e-6
    result["errors"] = dict.fromkeys(result["errors"], 0.01) | {small["name"]: -0.127}
    words = " ".join(findings(result))
    assert "L(N, D) = 0 + " in words and "The constant E came out as 0" in words
    assert f"beats a larger one trained less: {small['name']} (" in words and "3 of 4 pairs" in words
    assert "reads one source 2.5 times" in words
    assert "within 12.7% of it" in words and "the smallest budgets are few steps" in words
    result["errors"][small["name"]] = 0.02
    lost = " ".join(findings(result | {"smaller_won": 0, "pair": None, "epochs": 1.0}))
    assert "did not beat" in lost and "0 of 4 pairs" in lost and "reads one source" not in lost
    assert "few steps" not in lost
    assert "put the sizes or the budgets further apart" in " ".join(findings(result | {"pairs": 0, "pair": None}))


def test_the_plan_is_the_grid_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["sweep", "scaling", "--plan", "--json"])
    assert result.exit_code == 0
    plan, points = json.loads(result.stdout), grid_points(load_recipe("scaling"))
    assert [row["name"] for row in plan["runs"]] == [point.name for point in points]
    assert plan["flops"] == pytest.approx(sum(row["flops"] for row in plan["runs"]))
    table = CliRunner().invoke(app, ["sweep", "scaling", "--plan"]).stdout
    assert table.splitlines()[-1].split() == ["all", f"{plan['tokens']:,}", f"{plan['flops']:.2e}"]
    assert list(tmp_path.iterdir()) == []
