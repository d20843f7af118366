"""Reinforcement learning from the reward model: PPO with a per-token KL penalty and pretraining mix (PPO-ptx).

Each round: sample answers, score them, then a few optimizer steps that make tokens of good answers likelier. The reward
of a token is -beta * (log p_policy - log p_sft), and the last token also gets the answer's score (Ouyang et al. 2022,
equation 2). The value model starts from the reward model's trunk and has an optimizer of its own. The formulas are in
losses/; docs/ppo.md gives the reasons.

Checked on every round: before the first update the ratio is 1, in the first round the KL is 0, and rewards add up to
scores less penalties.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from gptwright.errors import RunError
from gptwright.losses.advantage import generalized_advantage, token_rewards
from gptwright.losses.divergence import k1
from gptwright.losses.reduce import masked_mean, whiten
from gptwright.losses.value import ClippedValueLoss, explained_variance
from gptwright.model.transformer import LanguageModel, ScalarModel
from gptwright.practice_settings import PpoSettings
from gptwright.records import Prompt
from gptwright.stages.played import Round, averages, joined, over_answer, share_of
from gptwright.stages.practice import (
    Policy,
    PracticeResult,
    Rollouts,
    idle_losses,
    learner_of,
    passes,
    practise,
    tokens_of,
)
from gptwright.stages.rewards import Reward
from gptwright.stages.rollout import MicroBatch, reader
from gptwright.stages.sft import Measure, PretrainBatch
from gptwright.stages.workspace import Workspace
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.checkpoint import Trainee
from gptwright.train.loop import Metrics
from gptwright.train.optimizers import Optimizers
from gptwright.train.step import SkipCounter, gradient_step

KL_HORIZON = 10_000
"""Episodes over which the adaptive controller works (Ziegler et al., arXiv:1909.08593, section 2.2)."""


class Ppo:
    """The models and settings of one PPO run; `round(step)` is a function of the weights and the step alone. Without a
    value model, values are read by a head on the policy's own trunk.
    """

    def __init__(
        self,
        policy: LanguageModel,
        value_model: ScalarModel | None,
        reward: Reward,
        tokenizer: Tokenizer,
        prompts: Sequence[Prompt],
        pretrain_batch: PretrainBatch,
        settings: PpoSettings,
        workspace: Workspace,
    ) -> None:
        self.settings, self.workspace, self.ranks = settings, workspace, workspace.ranks
        self.policy = Policy(policy, pretrain_batch, settings, workspace)
        if value_model is None:
            self.value_model: ScalarModel | ValueHead = ValueHead(policy.config.width).to(workspace.path.device)
            self.read_values = replace(self.policy.read, head=self.value_model.read)
            self.combine_values = self.ranks.combine
        else:
            self.value_model = value_model.to(workspace.path.device)
            learner = learner_of(value_model, workspace)
            self.read_values, self.combine_values = reader(value_model, workspace.path, learner), learner.combine
        self.rollouts = Rollouts(self.policy, reward, tokenizer, prompts, workspace)
        # Of its own: a sound step of this model says nothing about the policy's.
        self.value_optimizers = Optimizers(self.value_model, settings.value)
        self.value_skips = SkipCounter(self.rollouts.counters, "value")
        self.value_loss = ClippedValueLoss(settings.value_clip)
        self.rollouts.counters["beta"] = settings.beta
        self.trainee = Trainee(
            self.policy.modules() | {"value": self.value_model},
            {"policy": self.policy.optimizers, "value": self.value_optimizers},
            self.rollouts.counters,
        )

    def round(self, step: int) -> Metrics:
        """Sample, score, update."""
        minibatches, metrics = self.rollouts.play(step, self.read_values)
        metrics |= self._assign_credit(minibatches, first=step == 0)
        metrics |= self._update(minibatches, step)
        self._control_kl(metrics["kl/reference"], self.settings.episodes)
        return metrics

    def _assign_credit(self, minibatches: Sequence[Sequence[MicroBatch]], *, first: bool) -> Metrics:
        """Fill in advantages and returns, whitened over the whole round; returns the round's statistics."""
        settings, beta, played = self.settings, self.trainee.counters["beta"], Round.of(minibatches, self.ranks)
        if first:
            played.check_start("PPO")
        totals = []
        for batch in played.batches:
            kl_BT = k1(batch.old_logprob_BT, batch.reference_logprob_BT)
            rewards_BT = token_rewards(batch.score_B, kl_BT, batch.action_BT, beta)
            batch.advantage_BT, batch.return_BT = generalized_advantage(
                rewards_BT, batch.old_value_BT, batch.action_BT, gamma=settings.gamma, lam=settings.lam
            )
            # Over response tokens alone: a score that landed anywhere else would be missed in this sum.
            totals.append(over_answer(rewards_BT, batch))
        total_N, mask_N = joined(self.ranks, totals), played.joined("action_BT")
        check_rewards(total_N, played.score_N, played.kl_N, beta)
        white_N = whiten(played.joined("advantage_BT"), mask_N)
        mine = share_of(self.ranks, white_N, [batch.advantage_BT for batch in played.batches])
        for batch, advantage_BT in zip(played.batches, mine, strict=True):
            batch.advantage_BT = advantage_BT
        explained = explained_variance(played.joined("old_value_BT"), played.joined("return_BT"), mask_N)
        return played.metrics(total_N, beta) | {"value/explained_variance": explained}

    def _update(self, minibatches: Sequence[Sequence[MicroBatch]], step: int) -> Metrics:
        """Optimizer steps on policy and value model; stops early when the policy has moved too far."""
        settings, rows = self.settings, list[Metrics]()
        total = settings.steps * settings.epochs * len(minibatches)
        for done, within, parts in passes(settings, step, minibatches):
            self.value_optimizers.set_rate(done, total)
            self.policy.optimizers.set_rate(done, total)
            row = self._update_value(parts, done)
            if step < settings.value_warmup:
                self.policy.optimizers.zero_grad()  # of a shared trunk, which is left alone
            else:
                row |= self.policy.update(parts, done, check_ratio=within == 0)
            rows.append(row)
            if row.get("policy/approx_kl", 0.0) > settings.approx_kl_limit:
                break
        return averages(rows)

    def _update_value(self, parts: Sequence[MicroBatch], done: int) -> Metrics:
        """One step of the value model, or of the head; a shared trunk keeps its gradient for the policy's step."""
        count = tokens_of(parts, self.ranks)
        weight = self.settings.value_weight if isinstance(self.value_model, ValueHead) else 1.0

        def loss(batch: MicroBatch) -> Tensor:
            value_BT = batch.answers.spread(self.read_values(batch.answers))
            each_BT = self.value_loss(value_BT, batch.old_value_BT, batch.return_BT)
            return weight * masked_mean(each_BT, batch.action_BT, count)

        combine = partial(self.combine_values, self.value_optimizers.parameters)
        losses = [partial(loss, m) for m in parts] + idle_losses(self.read_values, parts)
        result = gradient_step(self.value_optimizers, losses, combine)
        self.value_skips.see(result, done)
        return {"value/loss": result.loss / weight}

    def _control_kl(self, kl: float, episodes: int) -> None:
        """Move beta towards the target KL, at most 20% error counted (Ziegler et al., section 2.2)."""
        if self.settings.adaptive_kl is not None:
            error = float(np.clip(kl / self.settings.adaptive_kl - 1, -0.2, 0.2))
            self.trainee.counters["beta"] *= 1 + error * episodes / KL_HORIZON


