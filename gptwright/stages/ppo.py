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
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from gptwright.errors import InputError, RunError
from gptwright.losses.advantage import generalized_advantage, token_rewards
from gptwright.losses.divergence import k1, k3
from gptwright.losses.language import language_loss, token_logprobs
from gptwright.losses.policy import ClippedSurrogate
from gptwright.losses.reduce import masked_mean, masked_sum, whiten
from gptwright.losses.value import ClippedValueLoss, explained_variance
from gptwright.model.transformer import LanguageModel, ScalarModel
from gptwright.recipe import PpoSettings
from gptwright.records import Prompt
from gptwright.stages.rollout import (
    Episode,
    MicroBatch,
    evaluate_episodes,
    reader,
    sample_episodes,
    split_minibatches,
)
from gptwright.stages.sft import Measure, PretrainBatch
from gptwright.stages.workspace import Workspace
from gptwright.tokenizer.chat import render_prompt
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.average import average_of, move_average
from gptwright.train.batches import stream_indices
from gptwright.train.checkpoint import Trainee
from gptwright.train.fast_path import without_parents
from gptwright.train.loop import Metrics, run_loop
from gptwright.train.optimizers import Optimizers
from gptwright.train.progress import say
from gptwright.train.step import SkipCounter, accumulate, apply_gradients, gradient_step

RATIO_TOLERANCE = 1e-4
KL_HORIZON = 10_000
"""Episodes over which the adaptive controller works (Ziegler et al., arXiv:1909.08593, section 2.2)."""


@dataclass(frozen=True)
class PpoResult:
    """What practice spent."""

    seconds: float
    tokens_sampled: int
    tokens_trained: int


