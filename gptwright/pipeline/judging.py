"""Comparisons and the reward model, in the first round and in every later one.

Round 1 ranks answers of the SFT model. Each later round asks new prompts, has the policy of the round before answer
them (with some answers of the SFT model among them), and trains the reward model anew on all judgements so far
(Ouyang et al. 2022, section 3.1: "steps 2 and 3 can be iterated continuously").
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from gptwright import world
from gptwright.data.conversations import read_comparisons, read_prompts
from gptwright.data.jsonl import read_jsonl, write_jsonl
from gptwright.errors import InputError, RunError
from gptwright.feedback.rubric import check_judge
from gptwright.model.folder import load_language_model
from gptwright.pipeline.reward_report import reward_figures
from gptwright.pipeline.rewards import judge_found, judge_of
from gptwright.pipeline.run import Run
from gptwright.pipeline.wiring import (
    MEASURE_PROMPTS,
    check_drawn,
    finish_model,
    place,
    split_comparisons,
    split_conversations,
    workspace,
)
from gptwright.practice_settings import RoundsSettings
from gptwright.recipe import RewardSettings, nth
from gptwright.records import Comparison, Message, Prompt, message_from_json, to_json
from gptwright.stages.answers import answer_text, sample_answers, that_fit
from gptwright.stages.reward import RewardTrainer, train_reward_model
from gptwright.tasks import world as world_task
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.progress import Progress, say

COMPARISONS = "comparisons.jsonl"


def check_round(rounds: RoundsSettings, number: int, *, seed: int) -> None:
    """Before the first round spends hours: raises InputError for prompts or a judge of a later one that are not there,
    in a run of this seed.
    """
    if rounds.data is None:
        check_drawn("rounds.prompts", "reward", rounds.prompts, _seed_of(number, seed))
    else:
        there, needed = len(_distinct(rounds.data)), (rounds.count - 2) * rounds.prompts + 1
        if there < needed:
            raise InputError(
                f"{rounds.data} has {there} different prompts, and {rounds.count} rounds of rounds.prompts "
                f"({rounds.prompts}) need {needed} or more: add some, or lower rounds.prompts"
            )
    if rounds.rubric is not None:
        check_judge(judge_found(rounds.rubric))


def _seed_of(number: int, seed: int) -> int:
    """Of a round's draws, in a run of this seed."""
    return seed + 1_000 * number


def _distinct(path: str) -> list[Prompt]:
    """A file's prompts, each once."""
    return list({prompt.messages: prompt for prompt in read_prompts(path)}.values())


def collect_comparisons(run: Run) -> None:
    """The first round's: those of a file, or answers of the SFT model as simulated labellers rank them."""
    settings = run.recipe.reward
    assert settings is not None  # the stage exists only with its section
    if settings.data is not None:
        _finish(run, 1, list(read_comparisons(settings.data)))
        return
    prompts = world.prompts("reward", settings.prompts, seed=run.recipe.seed)
    texts, cost = _answers(run, prompts, {"sft": settings.answers}, settings, number=1)
    prompts = [prompt for prompt, _ in texts]
    answers = [each for _, each in texts]
    judged = world_task.compare(prompts, answers, seed=run.recipe.seed, labellers=settings.labellers)
    _finish(run, 1, judged, cost)


def collect_more(run: Run, number: int) -> None:
    """Round `number`'s: answers of the last policy, and some of the SFT model's, judged and added to those before."""
    settings, rounds = run.recipe.reward, run.recipe.rounds
    assert settings is not None and rounds is not None
    before = list(read_comparisons(run.folder / nth("comparisons", number - 1) / COMPARISONS))
    if rounds.data is None:
        known = {comparison.prompt.messages for comparison in before}
        drawn = world.prompts("reward", rounds.prompts, seed=_seed_of(number, run.recipe.seed))
        prompts = [prompt for prompt in drawn if prompt.messages not in known]
        if len(prompts) < len(drawn):
            say(f"{nth('comparisons', number):<12} left out {len(drawn) - len(prompts)} prompts of earlier rounds")
    else:
        prompts = _distinct(rounds.data)[(number - 2) * rounds.prompts : (number - 1) * rounds.prompts]
    # One answer at least is the policy's, and one the SFT model's unless none is asked for.
    old = min(settings.answers - 1, max(int(rounds.mixed > 0), round(settings.answers * rounds.mixed)))
    who = {nth("ppo", number - 1): settings.answers - old, "sft": old}
    texts, cost = _answers(run, prompts, who, settings, number=number)
    _finish(run, number, before + _judged(run, rounds, number, texts), cost)


