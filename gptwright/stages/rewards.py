"""What says how good an answer is: reward models, and whatever else can look at answers, behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from gptwright.engine.request import Completion
from gptwright.model.transformer import ScalarModel
from gptwright.records import Prompt
from gptwright.stages.repetition import count_repeated
from gptwright.stages.scoring import ScoredRow, score_all
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.fast_path import FastPath


class Answered(NamedTuple):
    """A prompt, as a record and as ids, and an answer to it, as ids with their end mark and as text without."""

    prompt: Prompt
    prompt_ids: list[int]
    completion: Completion
    text: str


Reward = Callable[[Sequence[Answered]], Sequence[float]]
"""A number for each answer: more is better, and differences are what counts."""


def model_reward(model: ScalarModel, tokenizer: Tokenizer, path: FastPath) -> Reward:
    """The reward model's score, read at the reward token behind the answer."""
    model = model.to(path.device).eval()  # never given to an optimizer

    def score(answers: Sequence[Answered]) -> list[float]:
        room = model.config.context
        rows = [
            ScoredRow(
                [*each.prompt_ids, *each.completion.ids, tokenizer.reward][:room],
                len(each.prompt_ids),
                count_repeated(each.text),
            )
            for each in answers
        ]
        return score_all(model, rows, tokenizer.pad, path)

    return score
