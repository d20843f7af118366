"""A policy in practice: what PPO and the methods without a value model share.

Sampling, the reference it is kept near, the clipped surrogate with pretraining text mixed in, and what is saved. How
good each token of an answer was is for `stages.ppo` and `stages.grpo` to say.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gptwright.errors import InputError, RunError
from gptwright.losses.divergence import k2, k3
from gptwright.losses.language import language_loss, token_logprobs
from gptwright.losses.policy import ClippedSurrogate
from gptwright.losses.reduce import masked_mean, masked_sum
from gptwright.model.transformer import LanguageModel
from gptwright.practice_settings import PracticeSettings
from gptwright.records import Prompt
from gptwright.stages.guard import Guard
from gptwright.stages.packing import ROW_TOKENS
from gptwright.stages.played import RATIO_TOLERANCE, mean_parts
from gptwright.stages.rewards import Reward
from gptwright.stages.rollout import (
    Episode,
    MicroBatch,
    Reader,
    evaluate_episodes,
    reader,
    sample_episodes,
    split_minibatches,
)
from gptwright.stages.server import RolloutServer
from gptwright.stages.sft import Measure, PretrainBatch
from gptwright.stages.workspace import Workspace
from gptwright.tokenizer.chat import render_prompt
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.average import average_of, move_average
from gptwright.train.batches import stream_indices
from gptwright.train.checkpoint import Trainee
from gptwright.train.distributed import Ranks
from gptwright.train.fast_path import frozen, without_parents
from gptwright.train.loop import Metrics, run_loop
from gptwright.train.optimizers import Optimizers
from gptwright.train.parallel import Learner, M
from gptwright.train.progress import say
from gptwright.train.step import SkipCounter, accumulate, apply_gradients, whole_norm

KEPT_GRAPHS = 4
"""Micro-batches whose graphs may wait for the one step that takes them all."""


@dataclass(frozen=True)
class PracticeResult:
    """What practice spent."""

    seconds: float
    tokens_sampled: int
    tokens_trained: int
    tokens_mixed: int
    """Of pretraining text."""


class Policy:
    """The model that practises; it is trained in place, its reference never."""

    def __init__(
        self, model: LanguageModel, pretrain_batch: PretrainBatch, settings: PracticeSettings, workspace: Workspace
    ) -> None:
        self.model = model.to(workspace.path.device).eval()
        self.reference = frozen(copy.deepcopy(model).eval(), workspace.path, workspace.machine)
        self.settings, self.workspace, self.pretrain_batch = settings, workspace, pretrain_batch
        self.ranks = workspace.ranks
        self.average = average_of(model) if settings.ema else None
        self.counters: dict[str, float] = {"tokens_mixed": 0.0}
        self.guard = Guard(settings.guard, self.model, self.counters) if settings.guard else None
        self.learner = learner_of(self.model, workspace)
        if self.average is not None:
            self.learner.shard_too(self.average)
        if self.guard is not None:
            self.learner.shard_too(self.guard.best)
        self.read = reader(self.model, workspace.path, self.learner)
        self.read_reference = reader(self.reference, workspace.path)
        self.optimizers, self.skips = Optimizers(self.model, settings.policy), SkipCounter(self.counters, "policy")
        self.surrogate = ClippedSurrogate(settings.clip)

    def modules(self) -> dict[str, torch.nn.Module]:
        """What a checkpoint keeps."""
        found: dict[str, torch.nn.Module] = {"policy": self.model}
        if self.average is not None:
            found["average"] = self.average
        if self.guard is not None:
            found["sound"] = self.guard.best
        return found

    def return_to_sound(self) -> None:
        """After an alarm, the policy from before the fall."""
        if self.guard is not None and self.guard.stopped:
            for weights in filter(None, (self.model, self.average)):
                move_average(weights, self.guard.best, 0.0)

    def result(self) -> LanguageModel:
        """What is saved: the policy or its average, or a point between the SFT model's weights and those (Wortsman et
        al., arXiv:2109.01903; after RL, Rame et al., arXiv:2406.16768, section 3.3). All ranks call this together.
        """
        final, share = self.learner.whole(self.average), self.settings.interpolation
        if share == 1:
            return final
        between = average_of(self.reference)
        move_average(between, final, 1 - share)
        return between

    def update(self, parts: Sequence[MicroBatch], done: int, *, check_ratio: bool, kl_weight: float = 0.0) -> Metrics:
        """One step on the clipped surrogate, with the pretraining gradient added at its set share of the norm; none
        where the policy has moved further than `approx_kl_limit` from the one that sampled.

        `kl_weight` is that of the KL to the reference as a term of the loss, k2: its gradient is the KL's.
        """
        count = tokens_of(parts, self.ranks)
        seen: list[tuple[float, float]] = []

        def loss(batch: MicroBatch) -> Tensor:
            answers, temperature = batch.answers, self.settings.temperature
            logprob_BT, batch.live_logprob_BT = batch.live_logprob_BT, None
            if logprob_BT is None:
                logprob_BT = answers.spread(token_logprobs(self.read(answers), answers.target_A, temperature))
            fresh_BT = logprob_BT.detach()
            if check_ratio:
                _check_ratio(fresh_BT, batch)
            moved_BT = k3(batch.old_logprob_BT, fresh_BT)
            clipped_BT = self.surrogate.clipped(fresh_BT, batch.old_logprob_BT)
            seen.append((float(masked_sum(moved_BT, batch.action_BT)), float(masked_sum(clipped_BT, batch.action_BT))))
            each_BT = self.surrogate(logprob_BT, batch.old_logprob_BT, batch.advantage_BT)
            if kl_weight:
                each_BT = each_BT + kl_weight * k2(logprob_BT, batch.reference_logprob_BT)
            return masked_mean(each_BT, batch.action_BT, count)

        losses = [partial(loss, m) for m in parts] + idle_losses(self.read, parts)
        total = self.learner.combine(self.optimizers.parameters, accumulate(losses, self.optimizers.parameters))
        everyone = [each for of_rank in self.ranks.gather(seen) for each in of_rank]
        metrics = {
            "policy/loss": total,
            "policy/approx_kl": sum(moved for moved, _ in everyone) / count,
            "policy/clip_fraction": sum(clipped for _, clipped in everyone) / count,
        }
        if metrics["policy/approx_kl"] > self.settings.approx_kl_limit:
            self.optimizers.zero_grad()
            return metrics
        if self.settings.pretrain_mix:
            metrics |= self._mix_pretraining(done)
        result = apply_gradients(self.optimizers, total)
        self.skips.see(result, done)
        if self.average is not None:
            move_average(self.average, self.model, self.settings.ema)
        return metrics | {"policy/grad_norm": result.grad_norm}

    def _mix_pretraining(self, done: int) -> Metrics:
        """Add the gradient of next-token prediction on pretraining text: one optimizer step for both (PPO-ptx).

        InstructGPT's coefficient 27.8 belongs to an unpublished normalisation; a ratio of gradient norms means the same
        everywhere.
        """
        parameters = self.optimizers.parameters
        policy_gradients = [p.grad.clone() if p.grad is not None else torch.zeros_like(p) for p in parameters]
        self.optimizers.zero_grad()
        device = self.workspace.path.device
        ranks, batch = self.ranks, self.pretrain_batch(done, self.settings.pretrain_rows)
        ids_RT, target_RT = (field[ranks.rank :: ranks.size].to(device) for field in batch)
        count = batch[1].numel()
        self.counters["tokens_mixed"] += count

        def read(ids_RT: Tensor, target_RT: Tensor) -> Tensor:
            hidden_RTD = without_parents(self.read.hidden_of, ids_RT, torch.zeros_like(ids_RT))
            with self.workspace.path.autocast():
                return language_loss(self.model.lm_head(hidden_RTD), target_RT, count=count)

        at_once = max(1, ROW_TOKENS // ids_RT.shape[1])
        parts = zip(ids_RT.split(at_once), target_RT.split(at_once), strict=True)
        losses: list[Callable[[], Tensor]] = [partial(self.read.within, read, *part) for part in parts if len(part[0])]
        idle_RT = torch.zeros_like(batch[0][:1]).to(device)
        losses += [lambda: 0.0 * self.read.within(read, idle_RT, idle_RT)] * self.learner.idle(len(losses))
        pretrain_loss = self.learner.combine(parameters, accumulate(losses, parameters))
        policy_norm = whole_norm(torch.nn.utils.get_total_norm(policy_gradients))
        pretrain_norm = whole_norm(torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))
        share = self.settings.pretrain_mix * policy_norm / max(pretrain_norm, 1e-12)
        for parameter, gradient in zip(parameters, policy_gradients, strict=True):
            parameter.grad = gradient if parameter.grad is None else gradient + share * parameter.grad
        return {
            "pretrain/loss": pretrain_loss,
            "pretrain/grad_norm": pretrain_norm,
            "pretrain/coefficient": share,
            "policy/own_grad_norm": policy_norm,
        }


class Rollouts:
    """Rounds of answers: prompts one after the other, sampled, rewarded, and read by the models."""

    def __init__(
        self,
        policy: Policy,
        reward: Reward,
        tokenizer: Tokenizer,
        prompts: Sequence[Prompt],
        workspace: Workspace,
        *,
        each: int = 1,
    ) -> None:
        self.policy, self.reward, self.tokenizer, self.each = policy, reward, tokenizer, each
        self.settings, self.seed, self.ranks = policy.settings, workspace.seed, workspace.ranks
        check_shares(self.settings, each, self.ranks, workspace.stage)
        place = workspace.machine.sampling_server
        self.server = RolloutServer(place, workspace.checkpoints / "policy", tokenizer, self.ranks) if place else None
        # An answer, and the reward token after it, must fit behind the prompt.
        room = policy.model.config.context - self.settings.max_new_tokens - 1
        self.prompts = [p for p in prompts if len(render_prompt(p.messages, tokenizer)) <= room]
        if not self.prompts:
            raise InputError(
                f"no prompt has at most {room} tokens, which leave room for an answer in the model's context"
            )
        if len(self.prompts) < len(prompts):
            say(
                f"{workspace.stage:<12} left out {len(prompts) - len(self.prompts)} of {len(prompts)} prompts: too long"
            )
        self.counters = policy.counters
        self.counters |= {"tokens_sampled": 0.0, "tokens_trained": 0.0}

    def play(self, step: int, values: Reader | None = None) -> tuple[list[list[MicroBatch]], Metrics]:
        """A round's minibatches, each of some micro-batches, and what its answers are like."""
        settings, seed = self.settings, self.seed
        chosen = stream_indices(len(self.prompts), settings.episodes // self.each, seed, step)
        prompts = [self.prompts[i] for i in chosen]
        episodes = sample_episodes(
            self.policy.learner.whole(),
            self.reward,
            self.tokenizer,
            prompts,
            settings,
            seed=seed * 1_000_003 + step,
            each=self.each,
            server=self.server,
            ranks=self.ranks,
        )
        split = split_minibatches(episodes, settings.minibatches, seed=seed, step=step, ranks=self.ranks)
        # All graphs are held at once, so only where one step takes all of them and they are few.
        few = settings.minibatches * settings.epochs == 1 and len(split[0]) <= KEPT_GRAPHS
        keep_graph = few and not self.policy.learner.sharded
        minibatches = [self._read(parts, values, keep_graph=keep_graph) for parts in split]
        lengths = torch.tensor([len(e.completion.ids) for e in episodes]).float()
        trained = sum(self.ranks.gather(sum(m.answers.packed.ids_RT.numel() for parts in minibatches for m in parts)))
        self.counters["tokens_sampled"] += float(lengths.sum())
        self.counters["tokens_trained"] += trained * settings.epochs
        return minibatches, {
            "episodes": (step + 1) * settings.episodes,
            "length/mean": float(lengths.mean()),
            "share/stopped": sum(e.completion.finish_reason == "stop" for e in episodes) / len(episodes),
            **mean_parts([episode.parts for episode in episodes]),
            **self._guarded(step, episodes),
        }

    def _read(self, parts: Sequence[Sequence[Episode]], values: Reader | None, *, keep_graph: bool) -> list[MicroBatch]:
        """One minibatch as the models see it before they learn from it."""
        policy = self.policy
        learners = [reader.learner for reader in (policy.read, values) if reader and reader.learner]
        idle = max(learner.idle(len(parts)) for learner in learners)
        found = [
            evaluate_episodes(
                part,
                policy.read,
                policy.read_reference,
                values,
                context=policy.model.config.context,
                temperature=self.settings.temperature,
                pad=self.tokenizer.pad,
                keep_graph=keep_graph,
            )
            for part in parts
        ]
        for _ in range(idle):
            policy.read(found[-1].answers)
            if values:
                values(found[-1].answers)
        return found

    def _guarded(self, step: int, episodes: Sequence[Episode]) -> Metrics:
        if self.policy.guard is None:
            return {}
        numbers = dict[tuple[int, ...], int]()  # a prompt that was drawn twice is one all the same
        asked = [numbers.setdefault(tuple(episode.prompt_ids), len(numbers)) for episode in episodes]
        scores, parts = [episode.score for episode in episodes], [episode.parts for episode in episodes]
        return self.policy.guard.look(step, scores, parts, asked)


def check_shares(settings: PracticeSettings, each: int, ranks: Ranks, stage: str) -> None:
    """Raises InputError where a rank would have no answer of some minibatch."""
    prompts = settings.episodes // each
    fewest = prompts // settings.minibatches
    if ranks.size > fewest:
        raise InputError(
            f"{stage}: of {prompts} prompts a round ({settings.episodes} episodes) one of {settings.minibatches} "
            f"minibatches gets {fewest}, too few for {ranks.size} ranks: raise episodes, or start fewer ranks"
        )


def learner_of(model: M, workspace: Workspace) -> Learner[M]:
    """The model as it learns on the workspace's ranks."""
    return Learner(model, workspace.ranks, device=workspace.path.device, shard=workspace.machine.shard)


def idle_losses(read: Reader, parts: Sequence[MicroBatch]) -> list[Callable[[], Tensor]]:
    """Losses of 0, one for each micro-batch that another rank has more: sharded weights are gathered together."""
    missing = read.learner.idle(len(parts)) if read.learner else 0
    return [lambda: 0.0 * read(parts[-1].answers).sum()] * missing


def tokens_of(parts: Sequence[MicroBatch], ranks: Ranks) -> float:
    """Of all ranks' answers."""
    return float(sum(ranks.gather(sum(int(micro.action_BT.sum()) for micro in parts))))


def passes(settings: PracticeSettings, step: int, minibatches: Sequence[Any]) -> Iterator[tuple[int, int, Any]]:
    """(optimizer steps done before, number within the round, minibatch), pass after pass."""
    for epoch in range(settings.epochs):
        for number, parts in enumerate(minibatches):
            within = epoch * len(minibatches) + number
            yield step * settings.epochs * len(minibatches) + within, within, parts


def practise(
    trainee: Trainee,
    play: Callable[[int], Metrics],
    policy: Policy,
    measure: Measure | None = None,
) -> PracticeResult:
    """Run all rounds, resuming where a killed run stopped, or as many as the guard lets pass; `measure` looks at
    held-out gold scores, which nothing learns from.
    """
    settings, workspace, guard = policy.settings, policy.workspace, policy.guard
    log = workspace.log()
    every = max(1, settings.steps // settings.evaluations) if settings.evaluations else 0

    def before_step(step: int) -> None:
        if measure and every and (step % every == 0 or step == settings.steps):
            log.metrics({"step": step, **measure(policy.learner.whole())})  # all ranks: they share the answers out

    seconds = run_loop(
        workspace.stage,
        trainee,
        play,
        total=settings.steps,
        folder=workspace.checkpoints,
        log=log,
        checkpoint_seconds=workspace.machine.checkpoint_seconds,
        before_step=before_step,
        note=lambda m: f"score {m['reward/score']:+.2f}, KL {m['kl/reference']:.2f}, entropy {m['entropy']:.2f}",
        ended=lambda: guard is not None and guard.stopped,
        ranks=workspace.ranks,
    )
    policy.return_to_sound()
    counters = trainee.counters
    spent = (int(counters[f"tokens_{what}"]) for what in ("sampled", "trained", "mixed"))
    return PracticeResult(seconds, *spent)


def _check_ratio(logprob_BT: Tensor, batch: MicroBatch) -> None:
    """The policy that trains is the one that sampled, until the first update."""
    off = float(torch.where(batch.action_BT, (logprob_BT - batch.old_logprob_BT).exp() - 1, 0.0).abs().max())
    if off > RATIO_TOLERANCE:
        raise RunError(f"the ratio is off by {off:.2g} before any update, not 1; this is a bug, please report it")