class _Cost(TypedDict):
    """Of sampling the answers: tokens, their FLOPs, seconds."""

    tokens: int
    flops: float
    seconds: float


def _answers(
    run: Run, prompts: Sequence[Prompt], who: dict[str, int], settings: RewardSettings, *, number: int
) -> tuple[list[tuple[Prompt, list[str]]], _Cost]:
    """Each prompt that fits with all models' finished answers to it, and what they cost. What was cut off would be
    ranked as if it ended there; a prompt with fewer than two finished answers is left out.

    Raises RunError where none has two.
    """
    started = time.monotonic()
    spot, tokenizer = workspace(run, "comparisons"), Tokenizer.load(run.folder / "sft")
    kept = that_fit(prompts, tokenizer, run.recipe.model.context)
    texts, tokens, flops, shift = [list[str]() for _ in kept], 0, 0.0, 1_000 * number if number > 1 else 1
    progress = Progress(nth("comparisons", number), len(kept) * sum(who.values()))
    for place_of_model, (name, each) in enumerate(who.items()):
        if not each:
            continue
        model = load_language_model(run.folder / name)
        sampled = sample_answers(
            model.to(spot.path.device),
            tokenizer,
            kept,
            seed=run.recipe.seed + shift + place_of_model,
            temperature=settings.temperature,
            max_new_tokens=settings.max_new_tokens,
            each=each,
            progress=progress,
        )
        for own, completions in zip(texts, sampled, strict=True):
            own += [answer_text(each, tokenizer) for each in completions if each.finish_reason == "stop"]
        count = sum(len(completion.ids) for completions in sampled for completion in completions)
        tokens, flops = tokens + count, flops + model.config.flops_per_token(64) / 3 * count
    ranked = [(prompt, own) for prompt, own in zip(kept, texts, strict=True) if len(own) > 1]
    cut = len(kept) * sum(who.values()) - sum(map(len, texts))
    limit = f"reward.max_new_tokens ({settings.max_new_tokens})"
    if not ranked:
        raise RunError(f"no prompt has two answers that ended within {limit}: raise it, or finetune longer first")
    if cut:
        say(
            f"  left out {cut} answers that did not end within {limit}, and {len(kept) - len(ranked)} prompts with them"
        )
    return ranked, _Cost(tokens=tokens, flops=flops, seconds=time.monotonic() - started)


def _judged(
    run: Run, rounds: RoundsSettings, number: int, texts: Sequence[tuple[Prompt, list[str]]]
) -> list[Comparison]:
    """As simulated labellers, a rubric's judge, or people rank them; people are waited for."""
    settings = run.recipe.reward
    assert settings is not None
    if rounds.judged is not None:
        return _judged_by_people(run, rounds.judged.replace("{round}", str(number)), number, texts)
    if rounds.rubric is not None:
        judge = judge_of(run, rounds.rubric, workspace(run, "comparisons").path.device)
        points = judge([(prompt.messages, text) for prompt, own in texts for text in own])
        rest, found = iter(points), list[Comparison]()
        for prompt, own in texts:
            worth = [next(rest) for _ in own]
            order = sorted(set(worth), reverse=True)
            ranks = tuple(order.index(each) for each in worth)
            found.append(Comparison(prompt, tuple(own), ranks, labeller="rubric"))
        return found
    prompts, answers = [prompt for prompt, _ in texts], [own for _, own in texts]
    return world_task.compare(prompts, answers, seed=_seed_of(number, run.recipe.seed), labellers=settings.labellers)


