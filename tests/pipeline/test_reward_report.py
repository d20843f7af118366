"""What the reward report compares the reward model with."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gptwright import world
from gptwright.engine.request import Completion
from gptwright.errors import InputError
from gptwright.pipeline.reward_report import best_figures, check_reward_model, second_opinion
from gptwright.recipe import PpoSettings
from gptwright.records import FinishReason, Message
from gptwright.stages.rewards import Answered


def test_agreement_is_asked_of_somebody_else() -> None:
    (prompt,) = world.prompts("test", 1, seed=0)
    answers = ("I am sorry, I do not know.", "Yes.", "No, thank you.")
    people = set()
    for seed in range(60):
        first = world.compare(prompt, answers, seed=seed)
        again = second_opinion(first, seed + 1_000)
        assert again.labeller != first.labeller
        assert (again.prompt, again.answers) == (first.prompt, first.answers)
        people |= {first.labeller, again.labeller}
    assert len(people) == 5


@pytest.mark.parametrize("accuracy", [0.5, float("nan")])
def test_a_bad_reward_model_from_elsewhere_is_not_practised_against(tmp_path: Path, accuracy: float) -> None:
    """Its lineage says how good it is; one that says nothing, such as a model of the hub, is taken as it is."""
    (tmp_path / "config.json").write_text("{}")
    settings = PpoSettings.model_validate({"rewards": {"m": {"kind": "model", "folder": str(tmp_path)}}})
    run: Any = SimpleNamespace(folder=tmp_path / "run")
    check_reward_model(run, settings)
    (tmp_path / "lineage.json").write_text(json.dumps({"validation_accuracy": accuracy}))
    with pytest.raises(InputError, match=r"held-out pair.* as labelled, and least_accuracy asks for 55%") as refused:
        check_reward_model(run, settings)
    assert str(tmp_path) in str(refused.value)
    check_reward_model(run, settings.model_copy(update={"least_accuracy": 0.0}))


def test_the_best_of_n_is_one_that_ended_while_any_did() -> None:
    """As rejection sampling and practice take answers: what was cut off is not chosen for its beginning."""
    (prompt,) = world.prompts("validation", 1, seed=0)
    said = [world.demonstrate(prompt, seed=0, manner="excellent"), *["Yes, well."] * 15]
    reasons: list[FinishReason] = ["length", *["stop"] * 15]  # type: ignore[list-item]
    answers = [
        Answered(prompt, [1], Completion([2], finish_reason=reason), Message("assistant", text))
        for text, reason in zip(said, reasons, strict=True)
    ]
    worth = [world.judge(prompt, text).score for text in said]
    found = best_figures(answers, [9.0, *[0.0] * 15])
    assert worth[0] > worth[1]
    assert found["16"]["value"] == pytest.approx(worth[1])
    assert found["1"]["value"] == pytest.approx(sum(worth) / 16)
