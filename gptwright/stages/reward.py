"""The reward model: the SFT model with a scalar head, trained to score answers as the labellers rank them.

An answer is rendered as the policy writes it, then the reward token; the score is read there, at the last real token,
found from lengths. All pairs of one prompt are one element of the batch (losses/preference.py). Afterwards the head is
scaled so that scores of sampled answers have standard deviation 1, and its bias set so that demonstrations average 0:
PPO's coefficients then mean the same in every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gptwright.errors import InputError
from gptwright.losses.preference import ranking_loss
from gptwright.model.transformer import LanguageModel, ScalarModel, scalar_from
from gptwright.recipe import RewardSettings
from gptwright.records import Comparison, Conversation, Message
from gptwright.stages.workspace import Workspace
from gptwright.tokenizer.chat import render
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.batches import batch_indices, length_buckets, pad_right
from gptwright.train.checkpoint import Trainee
from gptwright.train.loop import Metrics, run_loop
from gptwright.train.optimizers import Optimizers
from gptwright.train.progress import say
from gptwright.train.step import SkipCounter, gradient_step

MICRO_TOKENS = 4096


@dataclass(frozen=True)
class RewardResult:
    """What training spent; `scale` turns scores back into log-odds: P(a beats b) = sigmoid(scale * (r_a - r_b))."""

    model: ScalarModel
    seconds: float
    tokens: int
    scale: float
    validation_accuracy: float


def reward_ids(messages: Sequence[Message], answer: str, tokenizer: Tokenizer) -> list[int]:
    """A prompt and a finished answer as the reward model reads them."""
    return [*render([*messages, Message("assistant", answer)], tokenizer).ids, tokenizer.reward]


def score_ids(model: ScalarModel, rows: Sequence[Sequence[int]], pad: int, workspace: Workspace) -> Tensor:
    """The score of each row, read at its last token -> (rows,) float32 on the device; gradients flow if enabled."""
    ids_BT, mask_BT = pad_right(rows, pad)
    ids_BT = ids_BT.to(workspace.path.device)
    last_B = (mask_BT.sum(dim=1) - 1).to(workspace.path.device)
    with workspace.path.autocast():
        value_BT = model(ids_BT)
    return value_BT[torch.arange(len(rows), device=value_BT.device), last_B]


@torch.no_grad()
def score_all(model: ScalarModel, rows: Sequence[Sequence[int]], pad: int, workspace: Workspace) -> list[float]:
    """Scores of many rows, in order, in groups of similar length."""
    scores = [0.0] * len(rows)
    for bucket in length_buckets([len(row) for row in rows], MICRO_TOKENS):
        found = score_ids(model, [rows[i] for i in bucket], pad, workspace).tolist()
        for index, score in zip(bucket, found, strict=True):
            scores[index] = score
    return scores


def comparison_rows(comparison: Comparison, tokenizer: Tokenizer) -> list[list[int]]:
    return [reward_ids(comparison.prompt.messages, answer, tokenizer) for answer in comparison.answers]


def train_reward_model(
    sft_model: LanguageModel,
    tokenizer: Tokenizer,
    train: Sequence[Comparison],
    held_out: Sequence[Comparison],
    demonstrations: Sequence[Conversation],
    settings: RewardSettings,
    workspace: Workspace,
) -> RewardResult:
    """Train on `train`; measure on `held_out`, other prompts. Raises InputError when no comparison has a winner."""
    usable = [comparison for comparison in train if comparison.pairs() and _fits(comparison, tokenizer, sft_model)]
    if not usable:
        raise InputError("no comparison has a better and a worse answer: rank some answers apart from each other")
    ties = sum(len(c.answers) * (len(c.answers) - 1) // 2 - len(c.pairs()) for c in train)
    say(f"reward       {len(usable)} prompts, {sum(len(c.pairs()) for c in usable)} pairs, {ties} ties left out")
    model = scalar_from(sft_model, workspace.seed).to(workspace.path.device)
    optimizers = Optimizers(model, settings.optimizer)
    rows = [comparison_rows(comparison, tokenizer) for comparison in usable]
    validation = [comparison for comparison in held_out if _fits(comparison, tokenizer, sft_model)]
    total = settings.epochs * -(-len(usable) // settings.batch_prompts)
    log, skips = workspace.log(), SkipCounter()
    accuracy = float("nan")

    def before_step(step: int) -> None:
        nonlocal accuracy
        if step % max(1, total // 8) == 0 or step == total:
            accuracy = pair_accuracy(model, validation, tokenizer, workspace)
            log.metrics({"step": step, "validation_accuracy": accuracy})

    def do_step(step: int) -> Metrics:
        lr = optimizers.set_rate(step, total)
        batch = batch_indices(len(usable), settings.batch_prompts, workspace.seed, step)
        right = 0
        pair_count = sum(len(usable[i].pairs()) for i in batch)

        def prompt_losses(indices: Sequence[int]) -> Tensor:
            nonlocal right
            score_N = score_ids(model, [row for i in indices for row in rows[i]], tokenizer.pad, workspace)
            losses, start = [], 0
            for i in indices:
                score_K = score_N[start : start + len(rows[i])]
                start += len(rows[i])
                losses.append(ranking_loss(score_K, usable[i].pairs()))
                right += sum(bool(score_K[w] > score_K[loser]) for w, loser in usable[i].pairs())
            return torch.stack(losses).sum() / len(batch)

        longest = [len(rows[i]) * max(len(row) for row in rows[i]) for i in batch]
        micro = [[batch[j] for j in bucket] for bucket in length_buckets(longest, MICRO_TOKENS)]
        result = gradient_step(optimizers, [lambda part=part: prompt_losses(part) for part in micro])
        skips.see(result, step)
        return {"loss": result.loss, "accuracy": right / pair_count, "lr": lr, "grad_norm": result.grad_norm}

    seconds = run_loop(
        "reward",
        Trainee({"model": model}, {"model": optimizers}),
        do_step,
        total=total,
        folder=workspace.checkpoints,
        log=log,
        checkpoint_seconds=workspace.machine.checkpoint_seconds,
        before_step=before_step,
        note=lambda metrics: f"loss {metrics['loss']:.3f}, right {metrics['accuracy']:.0%}",
    )
    scale = _normalise(model, usable, demonstrations, tokenizer, workspace)
    tokens = settings.epochs * sum(len(row) for answers in rows for row in answers)
    return RewardResult(model, seconds, tokens, scale, accuracy)


def pair_accuracy(
    model: ScalarModel, comparisons: Sequence[Comparison], tokenizer: Tokenizer, workspace: Workspace
) -> float:
    """Share of ranked pairs that the model orders as the labeller did."""
    rows = [comparison_rows(comparison, tokenizer) for comparison in comparisons]
    scores = score_all(model, [row for answers in rows for row in answers], tokenizer.pad, workspace)
    right = pairs = start = 0
    for comparison in comparisons:
        for better, worse in comparison.pairs():
            right += scores[start + better] > scores[start + worse]
            pairs += 1
        start += len(comparison.answers)
    return right / max(1, pairs)


def _fits(comparison: Comparison, tokenizer: Tokenizer, model: LanguageModel) -> bool:
    return all(len(row) <= model.config.context for row in comparison_rows(comparison, tokenizer))


def _normalise(
    model: ScalarModel,
    comparisons: Sequence[Comparison],
    demonstrations: Sequence[Conversation],
    tokenizer: Tokenizer,
    workspace: Workspace,
) -> float:
    """Scale to standard deviation 1 over sampled answers, bias to mean 0 over demonstrations; returns the old
    deviation.
    """
    sampled = [row for comparison in comparisons for row in comparison_rows(comparison, tokenizer)]
    scale = float(torch.tensor(score_all(model, sampled, tokenizer.pad, workspace)).std())
    shown = [[*render(conversation.messages, tokenizer).ids, tokenizer.reward] for conversation in demonstrations]
    shown = [row for row in shown if len(row) <= model.config.context]
    with torch.no_grad():
        model.score.weight /= scale
        mean = torch.tensor(score_all(model, shown, tokenizer.pad, workspace)).mean()
        model.bias.sub_(mean.to(model.bias.device))
    return scale
