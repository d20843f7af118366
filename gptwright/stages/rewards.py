"""What says how good an answer is: reward models, and whatever else can look at answers, weighted and summed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from gptwright.engine.request import Completion
from gptwright.errors import RunError
from gptwright.model.transformer import ScalarModel
from gptwright.records import Message, Prompt
from gptwright.stages.answers import answer_turn, marked_text
from gptwright.stages.repetition import count_repeated
from gptwright.stages.scoring import ScoredRow, score_all
from gptwright.tokenizer.chat import render_prompt, response_ids
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.fast_path import FastPath


class Answered(NamedTuple):
    """A prompt, as a record and as ids, and an answer to it, as ids with their end mark and as a turn."""

    prompt: Prompt
    prompt_ids: list[int]
    completion: Completion
    turn: Message

    @property
    def text(self) -> str:
        """What it says; what was thought before is not said."""
        return self.turn.content


def answered(
    prompts: Sequence[Prompt], sampled: Sequence[Sequence[Completion]], tokenizer: Tokenizer
) -> list[Answered]:
    """Every prompt's answers, prompt after prompt."""
    return [
        Answered(prompt, ids, completion, answer_turn(completion, tokenizer))
        for prompt, completions in zip(prompts, sampled, strict=True)
        for ids in [render_prompt(prompt.messages, tokenizer)]
        for completion in completions
    ]


class Rewarded(NamedTuple):
    """A number for each answer (more is better, and differences are what counts), and by name what went into it."""

    total: list[float]
    parts: dict[str, list[float]]


Part = Callable[[Sequence[Answered]], Sequence[float]]
Reward = Callable[[Sequence[Answered]], Rewarded]


def weighted(parts: Mapping[str, tuple[Part, float]]) -> Reward:
    """Each part times its weight, summed. A part that gives an answer no finite number raises RunError."""

    def reward(answers: Sequence[Answered]) -> Rewarded:
        scores = {name: [float(score) for score in part(answers)] for name, (part, _) in parts.items()}
        for name, each in scores.items():
            for answer, score in zip(answers, each, strict=True):
                if not math.isfinite(score):
                    raise RunError(f"reward {name} gave an answer to prompt {answer.prompt.id!r} the value {score}")
        weights = [weight for _, weight in parts.values()]
        rows = zip(*scores.values(), strict=True)
        return Rewarded([sum(w * s for w, s in zip(weights, row, strict=True)) for row in rows], scores)

    return reward


def choosable(scores: Sequence[float], answers: Sequence[Answered]) -> list[float]:
    """What the best answer is chosen by: one that did not end comes behind all that did."""
    return [
        score if each.completion.finish_reason == "stop" else -math.inf
        for score, each in zip(scores, answers, strict=True)
    ]


def model_reward(model: ScalarModel, tokenizer: Tokenizer, path: FastPath) -> Part:
    """The reward model's score, read at the reward token behind the answer. It sees what people saw who ranked such
    answers: not what was thought before, and no calls of tools.
    """
    model = model.to(path.device).eval()  # never given to an optimizer

    def ids_of(answer: Answered) -> list[int]:
        turn = answer.turn
        return response_ids(turn.content, tokenizer) if turn.thinking or turn.tool_calls else answer.completion.ids

    def score(answers: Sequence[Answered]) -> list[float]:
        rows = [
            ScoredRow(
                [*each.prompt_ids, *ids_of(each), tokenizer.reward], len(each.prompt_ids), count_repeated(each.text)
            )
            for each in answers
        ]
        return score_all(model, rows, tokenizer.pad, path)

    return score


def length_reward(over: int) -> Part:
    """Tokens above `over`, the end mark included."""
    return lambda answers: [max(0, len(each.completion.ids) - over) for each in answers]


def repetition_reward(answers: Sequence[Answered]) -> list[float]:
    """Lines, sentences and items that are said again."""
    return [count_repeated(each.text) for each in answers]


def match_reward(pattern: str, tokenizer: Tokenizer) -> Part:
    """1 where the whole turn fits as it was written, marks and all."""
    wanted = re.compile(pattern, flags=re.DOTALL)
    return lambda answers: [
        float(wanted.fullmatch(marked_text(each.completion, tokenizer)) is not None) for each in answers
    ]


def text_reward(score: Callable[[Prompt, str], float]) -> Part:
    """A verifier of one answer's text, such as those of `tasks.verifiers`, over many."""
    return lambda answers: [score(each.prompt, each.text) for each in answers]
