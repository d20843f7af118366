"""The reward model: the SFT model with a scalar head, trained to score answers as the labellers rank them.

An answer is rendered as the policy writes it, then the reward token; the score is read there, at the last real token,
found from lengths. All pairs of one prompt are one element of the batch (losses/preference.py). Beside it stands
next-token loss on each prompt's best answer, which keeps what the trunk knows of right answers (Yang et al.,
arXiv:2406.10216). With `likelihood`, the score also counts, with a weight that is learned, how likely the trunk finds
the answer: a slip is an unlikely token, which a head that reads the end alone hardly sees (docs/reward-model.md).
Afterwards the scores of sampled answers are scaled to standard deviation 1, and the bias is set so that demonstrations
average 0: PPO's coefficients then mean the same in every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from gptwright.errors import InputError, RunError
from gptwright.losses.preference import ranking_loss
from gptwright.model.transformer import LanguageModel, ScalarModel, scalar_from
from gptwright.recipe import RewardSettings
from gptwright.records import Comparison, Conversation
from gptwright.stages.scoring import (
    MICRO_TOKENS,
    answer_loglikelihood,
    answers_fit,
    comparison_rows,
    score_all,
    score_hidden,
    scored_row,
)
from gptwright.stages.workspace import Workspace
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.batches import batch_indices, length_buckets, pad_right
from gptwright.train.checkpoint import Trainee
from gptwright.train.loop import Metrics, run_loop
from gptwright.train.optimizers import Optimizers
from gptwright.train.progress import say
from gptwright.train.step import SkipCounter, gradient_step

START_LIKELIHOOD = 0.1
"""Weight of the answer's log-likelihood before training: an answer of 30 tokens varies by about 10 nats."""


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
        self.comparisons = [c for c in train if c.pairs() and answers_fit(c, tokenizer, context)]
        if not self.comparisons:
            raise InputError("no comparison has a better and a worse answer: rank some answers apart from each other")
        self.held_out = [c for c in held_out if answers_fit(c, tokenizer, context)]
        self.rows = [comparison_rows(comparison, tokenizer) for comparison in self.comparisons]
        likelihood = START_LIKELIHOOD if settings.likelihood else None
        self.model = scalar_from(sft_model, workspace.seed, likelihood).to(workspace.path.device)
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
        longest = [len(self.rows[i]) * max(len(row.ids) for row in self.rows[i]) for i in batch]
        micro = [[batch[j] for j in bucket] for bucket in length_buckets(longest, MICRO_TOKENS)]
        right: list[int] = []
        result = gradient_step(self.optimizers, [partial(self._loss, part, len(batch), right) for part in micro])
        self.skips.see(result, step)
        pairs = sum(len(self.comparisons[i].pairs()) for i in batch)
        return {"loss": result.loss, "accuracy": sum(right) / pairs, "lr": lr, "grad_norm": result.grad_norm}

    def _loss(self, indices: Sequence[int], prompts: int, right: list[int]) -> Tensor:
        """These prompts' part of the mean over `prompts`; appends how many pairs each has right."""
        rows = [row for i in indices for row in self.rows[i]]
        ids_BT = pad_right([row.ids for row in rows], self.tokenizer.pad)[0].to(self.workspace.path.device)
        loglikelihood_B = None
        with self.workspace.path.autocast():
            hidden_BTD = self.model.model(ids_BT)
            if self.settings.likelihood or self.settings.language_weight:
                loglikelihood_B = answer_loglikelihood(self.model, hidden_BTD, ids_BT, rows)
            score_B = score_hidden(self.model, hidden_BTD, rows, loglikelihood_B)
        losses = []
        for i, score_K in zip(indices, score_B.split([len(self.rows[i]) for i in indices]), strict=True):
            pairs = self.comparisons[i].pairs()
            losses.append(ranking_loss(score_K, pairs))
            right.append(sum(bool(score_K[better] > score_K[worse]) for better, worse in pairs))
        total = torch.stack(losses).sum() / prompts
        if self.settings.language_weight and loglikelihood_B is not None:
            best = self._best_rows(indices)
            tokens = torch.tensor([len(rows[b].ids) - 1 - rows[b].start for b in best], device=score_B.device)
            total = total - self.settings.language_weight / prompts * (loglikelihood_B[best] / tokens).sum()
        return total

    def _best_rows(self, indices: Sequence[int]) -> list[int]:
        """Where each prompt's best answer stands among the rows of these prompts; the first of equally good ones."""
        best, start = [], 0
        for i in indices:
            best.append(start + self.comparisons[i].ranks.index(min(self.comparisons[i].ranks)))
            start += len(self.rows[i])
        return best

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
        shown = [scored_row(c.messages[:-1], c.messages[-1].content, self.tokenizer) for c in demonstrations]
        shown = [row for row in shown if len(row.ids) <= context]
        if not shown:
            raise InputError(f"no demonstration fits into {context} tokens: the scores' zero cannot be set without one")
        if not scale > 0:
            raise RunError("the reward model gives every answer the same score: train it longer or on more comparisons")
        with torch.no_grad():
            self.model.score.weight /= scale
            if self.model.likelihood is not None:
                self.model.likelihood.div_(scale)
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
    tokens = trainer.settings.epochs * sum(len(row.ids) for answers in trainer.rows for row in answers)
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
