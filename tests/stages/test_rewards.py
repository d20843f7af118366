"""Rewards of several parts: what each looks at, and how they add up."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from gptwright.engine.request import Completion
from gptwright.errors import RunError
from gptwright.records import Message, Prompt
from gptwright.stages.answers import answer_text, answer_turn
from gptwright.stages.rewards import (
    Answered,
    length_reward,
    match_reward,
    model_reward,
    repetition_reward,
    text_reward,
    weighted,
)
from gptwright.tokenizer.chat import turn_ids
from gptwright.tokenizer.tokenizer import Tokenizer


def answered(content: str, thinking: str = "", tokens: int = 4, name: str = "p", **details: object) -> Answered:
    prompt = Prompt(name, (Message("user", "?"),), details=details)
    return Answered(prompt, [1, 2], Completion([0] * tokens), Message("assistant", content, thinking))


def completed(ids: list[int], tokenizer: Tokenizer) -> Answered:
    completion = Completion(ids)
    return Answered(Prompt("p", (Message("user", "?"),)), [1, 2], completion, answer_turn(completion, tokenizer))


def test_parts_are_weighted_and_summed_and_each_is_told() -> None:
    reward = weighted({"long": (length_reward(3), -0.5), "again": (repetition_reward, 2.0)})
    rewarded = reward([answered("Ant. Ant. Bee.", tokens=7), answered("Ant.", tokens=2)])
    assert rewarded.parts == {"long": [4.0, 0.0], "again": [1.0, 0.0]}
    assert rewarded.total == [-0.5 * 4 + 2.0 * 1, 0.0]


def test_a_part_of_no_weight_is_told_and_changes_nothing() -> None:
    with_watch = weighted({"a": (length_reward(0), 1.0), "b": (repetition_reward, 0.0)})
    answers = [answered("Ant. Ant.", tokens=5)]
    assert with_watch(answers).total == weighted({"a": (length_reward(0), 1.0)})(answers).total
    assert with_watch(answers).parts["b"] == [1.0]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_part_without_a_finite_number_is_named_with_its_prompt(value: float) -> None:
    reward = weighted({"odd": (lambda answers: [value] * len(answers), 1.0)})
    with pytest.raises(RunError, match="reward odd gave an answer to prompt 'q7' the value"):
        reward([answered("Hi", name="q7")])


@pytest.mark.parametrize(
    ("written", "fits"),
    [
        ("<think>2+3=5\nso</think>5", True),
        ("5", False),
        ("<think>2+3=5</think>", False),
        ("5 </think> 6", False),
        ("5<think>2+3</think>", False),
        ("<think>2+3=5", False),
        ("2+3</think>5", False),
    ],
)
def test_a_pattern_must_fit_the_whole_turn_as_it_was_written(tokenizer: Tokenizer, written: str, fits: bool) -> None:
    marks = {"<think>": tokenizer.think, "</think>": tokenizer.think_end}
    parts = re.split("(</?think>)", written)
    ids = [token for part in parts for token in ([marks[part]] if part in marks else tokenizer.encode(part))]
    score = match_reward("<think>.+</think>.+", tokenizer)
    assert score([completed([*ids, tokenizer.end_of_turn], tokenizer)]) == [float(fits)]
    # Characters that look like marks are no thought.
    assert score([completed([*tokenizer.encode(written), tokenizer.end_of_turn], tokenizer)]) == [0.0]


def test_a_pattern_sees_a_call_of_a_tool_behind_what_is_said(tokenizer: Tokenizer) -> None:
    turn = Message("assistant", "Let me see.", tool_calls=('{"name":"add"}',))
    answer = completed(turn_ids(turn, tokenizer), tokenizer)
    assert match_reward('Let me see.<tool_call>{"name":"add"}', tokenizer)([answer]) == [1.0]


def test_a_verifier_sees_the_prompts_details_and_what_is_said_alone() -> None:
    seen: list[tuple[object, str]] = []

    def score(prompt: Prompt, text: str) -> float:
        seen.append((prompt.details["answer"], text))
        return 0.25

    assert text_reward(score)([answered("5", "2+3", answer=5)]) == [0.25]
    assert seen == [(5, "5")]


def test_an_answers_turn_is_what_was_rendered(tokenizer: Tokenizer) -> None:
    turn = Message("assistant", "It is 5.", "2+3", ('{"name":"add"}',))
    completion = Completion(turn_ids(turn, tokenizer))
    assert answer_turn(completion, tokenizer) == turn
    assert answer_text(completion, tokenizer) == "It is 5."


def test_thinking_that_never_ends_says_nothing(tokenizer: Tokenizer) -> None:
    completion = Completion([tokenizer.think, *tokenizer.encode("2+3"), tokenizer.end_of_turn])
    assert answer_turn(completion, tokenizer) == Message("assistant", "", "2+3")


def test_the_reward_model_reads_what_people_saw(make_scalar: Any, tokenizer: Tokenizer, make_workspace: Any) -> None:
    """Whoever ranked answers saw no thoughts and no calls of tools, and the reward model learned from those texts."""
    score = model_reward(make_scalar(likelihood=0.1), tokenizer, make_workspace().path)
    asked = [5, 6]

    def given(turn: Message) -> Answered:
        ids = [*turn_ids(turn, tokenizer)]
        return Answered(Prompt("a", (Message("user", "2+3"),)), asked, Completion(ids), turn)

    plain = given(Message("assistant", "It is 5."))
    thinking = given(Message("assistant", "It is 5.", "2+3 is 5", ('{"name":"add"}',)))
    assert len(thinking.completion.ids) > len(plain.completion.ids)
    assert score([plain]) == pytest.approx(score([thinking]), abs=1e-5)
