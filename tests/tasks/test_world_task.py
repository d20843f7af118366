"""The world as a task: the judge's verdicts as figures, the labellers' rankings as comparisons."""

from __future__ import annotations

import pytest

from gptwright import world
from gptwright.tasks import world as world_task

PROMPTS = world.prompts("validation", 30, seed=0)
RIGHT = [world.demonstrate(prompt, seed=0) for prompt in PROMPTS]


def test_demonstrations_are_right_and_silence_is_not() -> None:
    right, silent = world_task.score(PROMPTS, RIGHT), world_task.score(PROMPTS, [""] * len(PROMPTS))
    assert all(row.correct is not False for row in right)
    assert {row.score for row in silent} == {0.0}
    assert min(row.score for row in right) > 0.5


def test_a_verdict_names_its_prompt_use_case_and_kind() -> None:
    for prompt, row in zip(PROMPTS, world_task.score(PROMPTS, RIGHT), strict=True):
        assert (row.prompt_id, row.use_case, row.kind) == (prompt.id, prompt.use_case, prompt.details["kind"])
        assert row.fact == bool(prompt.details["fact"])


def test_figures_are_the_mean_score_and_the_share_right_of_what_can_be_checked() -> None:
    answers = [answer if i % 3 else "" for i, answer in enumerate(RIGHT)]
    scored = world_task.score(PROMPTS, answers)
    checked = [row.correct for row in scored if row.correct is not None]
    assert 0 < sum(checked) < len(checked)
    found = world_task.figures(PROMPTS, answers)
    assert found["gold_score"] == pytest.approx(sum(row.score for row in scored) / 30)
    assert found["accuracy"] == pytest.approx(sum(checked) / len(checked))


def test_every_prompt_needs_its_answer() -> None:
    with pytest.raises(ValueError, match="shorter"):
        world_task.score(PROMPTS, RIGHT[:-1])


def test_comparisons_are_the_same_for_the_same_seed_alone() -> None:
    answers = [[right, "I am not sure.", ""] for right in RIGHT]
    first, again, other = (world_task.compare(PROMPTS, answers, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert [comparison.prompt for comparison in first] == PROMPTS
    assert [comparison.answers for comparison in first] == [tuple(texts) for texts in answers]


def test_labellers_prefer_right_answers_to_silence() -> None:
    compared = world_task.compare(PROMPTS, [[right, ""] for right in RIGHT], seed=1)
    assert sum(comparison.ranks == (0, 1) for comparison in compared) > 0.9 * len(compared)


def test_several_labellers_rank_each_prompt_in_turn() -> None:
    answers = [[right, ""] for right in RIGHT]
    compared = world_task.compare(PROMPTS, answers, seed=1, labellers=3)
    assert [row.prompt for row in compared] == [prompt for prompt in PROMPTS for _ in range(3)]
    assert all(len({row.labeller for row in compared[i : i + 3]}) == 3 for i in range(0, len(compared), 3))
    assert compared[::3] == world_task.compare(PROMPTS, answers, seed=1)
