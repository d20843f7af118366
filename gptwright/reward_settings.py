"""Settings of what practice is rewarded for: reward models, verifiers, rules and rubrics, each with a weight."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gptwright.settings import Count, Positive, Section

PartName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


class ModelReward(Section):
    """The score of a reward model."""

    kind: Literal["model"] = "model"
    weight: float = 1.0
    folder: str | None = None
    """A reward model, such as runs/other:reward; null is the run's own."""


class NumberReward(Section):
    """1 if the last number of the answer, what was thought left aside, is that of the prompt's details.answer."""

    kind: Literal["number"]
    weight: float = 1.0


class MatchReward(Section):
    """1 if the whole turn fits a pattern, as re.fullmatch has it."""

    kind: Literal["match"]
    weight: float = 1.0
    pattern: str
    """Of the turn with its marks, such as '<think>.+</think>.+'; a dot fits a line's end too."""

    @model_validator(mode="after")
    def _is_a_pattern(self) -> Self:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern {self.pattern!r} is no regular expression ({error})") from None
        return self


class TestsReward(Section):
    """The share of the prompt's details.tests (Python statements, usually asserts) that the answer's code passes."""

    __test__ = False  # no test of ours, whatever pytest makes of its name

    kind: Literal["tests"]
    weight: float = 1.0
    seconds: Positive = 2.0
    """Longest run of one answer."""


class LengthReward(Section):
    """How many tokens the answer has above `over`; give it a negative weight."""

    kind: Literal["length"]
    weight: float = -0.01
    over: Annotated[int, Field(ge=0)] = 0


class RepetitionReward(Section):
    """How many lines, sentences and items the answer says again; give it a negative weight."""

    kind: Literal["repetition"]
    weight: float = -0.5


class RubricReward(Section):
    """What a judge's answers to a rubric's questions are worth (the rule-based reward model of GPT-4's report)."""

    kind: Literal["rubric"]
    weight: float = 1.0
    rubric: str
    """A YAML file of multiple-choice questions, or a shipped one: refusal or no_refusal (docs/rlhf.md)."""
    judge: str
    """Who answers: a model's folder, a run's stage (runs/other:sft), or the address of an OpenAI-compatible endpoint
    (http://localhost:8000/v1).
    """
    model: str | None = None
    """At an endpoint: which model."""
    key_variable: str | None = None
    """At an endpoint: the environment variable that holds its key; null is OPENAI_API_KEY for OpenAI's own address and
    none for others.
    """
    use_cases: tuple[str, ...] = ()
    """Only prompts of these are judged, others get 0; none named is all."""
    kinds: tuple[str, ...] = ()
    """Only prompts with one of these as details.kind are judged, others get 0; none named is all. The world's prompts
    that ask for harm are `harmful`, those that only look so `look_alike`.
    """
    at_once: Count = 8
    """At an endpoint: requests under way together."""

    @property
    def is_endpoint(self) -> bool:
        return self.judge.startswith(("http://", "https://"))

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> Self:
        if self.is_endpoint and self.model is None:
            raise ValueError(f"a judge at {self.judge} needs model: which of the endpoint's models answers")
        if not self.is_endpoint:
            self._refuse_changed(("model", "key_variable", "at_once"), "with a judge that is a folder")
        return self


RewardPart = Annotated[
    ModelReward | NumberReward | MatchReward | TestsReward | LengthReward | RepetitionReward | RubricReward,
    Field(discriminator="kind"),
]
