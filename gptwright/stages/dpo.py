"""Direct preference optimization: the comparisons finetune the policy itself, without reward model or sampling.

A policy that is best under a KL penalty beta implies the reward beta * log(p_policy / p_sft); the reward model's own
ranking loss on that reward (Rafailov et al., arXiv:2305.18290, equation 7, here over all pairs of a prompt) is DPO.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from gptwright.errors import InputError, RunError
from gptwright.losses.preference import ranking_loss
from gptwright.model.transformer import LanguageModel
from gptwright.practice_settings import DpoSettings
from gptwright.records import Comparison
from gptwright.stages.packing import pack_trees
from gptwright.stages.reward import RankedAnswers, micro_batches, ranked_answers
from gptwright.stages.scoring import answer_loglikelihood, that_fit_whole
from gptwright.stages.sft import Measure
from gptwright.stages.workspace import Workspace
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.checkpoint import Trainee
from gptwright.train.fast_path import TreeTrunk, tree_trunk
from gptwright.train.loop import Metrics, run_loop
from gptwright.train.optimizers import Optimizers
from gptwright.train.progress import say
from gptwright.train.step import SkipCounter, gradient_step

START_TOLERANCE = 1e-4
MEASUREMENTS = 4
"""How often held-out pairs are looked at."""


@dataclass(frozen=True)
class DpoResult:
    """What training spent, and the share of held-out pairs whose better answer has the higher implied reward."""

    seconds: float
    tokens: int
    validation_accuracy: float


class DpoTrainer:
    """A policy in training, in place. Raises InputError when no comparison has a winner."""

    def __init__(
        self,
        policy: LanguageModel,
        tokenizer: Tokenizer,
        train: Sequence[Comparison],
        held_out: Sequence[Comparison],
        settings: DpoSettings,
        workspace: Workspace,
    ) -> None:
        self.tokenizer, self.settings, self.workspace = tokenizer, settings, workspace
        self.policy = policy.to(workspace.path.device).eval()
        self.reference = copy.deepcopy(policy).eval()  # never given to an optimizer
        context = policy.config.context
        self.elements = ranked_answers(that_fit_whole(train, tokenizer, context), tokenizer)
        self.held_out = ranked_answers(that_fit_whole(held_out, tokenizer, context), tokenizer)
        if not self.elements:
            raise InputError(
                f"no comparison that fits into model.context ({context} tokens) has a better and a worse answer: rank "
                "some answers apart from each other, or raise it"
            )
        self.trunks = [tree_trunk(model.model, workspace.path) for model in (self.policy, self.reference)]
        self.optimizers = Optimizers(self.policy, settings.optimizer)
        self.total = settings.epochs * -(-len(self.elements) // settings.batch_prompts)
        self.log, self.accuracy, self.counters = workspace.log(), float("nan"), dict[str, float]()
        self.skips = SkipCounter(self.counters)
        pairs = sum(len(element.pairs) for element in self.elements)
        say(f"dpo          {len(self.elements)} prompts, {pairs} pairs")

    def step(self, step: int) -> Metrics:
        """One optimizer step on a batch of prompts, each with all its pairs."""
        rates = self.optimizers.set_rate(step, self.total)
        micros = micro_batches(self.elements, self.settings.batch_prompts, self.workspace.seed, step)
        prompts, seen = sum(len(micro) for micro in micros), list[tuple[int, float]]()

        def loss(elements: Sequence[RankedAnswers]) -> Tensor:
            losses = []
            for element, reward_K in zip(elements, self._rewards(elements), strict=True):
                losses.append(ranking_loss(reward_K, element.pairs))
                shown_K = reward_K.detach()
                if step == 0:
                    _check_start(shown_K)
                margins = [float(shown_K[better] - shown_K[worse]) for better, worse in element.pairs]
                seen.extend((margin > 0, margin) for margin in margins)
            return torch.stack(losses).sum() / prompts

        result = gradient_step(self.optimizers, [partial(loss, micro) for micro in micros])
        self.skips.see(result, step)
        return {
            "loss": result.loss,
            "accuracy": sum(right for right, _ in seen) / len(seen),
            "margin": sum(margin for _, margin in seen) / len(seen),
            **rates,
            "grad_norm": result.grad_norm,
        }

    def _rewards(self, elements: Sequence[RankedAnswers]) -> list[Tensor]:
        """beta * log(p_policy / p_sft) of each prompt's answers, (K,) each."""
        rows = [row for element in elements for row in element.rows]
        packed = pack_trees([element.tree for element in elements], self.policy.config.context, self.tokenizer.pad)
        packed = packed.to(self.workspace.path.device)
        places = [place for tree in packed.places for place in tree]

        def loglikelihood(trunk: TreeTrunk, output_VD: Tensor) -> Tensor:
            hidden = trunk(packed.ids_RT, packed.segment_RT, packed.parent_RT, packed.position_RT)
            with self.workspace.path.autocast():
                return answer_loglikelihood(output_VD, hidden.flatten(0, 1), rows, places)

        # With gradients on, though none is asked for: a program compiled without them rounds otherwise.
        with torch.enable_grad():
            reference_B = loglikelihood(self.trunks[1], self.reference.lm_head.weight).detach()
        policy_B = loglikelihood(self.trunks[0], self.policy.lm_head.weight)
        return list((self.settings.beta * (policy_B - reference_B)).split([len(e.rows) for e in elements]))

    def before_step(self, step: int) -> None:
        """Look at held-out pairs now and then, and at the end."""
        if self.held_out and (step % max(1, self.total // MEASUREMENTS) == 0 or step == self.total):
            self.accuracy = self.held_out_accuracy()
            self.log.metrics({"step": step, "validation_accuracy": self.accuracy})

    def held_out_accuracy(self) -> float:
        """Share of held-out pairs whose better answer has the higher implied reward; a tie counts half."""
        right = pairs = 0.0
        for micro in micro_batches(self.held_out, len(self.held_out), 0, 0):
            for element, reward_K in zip(micro, self._rewards(micro), strict=True):
                shown = reward_K.tolist()
                right += sum(
                    0.5 if shown[better] == shown[worse] else shown[better] > shown[worse]
                    for better, worse in element.pairs
                )
                pairs += len(element.pairs)
        return right / pairs


def _check_start(reward_K: Tensor) -> None:
    """Before any update the policy is the reference. Raises RunError: a run that breaks this learns nonsense."""
    if float(reward_K.abs().max()) > START_TOLERANCE:
        raise RunError(
            f"DPO: an answer's implied reward is {float(reward_K.abs().max()):.2g} before any update, not 0; this is a "
            "bug, please report it"
        )


def dpo(trainer: DpoTrainer, measure: Measure | None = None) -> DpoResult:
    """Train; `measure` looks at held-out gold scores, which nothing learns from."""

    def before_step(step: int) -> None:
        trainer.before_step(step)
        if measure and step == trainer.total:
            trainer.log.metrics({"step": step, **measure(trainer.policy)})

    seconds = run_loop(
        "dpo",
        Trainee({"policy": trainer.policy}, {"policy": trainer.optimizers}, trainer.counters),
        trainer.step,
        total=trainer.total,
        folder=trainer.workspace.checkpoints,
        log=trainer.log,
        checkpoint_seconds=trainer.workspace.machine.checkpoint_seconds,
        before_step=before_step,
        note=lambda metrics: f"loss {metrics['loss']:.3f}, right {metrics['accuracy']:.0%}",
    )
    tokens = trainer.settings.epochs * sum(element.tokens for element in trainer.elements)
    return DpoResult(seconds, tokens, trainer.accuracy)
