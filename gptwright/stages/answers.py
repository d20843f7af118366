"""Prompts in, answers out: sampling a chat model on many prompts, for comparisons, RL and evaluation alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gptwright.engine.engine import Completion, Engine, Request
from gptwright.engine.sampling import SamplingParams
from gptwright.model.transformer import LanguageModel
from gptwright.records import Prompt
from gptwright.tokenizer.chat import render_prompt
from gptwright.tokenizer.tokenizer import Tokenizer


def sample_answers(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    *,
    seed: int,
    temperature: float,
    max_new_tokens: int,
    each: int = 1,
) -> list[list[Completion]]:
    """`each` answers to every prompt. An answer's draws depend on (seed, its prompt's place, its number) alone."""
    seeds = np.random.default_rng(seed).integers(2**62, size=(len(prompts), each))
    requests = [
        Request(ids, SamplingParams(max_new_tokens, temperature, seed=int(seeds[row, number])))
        for row, ids in enumerate(render_prompt(prompt.messages, tokenizer) for prompt in prompts)
        for number in range(each)
    ]
    completions = Engine(model, stop_ids={tokenizer.end_of_turn}).generate(requests)
    return [completions[row * each : (row + 1) * each] for row in range(len(prompts))]


def answer_text(completion: Completion, tokenizer: Tokenizer) -> str:
    """The answer as a reader sees it, without the end mark."""
    return tokenizer.decode(completion.ids, skip_special=True)