def _same_round(there: Sequence[dict[str, Any]], texts: Sequence[tuple[Prompt, list[str]]]) -> bool:
    """Whether these rows are what people were given in this round. Another machine may draw a token here and there
    otherwise, and so cut an answer off: most answers must be alike, not all.
    """
    given = _answers_of(there)
    known = sum(answer in given.get(prompt.messages, ()) for prompt, own in texts for answer in own)
    return 2 * known >= sum(len(own) for _, own in texts)


def _answers_of(rows: Sequence[dict[str, Any]]) -> dict[tuple[Message, ...], set[str]]:
    """Those to each prompt of a file that waits for rankings."""
    found = dict[tuple[Message, ...], set[str]]()
    for row in rows:
        messages = tuple(message_from_json(message) for message in row["prompt"]["messages"])
        found.setdefault(messages, set()).update(row["answers"])
    return found


def _judged_by_people(run: Run, path: str, number: int, texts: Sequence[tuple[Prompt, list[str]]]) -> list[Comparison]:
    """Their rankings, once they are there. Before, raises InputError that says what waits for them."""
    waiting = run.folder / f"to_judge_{number}.jsonl"
    there = [row for _, row in read_jsonl(waiting)] if waiting.is_file() else []
    rows: list[dict[str, Any]] = [{"prompt": to_json(prompt), "answers": own} for prompt, own in texts]
    ours = _same_round(there, texts)
    if Path(path).is_file():
        judged, asked = list(read_comparisons(path)), _answers_of(there if ours else ())
        for prompt, own in texts:
            asked.setdefault(prompt.messages, set()).update(own)
        strange = [c for c in judged if not set(c.answers) <= asked.get(c.prompt.messages, set())]
        if strange:
            raise InputError(
                f"{path} ranks answers that were not given in round {number} of {run.folder}, such as those to prompt "
                f"{strange[0].prompt.id!r}: name another file in rounds.judged, or move that one away"
            )
        return judged
    if not ours:
        if there:  # ranks that were written into it already are not lost
            waiting.replace(waiting.with_suffix(".old.jsonl"))
        write_jsonl(waiting, rows)
    raise InputError(
        f"round {number} waits for judgements: {len(texts)} prompts with answers are in {waiting}; add ranks (0 is "
        f"best) to each line, save it as {path}, and give the same command again"
    )


def _finish(run: Run, number: int, compared: Sequence[Comparison], cost: _Cost | None = None) -> None:
    stage, rows = nth("comparisons", number), [to_json(comparison) for comparison in compared]
    if number > 1:
        say(f"{stage:<12} {len(rows)} comparisons in all")

    def write(folder: Path) -> None:
        write_jsonl(folder / COMPARISONS, rows)

    figures = dict(cost) if cost else {}
    place(run, stage).finish(write, run.lineage(stage, **figures))


def train_reward(run: Run, number: int = 1) -> None:
    """The reward model of a round, from the SFT model, on all comparisons so far."""
    settings, stage = run.recipe.reward, nth("reward", number)
    assert settings is not None and run.recipe.sft is not None
    tokenizer, sft_model = Tokenizer.load(run.folder / "sft"), load_language_model(run.folder / "sft")
    train, held_out = split_comparisons(run, number)
    if run.recipe.sft.data is None:
        demonstrations = world.demonstrations("validation", MEASURE_PROMPTS, seed=run.recipe.seed)
    else:
        demonstrations = split_conversations(run.recipe.sft.data)[1]
    spot = workspace(run, stage)
    trainer = RewardTrainer(sft_model, tokenizer, train, held_out, settings, spot)
    result, scores = train_reward_model(trainer, demonstrations)
    flops = sft_model.config.flops_per_token(64) * result.tokens
    report = reward_figures(run, trainer, result.scale, train, scores, number)
    finish_model(run, spot, trainer.model, tokenizer, report=report, flops=flops, **dataclasses.asdict(result))