class Ppo:
    """The models and settings of one PPO run; `round(step)` is a function of the weights and the step alone."""

    def __init__(
        self,
        policy: LanguageModel,
        reward_model: ScalarModel,
        tokenizer: Tokenizer,
        prompts: Sequence[Prompt],
        pretrain_batch: PretrainBatch,
        settings: PpoSettings,
        workspace: Workspace,
    ) -> None:
        device = workspace.path.device
        self.policy = policy.to(device).eval()
        self.reference = copy.deepcopy(policy).eval()  # never given to an optimizer
        self.reward_model = reward_model.to(device).eval()  # nor is this one
        self.value_model = value_model_from(reward_model)
        self.tokenizer, self.settings, self.workspace = tokenizer, settings, workspace
        self.pretrain_batch = pretrain_batch
        models = self.policy, self.reference, self.value_model
        self.read_policy, self.read_reference, self.read_values = (reader(model, workspace.path) for model in models)
        # An answer, and the reward token after it, must fit behind the prompt.
        room = policy.config.context - settings.max_new_tokens - 1
        self.prompts = [p for p in prompts if len(render_prompt(p.messages, tokenizer)) <= room]
        if not self.prompts:
            raise InputError(
                f"no prompt has at most {room} tokens, which leave room for an answer in the model's context"
            )
        if len(self.prompts) < len(prompts):
            say(f"ppo          left out {len(prompts) - len(self.prompts)} of {len(prompts)} prompts: too long")
        self.policy_optimizers = Optimizers(self.policy, settings.policy)
        self.value_optimizers = Optimizers(self.value_model, settings.value)
        self.surrogate, self.value_loss = ClippedSurrogate(settings.clip), ClippedValueLoss(settings.value_clip)
        modules: dict[str, torch.nn.Module] = {"policy": self.policy, "value": self.value_model}
        self.average = average_of(policy) if settings.ema else None
        if self.average is not None:
            modules["average"] = self.average
        counters = {"beta": settings.beta, "tokens_sampled": 0.0, "tokens_trained": 0.0}
        self.trainee = Trainee(modules, {"policy": self.policy_optimizers, "value": self.value_optimizers}, counters)
        self.skips = SkipCounter()

    def result(self) -> LanguageModel:
        """What is saved: the policy or its average, or a point between the SFT model's weights and those (Wortsman et
        al., arXiv:2109.01903; after RL, Rame et al., arXiv:2406.16768, section 3.3).
        """
        final, share = self.policy if self.average is None else self.average, self.settings.interpolation
        if share == 1:
            return final
        between = average_of(self.reference)
        move_average(between, final, 1 - share)
        return between

    def round(self, step: int) -> Metrics:
        """Sample, score, update."""
        settings, seed = self.settings, self.workspace.seed
        chosen = stream_indices(len(self.prompts), settings.episodes, seed, step)
        episodes = sample_episodes(
            self.policy,
            self.reward_model,
            self.tokenizer,
            [self.prompts[i] for i in chosen],
            settings,
            self.workspace,
            seed=seed * 1_000_003 + step,
        )
        split = split_minibatches(episodes, settings.minibatches, seed=seed, step=step)
        minibatches = [[self._evaluate(part) for part in parts] for parts in split]
        everything = [micro for parts in minibatches for micro in parts]
        metrics = self._assign_credit(everything, first=step == 0)
        lengths = torch.tensor([len(e.completion.ids) for e in episodes]).float()
        metrics["length/mean"] = float(lengths.mean())
        metrics["share/stopped"] = sum(e.completion.finish_reason == "stop" for e in episodes) / len(episodes)
        metrics |= self._update(minibatches, step)
        self._control_kl(metrics["kl/reference"], len(episodes))
        counters = self.trainee.counters
        counters["tokens_sampled"] += float(lengths.sum())
        counters["tokens_trained"] += sum(float(m.answers.packed.ids_RT.numel()) for m in everything) * settings.epochs
        return {"episodes": (step + 1) * settings.episodes, **metrics}

    def _evaluate(self, episodes: Sequence[Episode]) -> MicroBatch:
        return evaluate_episodes(
            episodes,
            self.read_policy,
            self.read_reference,
            self.read_values,
            context=self.policy.config.context,
            temperature=self.settings.temperature,
            pad=self.tokenizer.pad,
        )

    def _assign_credit(self, batches: Sequence[MicroBatch], *, first: bool) -> Metrics:
        """Fill in advantages and returns, whitened over the whole round; returns the round's statistics."""
        settings, beta = self.settings, self.trainee.counters["beta"]
        kl_sums, kl3_sums, totals, scores = [], [], [], []
        for batch in batches:
            kl_BT = k1(batch.old_logprob_BT, batch.reference_logprob_BT)
            rewards_BT = token_rewards(batch.score_B, kl_BT, batch.action_BT, beta)
            batch.advantage_BT, batch.return_BT = generalized_advantage(
                rewards_BT, batch.old_value_BT, batch.action_BT, gamma=settings.gamma, lam=settings.lam
            )
            kl_sums.append(torch.where(batch.action_BT, kl_BT, torch.zeros_like(kl_BT)).sum(dim=1))
            kl3_BT = k3(batch.old_logprob_BT, batch.reference_logprob_BT)
            kl3_sums.append(torch.where(batch.action_BT, kl3_BT, torch.zeros_like(kl3_BT)).sum(dim=1))
            # Over response tokens alone: a score that landed anywhere else would be missed in this sum.
            totals.append(torch.where(batch.action_BT, rewards_BT, torch.zeros_like(rewards_BT)).sum(dim=1))
            scores.append(batch.score_B)
        kl_N, kl3_N, total_N, score_N = torch.cat(kl_sums), torch.cat(kl3_sums), torch.cat(totals), torch.cat(scores)
        action_N, advantage_N = _joined(batches, "action_BT"), _joined(batches, "advantage_BT")
        white_N = whiten(advantage_N, action_N.bool())
        start = 0
        for batch in batches:
            count = batch.advantage_BT.numel()
            batch.advantage_BT = white_N[start : start + count].view_as(batch.advantage_BT)
            start += count
        check_identities(total_N, score_N, kl_N, beta, first=first)
        mask_N = action_N.bool()
        entropy = float(masked_mean(_joined(batches, "entropy_BT"), mask_N))
        explained = explained_variance(_joined(batches, "old_value_BT"), _joined(batches, "return_BT"), mask_N)
        return {
            "reward/score": float(score_N.mean()),
            "reward/mean": float(total_N.mean()),
            "kl/reference": float(kl_N.mean()),
            "kl/standard_error": float(kl_N.std() / len(kl_N) ** 0.5) if len(kl_N) > 1 else 0.0,
            "kl/k3": float(kl3_N.mean()),
            "kl/beta": beta,
            "entropy": entropy,
            "value/explained_variance": explained,
        }

    def _update(self, minibatches: Sequence[Sequence[MicroBatch]], step: int) -> Metrics:
        """Optimizer steps on policy and value model; stops early when the policy has moved too far."""
        settings = self.settings
        total = settings.steps * settings.epochs * len(minibatches)
        rows: list[Metrics] = []
        for epoch in range(settings.epochs):
            for number, parts in enumerate(minibatches):
                done = (step * settings.epochs + epoch) * len(minibatches) + number
                self.value_optimizers.set_rate(done, total)
                self.policy_optimizers.set_rate(done, total)
                row = self._update_value(parts, done)
                if step >= settings.value_warmup:
                    row |= self._update_policy(parts, done, check_ratio=epoch == 0 and number == 0)
                rows.append(row)
                if row.get("policy/approx_kl", 0.0) > settings.approx_kl_limit:
                    return _averages(rows)
        return _averages(rows)

    def _update_value(self, parts: Sequence[MicroBatch], done: int) -> Metrics:
        count = float(sum(int(m.action_BT.sum()) for m in parts))

        def loss(batch: MicroBatch) -> Tensor:
            value_BT = batch.answers.spread(self.read_values(batch.answers))
            each_BT = self.value_loss(value_BT, batch.old_value_BT, batch.return_BT)
            return masked_mean(each_BT, batch.action_BT, count)

        result = gradient_step(self.value_optimizers, [partial(loss, m) for m in parts])
        self.skips.see(result, done)
        return {"value/loss": result.loss}

    def _update_policy(self, parts: Sequence[MicroBatch], done: int, *, check_ratio: bool) -> Metrics:
        """One step on the clipped surrogate, with the pretraining gradient added at its set share of the norm."""
        count = float(sum(int(m.action_BT.sum()) for m in parts))
        seen: list[tuple[float, float]] = []

        def loss(batch: MicroBatch) -> Tensor:
            answers, temperature = batch.answers, self.settings.temperature
            logprob_BT = answers.spread(token_logprobs(self.read_policy(answers), answers.target_A, temperature))
            fresh_BT = logprob_BT.detach()
            if check_ratio:
                _check_ratio(fresh_BT, batch)
            moved_BT = k3(batch.old_logprob_BT, fresh_BT)
            clipped_BT = self.surrogate.clipped(fresh_BT, batch.old_logprob_BT)
            seen.append((float(masked_sum(moved_BT, batch.action_BT)), float(masked_sum(clipped_BT, batch.action_BT))))
            each_BT = self.surrogate(logprob_BT, batch.old_logprob_BT, batch.advantage_BT)
            return masked_mean(each_BT, batch.action_BT, count)

        total = accumulate([partial(loss, m) for m in parts], self.policy_optimizers.parameters)
        metrics = {
            "policy/loss": total,
            "policy/approx_kl": sum(moved for moved, _ in seen) / count,
            "policy/clip_fraction": sum(clipped for _, clipped in seen) / count,
        }
        if self.settings.pretrain_mix:
            metrics |= self._mix_pretraining(done)
        result = apply_gradients(self.policy_optimizers, total)
        self.skips.see(result, done)
        if self.average is not None:
            move_average(self.average, self.policy, self.settings.ema)
        return metrics | {"policy/grad_norm": result.grad_norm}

    def _mix_pretraining(self, done: int) -> Metrics:
        """Add the gradient of next-token prediction on pretraining text: one optimizer step for both (PPO-ptx).

        InstructGPT's coefficient 27.8 belongs to an unpublished normalisation; a ratio of gradient norms means the same
        everywhere.
        """
        parameters = self.policy_optimizers.parameters
        policy_gradients = [p.grad.clone() if p.grad is not None else torch.zeros_like(p) for p in parameters]
        self.policy_optimizers.zero_grad()
        device = self.workspace.path.device
        ids_RT, target_RT = (field.to(device) for field in self.pretrain_batch(done, self.settings.pretrain_rows))

        def loss() -> Tensor:
            hidden_RTD = without_parents(self.read_policy.hidden_of, ids_RT, torch.zeros_like(ids_RT))
            with self.workspace.path.autocast():
                return language_loss(self.policy.lm_head(hidden_RTD), target_RT)

        pretrain_loss = accumulate([loss], parameters)
        policy_norm = float(torch.nn.utils.get_total_norm(policy_gradients))
        pretrain_norm = float(torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))
        share = self.settings.pretrain_mix * policy_norm / max(pretrain_norm, 1e-12)
        for parameter, gradient in zip(parameters, policy_gradients, strict=True):
            parameter.grad = gradient if parameter.grad is None else gradient + share * parameter.grad
        return {
            "pretrain/loss": pretrain_loss,
            "pretrain/grad_norm": pretrain_norm,
            "pretrain/coefficient": share,
            "policy/own_grad_norm": policy_norm,
        }

    def _control_kl(self, kl: float, episodes: int) -> None:
        """Move beta towards the target KL, at most 20% error counted (Ziegler et al., section 2.2)."""
        if self.settings.adaptive_kl is not None:
            error = float(np.clip(kl / self.settings.adaptive_kl - 1, -0.2, 0.2))
            self.trainee.counters["beta"] *= 1 + error * episodes / KL_HORIZON


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


