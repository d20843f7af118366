"""The report's table of stages: what each one took."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gptwright.pipeline.evaluation import stage_table
from gptwright.recipe import Recipe


def test_sampling_comparisons_counts_with_the_reward_model_of_its_round(tmp_path: Path) -> None:
    costs = {"base": (50.0, 20.0), "comparisons": (3.0, 10.0), "reward": (5.0, 30.0)}
    costs |= {"comparisons_2": (1.0, 4.0), "reward_2": (6.0, 32.0)}
    for stage, (flops, seconds) in costs.items():
        (tmp_path / stage).mkdir()
        told = {"parameters": 1000, "flops": flops, "seconds": seconds}
        (tmp_path / stage / "lineage.json").write_text(json.dumps(told), encoding="utf-8")
    recipe = Recipe.model_validate({"name": "mine", "sft": {}, "reward": {}})
    rows = stage_table(tmp_path, recipe, costs)
    assert [(row["flops"], row["seconds"]) for row in rows] == [(50.0, 20.0), (8.0, 40.0), (7.0, 36.0)]
    of_round_1 = stage_table(tmp_path, recipe, {"base", "comparisons", "reward"})  # the rest is another recipe's
    assert [row["share"] for row in of_round_1] == pytest.approx([50 / 58, 8 / 58])
