"""The reward model: the SFT model with a scalar head, trained to score answers as the labellers rank them.

An answer is rendered as the policy writes it, then the reward token; the score is read there, at the last real token,
found from lengths. All pairs of one prompt are one element of the batch (losses/preference.py). Beside it stands
next-token loss on each prompt's best answer, which keeps what the trunk knows of right answers (Yang et al.,
arXiv:2406.10216). Afterwards the head is scaled so that scores of sampled answers have standard deviation 1, and its
bias set so that demonstrations average 0: PPO's coefficients then mean the same in every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from gptwright.errors import InputError, RunError
from gptwright.losses.language import token_logprobs
from gptwright.losses.preference import ranking_loss
from gptwright.model.transformer import LanguageModel, ScalarModel, scalar_from
from gptwright.recipe import RewardSettings
from gptwright.records import Comparison, Conversation
from gptwright.stages.scoring import MICRO_TOKENS, comparison_rows, last_of, score_all
from gptwright.stages.workspace import Workspace
from gptwright.tokenizer.chat import render, render_prompt
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.batches import batch_indices, length_buckets, pad_right
from gptwright.train.checkpoint import Trainee
from gptwright.train.loop import Metrics, run_loop
from gptwright.train.optimizers import Optimizers
from gptwright.train.progress import say
from gptwright.train.step import SkipCounter, gradient_step


@dataclass(frozen=True)
class RewardResult:
    """What training spent; `scale` turns scores back into log-odds: P(a beats b) = sigmoid(scale * (r_a - r_b))."""

    seconds: float
    tokens: int
    scale: float
    validation_accuracy: float


class RewardTrainer:
    """A reward model in training. Raises InputError when no comparison has a winner."""

    def __init__(
        self,
        sft_model: LanguageModel,
        tokenizer: Tokenizer,
        train: Sequence[Comparison],
        held_out: Sequence[Comparison],
        settings: RewardSettings,
        workspace: Workspace,
    ) -> None:
        self.tokenizer, self.settings, self.workspace = tokenizer, settings, workspace
        context = sft_model.config.context
        self.comparisons = [c for c in train if c.pairs() and _fits(c, tokenizer, context)]
        if not self.comparisons:
            raise InputError("no comparison has a better and a worse answer: rank some answers apart from each other")
        self.held_out = [c for c in held_out if _fits(c, tokenizer, context)]
        self.rows = [comparison_rows(comparison, tokenizer) for comparison in self.comparisons]
        self.starts = [len(render_prompt(c.prompt.messages, tokenizer)) for c in self.comparisons]
        self.model = scalar_from(sft_model, workspace.seed).to(workspace.path.device)
        tied = sft_model.config.tied
        self.output_head = None if tied else sft_model.lm_head.weight.detach().to(workspace.path.device)
        self.optimizers = Optimizers(self.model, settings.optimizer)
        self.total = settings.epochs * -(-len(self.comparisons) // settings.batch_prompts)
        self.log, self.skips, self.accuracy = workspace.log(), SkipCounter(), float("nan")
        ties = sum(len(c.answers) * (len(c.answers) - 1) // 2 - len(c.pairs()) for c in train)
        pairs = sum(len(c.pairs()) for c in self.comparisons)
        say(f"reward       {len(self.comparisons)} prompts, {pairs} pairs, {ties} ties left out")

    def step(self, step: int) -> Metrics:
        """One optimizer step on a batch of prompts, each with all its pairs."""
        lr = self.optimizers.set_rate(step, self.total)
        batch = batch_indices(len(self.comparisons), self.settings.batch_prompts, self.workspace.seed, step)
        longest = [len(self.rows[i]) * max(len(row) for row in self.rows[i]) for i in batch]
        micro = [[batch[j] for j in bucket] for bucket in length_buckets(longest, MICRO_TOKENS)]
        right: list[int] = []
        result = gradient_step(self.optimizers, [partial(self._loss, part, len(batch), right) for part in micro])
        self.skips.see(result, step)
        pairs = sum(len(self.comparisons[i].pairs()) for i in batch)
        return {"loss": result.loss, "accuracy": sum(right) / pairs, "lr": lr, "grad_norm": result.grad_norm}

    def _loss(self, indices: Sequence[int], prompts: int, right: list[int]) -> Tensor:
        """These prompts' part of the mean over `prompts`; appends how many pairs each has right."""
        rows = [row for i in indices for row in self.rows[i]]
        ids_BT = pad_right(rows, self.tokenizer.pad)[0].to(self.workspace.path.device)
        with self.workspace.path.autocast():
            hidden_BTD = self.model.model(ids_BT)
            score_N = last_of(self.model.read(hidden_BTD), rows)
        losses = []
        for i, score_K in zip(indices, score_N.split([len(self.rows[i]) for i in indices]), strict=True):
            pairs = self.comparisons[i].pairs()
            losses.append(ranking_loss(score_K, pairs))
            right.append(sum(bool(score_K[better] > score_K[worse]) for better, worse in pairs))
        total = torch.stack(losses).sum() / prompts
        if self.settings.language_weight:
            best = self._best_rows(indices)
            ends = [len(rows[row]) - 1 for row in best]  # the reward token is no part of the answer
            spans = [(self.starts[i], end) for i, end in zip(indices, ends, strict=True)]
            share = self.settings.language_weight / prompts
            total = total + share * self._language_loss(hidden_BTD[best], ids_BT[best], spans)
        return total

    def _best_rows(self, indices: Sequence[int]) -> list[int]:
        """Where each prompt's best answer stands among the rows of these prompts; the first of equally good ones."""
        best, start = [], 0
        for i in indices:
            best.append(start + self.comparisons[i].ranks.index(min(self.comparisons[i].ranks)))
            start += len(self.rows[i])
        return best

    def _language_loss(self, hidden_BTD: Tensor, ids_BT: Tensor, spans: Sequence[tuple[int, int]]) -> Tensor:
        """Sum over rows of the mean next-token loss on each row's span of ids, first to last + 1."""
        head = self.model.model.embed_tokens.weight if self.output_head is None else self.output_head
        with self.workspace.path.autocast():
            logits_BTV = functional.linear(hidden_BTD[:, :-1], head)
        nll_BT = -token_logprobs(logits_BTV, ids_BT[:, 1:])
        return torch.stack([nll_BT[row, start - 1 : end - 1].mean() for row, (start, end) in enumerate(spans)]).sum()

    def before_step(self, step: int) -> None:
        """Measure on held-out prompts now and then, and at the end."""
        if step % max(1, self.total // 8) == 0 or step == self.total:
            self.accuracy = pair_accuracy(self.model, self.held_out, self.tokenizer, self.workspace)
            self.log.metrics({"step": step, "validation_accuracy": self.accuracy})

    def normalise(self, demonstrations: Sequence[Conversation]) -> float:
        """Scale to deviation 1 over sampled answers, bias to mean 0 over demonstrations; returns the old deviation."""
        context, pad = self.model.config.context, self.tokenizer.pad
        sampled = [row for answers in self.rows for row in answers]
        scale = float(torch.tensor(score_all(self.model, sampled, pad, self.workspace)).std())
        shown = [[*render(c.messages, self.tokenizer).ids, self.tokenizer.reward] for c in demonstrations]
        shown = [row for row in shown if len(row) <= context]
        if not shown:
            raise InputError(f"no demonstration fits into {context} tokens: the scores' zero cannot be set without one")
        if not scale > 0:
            raise RunError("the reward model gives every answer the same score: train it longer or on more comparisons")
        with torch.no_grad():
            self.model.score.weight /= scale
            mean = torch.tensor(score_all(self.model, shown, pad, self.workspace)).mean()
            self.model.bias.sub_(mean.to(self.model.bias.device))
        return scale


def train_reward_model(trainer: RewardTrainer, demonstrations: Sequence[Conversation]) -> RewardResult:
    """Train, then set scale and bias from `demonstrations`; the result is `trainer.model`."""
    seconds = run_loop(
        "reward",
        Trainee({"model": trainer.model}, {"model": trainer.optimizers}),
        trainer.step,
        total=trainer.total,
        folder=trainer.workspace.checkpoints,
        log=trainer.log,
        checkpoint_seconds=trainer.workspace.machine.checkpoint_seconds,
        before_step=trainer.before_step,
        note=lambda metrics: f"loss {metrics['loss']:.3f}, right {metrics['accuracy']:.0%}",
    )
    scale = trainer.normalise(demonstrations)
    tokens = trainer.settings.epochs * sum(len(row) for answers in trainer.rows for row in answers)
    return RewardResult(seconds, tokens, scale, trainer.accuracy)


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
    return right / pairs if pairs else float("nan")


def _fits(comparison: Comparison, tokenizer: Tokenizer, context: int) -> bool:
    return all(len(row) <= context for row in comparison_rows(comparison, tokenizer))