def check_identities(total_N: Tensor, score_N: Tensor, kl_N: Tensor, beta: float, *, first: bool) -> None:
    """Rewards add up; and before any update the policy is the reference. Raises RunError: a run that breaks them learns
    nonsense.
    """
    if not torch.allclose(total_N, score_N - beta * kl_N, atol=1e-3, rtol=1e-4):
        raise RunError("PPO: token rewards do not add up to score - beta * KL; this is a bug, please report it")
    if first and float(kl_N.abs().max()) > RATIO_TOLERANCE:
        raise RunError(
            f"PPO: KL to the reference is {float(kl_N.abs().max()):.2g} before any update, not 0: "
            "policy and reference differ; this is a bug, please report it"
        )


def _check_ratio(logprob_BT: Tensor, batch: MicroBatch) -> None:
    """The policy that trains is the one that sampled, until the first update."""
    off = float(torch.where(batch.action_BT, (logprob_BT - batch.old_logprob_BT).exp() - 1, 0.0).abs().max())
    if off > RATIO_TOLERANCE:
        raise RunError(f"PPO: the ratio is off by {off:.2g} before any update, not 1; this is a bug, please report it")


def _joined(batches: Sequence[MicroBatch], name: str) -> Tensor:
    return torch.cat([getattr(batch, name).flatten() for batch in batches])