class ValueHead(nn.Module):
    """A number for each of the policy's hidden states; zeros at the start."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def read(self, hidden_AD: Tensor) -> Tensor:
        value_A: Tensor = self.score(hidden_AD).float().sum(-1)  # of one; FSDP takes no views
        return value_A


def value_model_from(reward_model: ScalarModel) -> ScalarModel:
    """The reward model's trunk with a head of zeros, and nothing but that head.

    The reward model's head was trained at the reward token alone; read at any other token it says nothing, and its
    large numbers there cost many rounds to unlearn.
    """
    value_model = copy.deepcopy(reward_model).requires_grad_(True).eval()
    value_model.likelihood = value_model.repetition = None
    with torch.no_grad():
        value_model.score.weight.zero_()
        value_model.bias.zero_()
    return value_model


def check_rewards(total_N: Tensor, score_N: Tensor, kl_N: Tensor, beta: float) -> None:
    """Rewards add up. Raises RunError: a run in which they don't learns nonsense."""
    if not torch.allclose(total_N, score_N - beta * kl_N, atol=1e-3, rtol=1e-4):
        raise RunError("PPO: token rewards do not add up to score - beta * KL; this is a bug, please report it")


def ppo(trainer: Ppo, measure: Measure | None = None) -> PracticeResult:
    """Run all rounds, resuming where a killed run stopped; `measure` looks at held-out gold scores, which nothing
    learns from.
    """
    return practise(trainer.trainee, trainer.round, trainer.policy, measure)
