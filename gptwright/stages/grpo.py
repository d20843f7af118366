"""Reinforcement weighted by reward, without a value model: REINFORCE, RLOO and GRPO.

    advantage of an answer = its reward - a baseline          every token of it gets that number

The talk draws exactly this: tokens of answers that scored high become likelier, those of low ones less likely. The
methods differ in the baseline (losses/advantage.py) and in where the KL to the SFT model counts: within the reward, or
as a term of the loss. The rest, clipped surrogate and pretraining mix included, is PPO's (stages/practice.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gptwright.losses.advantage import answer_advantage
from gptwright.model.transformer import LanguageModel
from gptwright.practice_settings import GrpoSettings
from gptwright.records import Prompt
from gptwright.stages.played import Round, averages, joined, share_of
from gptwright.stages.practice import Policy, PracticeResult, Rollouts, passes, practise
from gptwright.stages.rewards import Reward
from gptwright.stages.rollout import MicroBatch
from gptwright.stages.sft import Measure, PretrainBatch
from gptwright.stages.workspace import Workspace
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.checkpoint import Trainee
from gptwright.train.loop import Metrics


class Grpo:
    """The policy and settings of one run; `round(step)` is a function of the weights and the step alone."""

    def __init__(
        self,
        policy: LanguageModel,
        reward: Reward,
        tokenizer: Tokenizer,
        prompts: Sequence[Prompt],
        pretrain_batch: PretrainBatch,
        settings: GrpoSettings,
        workspace: Workspace,
    ) -> None:
        self.settings, self.workspace = settings, workspace
        self.policy = Policy(policy, pretrain_batch, settings, workspace)
        self.rollouts = Rollouts(self.policy, reward, tokenizer, prompts, workspace, each=settings.answers)
        self.trainee = Trainee(self.policy.modules(), {"policy": self.policy.optimizers}, self.rollouts.counters)

    def round(self, step: int) -> Metrics:
        """Sample, score, update."""
        minibatches, metrics = self.rollouts.play(step)
        metrics |= self._assign_credit(minibatches, first=step == 0)
        settings, rows = self.settings, list[Metrics]()
        total = settings.steps * settings.epochs * len(minibatches)
        kl_weight = settings.beta if settings.kl == "loss" else 0.0
        for done, within, parts in passes(settings, step, minibatches):
            self.policy.optimizers.set_rate(done, total)
            rows.append(self.policy.update(parts, done, check_ratio=within == 0, kl_weight=kl_weight))
            if rows[-1]["policy/approx_kl"] > settings.approx_kl_limit:
                break
        return metrics | averages(rows)

    def _assign_credit(self, minibatches: Sequence[Sequence[MicroBatch]], *, first: bool) -> Metrics:
        """Fill in advantages; returns the round's statistics."""
        settings, ranks = self.settings, self.workspace.ranks
        played = Round.of(minibatches, ranks)
        if first:
            played.check_start("GRPO")
        total_N = played.score_N - settings.beta * played.kl_N
        reward_N = total_N if settings.kl == "reward" else played.score_N
        group_N = joined(ranks, [batch.group_B for batch in played.batches])
        advantage_N = answer_advantage(reward_N, group_N, settings.baseline)
        mine = share_of(ranks, advantage_N, [batch.score_B for batch in played.batches])
        for batch, advantage_B in zip(played.batches, mine, strict=True):
            advantage_BT = torch.zeros_like(batch.old_logprob_BT)
            batch.advantage_BT = torch.where(batch.action_BT, advantage_B[:, None], advantage_BT)
        return played.metrics(total_N, settings.beta) | {"advantage/flat": float((advantage_N == 0).float().mean())}


def grpo(trainer: Grpo, measure: Measure | None = None) -> PracticeResult:
    """Run all rounds, resuming where a killed run stopped; `measure` looks at held-out gold scores, which nothing
    learns from.
    """
    return practise(trainer.trainee, trainer.round, trainer.policy, measure)
