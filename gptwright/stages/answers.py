"""Prompts in, answers out: sampling a chat model on many prompts, for comparisons, RL and evaluation alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import numpy as np

from gptwright.engine.engine import Engine
from gptwright.engine.native.decoder import Weights
from gptwright.engine.params import SamplingParams
from gptwright.engine.protocol import PartStream
from gptwright.engine.request import Completion, Request
from gptwright.errors import InputError
from gptwright.model.transformer import LanguageModel
from gptwright.records import Message, Prompt
from gptwright.tokenizer.chat import render_prompt
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.distributed import ALONE, Ranks
from gptwright.train.progress import Progress, say

Generate = Callable[[Sequence[Request], Callable[[], None] | None], list[Completion]]
"""(requests, what to call when one of them has its answer) -> the answers."""


def that_fit(prompts: Sequence[Prompt], tokenizer: Tokenizer, context: int, *, room: int = 1) -> list[Prompt]:
    """The prompts that leave `room` tokens for an answer, and says how many do not. Raises InputError when none does.

    Who scores answers needs room for the longest one and the reward token.
    """
    kept = [prompt for prompt in prompts if len(render_prompt(prompt.messages, tokenizer)) + room <= context]
    limit = f"model.context ({context} tokens{f', {room} of them for an answer' if room > 1 else ''})"
    if not kept:
        raise InputError(f"none of {len(prompts)} prompts fits into {limit}: raise it")
    if len(kept) < len(prompts):
        say(f"  left out {len(prompts) - len(kept)} of {len(prompts)} prompts, too long for {limit}")
    return kept


def sample_answers(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    *,
    seed: int,
    temperature: float,
    max_new_tokens: int,
    each: int = 1,
    weights: Weights = "float32",
    generate: Generate | None = None,
    ranks: Ranks = ALONE,
    progress: Progress | None = None,
) -> list[list[Completion]]:
    """`each` answers to every prompt, by the engine or by what `generate` asks in its place. An answer's draws depend
    on (seed, its prompt's place, its number) alone; several ranks share the prompts out, and all of them get all
    answers. `progress` counts answers.
    """
    generate = generate or Engine(model, stop_ids={tokenizer.end_of_turn}, weights=weights).generate
    seeds = np.random.default_rng(seed).integers(2**62, size=(len(prompts), each))

    def sample(rows: Sequence[int]) -> list[list[Completion]]:
        requests = [
            Request(ids, SamplingParams(max_new_tokens, temperature, seed=int(seeds[row, number])))
            for row, ids in ((row, render_prompt(prompts[row].messages, tokenizer)) for row in rows)
            for number in range(each)
        ]
        completions = generate(requests, progress.advance if progress else None)
        return [completions[start : start + each] for start in range(0, len(completions), each)]

    return ranks.shared_out(range(len(prompts)), sample)


def answer_text(completion: Completion, tokenizer: Tokenizer) -> str:
    """The answer as a reader sees it, without the end mark and without what was thought before it."""
    return answer_turn(completion, tokenizer).content


def answer_turn(completion: Completion, tokenizer: Tokenizer) -> Message:
    """The answer as a turn of a chat: what was thought, what was said, what tools were called."""
    if not {tokenizer.think, tokenizer.think_end, tokenizer.tool_call} & set(completion.ids):
        return Message("assistant", tokenizer.decode(completion.ids, skip_special=True))
    stream = PartStream(tokenizer)
    ids = [token for token in completion.ids if token != tokenizer.end_of_turn]
    parts = [part for token in ids for part in stream.feed(token)] + stream.finish()
    said = {kind: "".join(part.text for part in parts if part.kind == kind) for kind in ("content", "thinking")}
    calls = tuple(part.text for part in parts if part.kind == "tool_call")
    return Message("assistant", said["content"], said["thinking"], calls)


def marked_text(completion: Completion, tokenizer: Tokenizer) -> str:
    """The answer in the order in which it was written, its marks as <think>, </think> and <tool_call>. A mark that is
    only spelled out is none: it is broken by a zero byte.
    """
    marks = {tokenizer.think: "<think>", tokenizer.think_end: "</think>", tokenizer.tool_call: "<tool_call>"}

    def spelled(ids: Iterable[int]) -> str:
        text = tokenizer.decode(ids, skip_special=True)
        for mark in marks.values():
            text = text.replace(mark, f"<\0{mark[1:]}")
        return text

    groups = groupby(completion.ids, marks.get)
    return "".join(mark * len(list(ids)) if mark else spelled(ids) for mark, ids in groups)