def _averages(rows: Sequence[Metrics]) -> Metrics:
    keys = dict.fromkeys(key for row in rows for key in row)
    return {key: float(np.mean([row[key] for row in rows if key in row])) for key in keys}


def ppo(trainer: Ppo, measure: Measure | None = None) -> PpoResult:
    """Run all rounds, resuming where a killed run stopped; `measure` looks at held-out gold scores, which nothing
    learns from.
    """
    settings, workspace = trainer.settings, trainer.workspace
    log = workspace.log()
    every = max(1, settings.steps // settings.evaluations) if settings.evaluations else 0

    def before_step(step: int) -> None:
        if measure and every and (step % every == 0 or step == settings.steps):
            log.metrics({"step": step, **measure(trainer.policy)})

    seconds = run_loop(
        workspace.stage,
        trainer.trainee,
        trainer.round,
        total=settings.steps,
        folder=workspace.checkpoints,
        log=log,
        checkpoint_seconds=workspace.machine.checkpoint_seconds,
        before_step=before_step,
        note=lambda m: f"score {m['reward/score']:+.2f}, KL {m['kl/reference']:.2f}, entropy {m['entropy']:.2f}",
    )
    counters = trainer.trainee.counters
    return PpoResult(seconds, int(counters["tokens_sampled"]), int(counters["tokens_trained"]))
