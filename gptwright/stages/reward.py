"""The reward model: the SFT model with a scalar head, trained to score answers as the labellers rank them.

An answer is rendered as the policy writes it, then the reward token; the score is read there, at the last real token,
found from lengths. All pairs of one prompt are one element of the batch (losses/preference.py). Beside it stands
next-token loss on each prompt's best answer, which keeps what the trunk knows of right answers (Yang et al.,
arXiv:2406.10216). With `likelihood`, the score also counts, with a weight that is learned, how likely the trunk finds
the answer: a slip is an unlikely token, which a head that reads the end alone hardly sees. With `repetition`, it counts
what the answer says again, which likelihood would praise (docs/reward-model.md).
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
from gptwright.model.transformer import LanguageModel, scalar_from
from gptwright.recipe import RewardSettings
from gptwright.records import Comparison, Conversation, Message
from gptwright.stages.packing import Tree, groups_of_trees, pack_trees
from gptwright.stages.scoring import (
    ScoredRow,
    answer_loglikelihood,
    score_all,
    score_comparisons,
    score_hidden,
    scored_row,
    that_fit_whole,
    tree_of,
)
from gptwright.stages.workspace import Workspace
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.batches import batch_indices
from gptwright.train.checkpoint import Trainee
from gptwright.train.fast_path import tree_trunk
from gptwright.train.loop import Metrics, run_loop
from gptwright.train.optimizers import Optimizers
from gptwright.train.progress import say
from gptwright.train.step import SkipCounter, gradient_step

MOST_ANSWERS = 16
"""To one prompt in an element: "hello" may have been asked a thousand times."""
CURVE_PROMPTS = 150
"""Held-out prompts that are read during training; after it, all are."""
SCALED_BY = 1000
"""Sampled answers, at most, that set the scale of the scores: the error of a standard deviation is then about 2%."""
START_REPETITION = -1.8
"""Weight of each thing said again before training, in log-odds: it loses six comparisons of seven."""
START_LIKELIHOOD = 0.1
"""Weight of the answer's log-likelihood before training: an answer of 30 tokens varies by about 10 nats."""


@dataclass(frozen=True)
class RewardResult:
    """What training spent; `scale` turns scores back into log-odds: P(a beats b) = sigmoid(scale * (r_a - r_b));
    the share of held-out pairs that are ordered as labelled, NaN where there are none.
    """

    seconds: float
    tokens: int
    scale: float
    validation_accuracy: float


@dataclass(frozen=True)
class RankedAnswers:
    """One element of a batch: a prompt's different answers as rows, and the pairs (better, worse) of all rankings."""

    rows: list[ScoredRow]
    pairs: list[tuple[int, int]]
    apart: list[int]
    """How many ranks lie between the two of each pair."""
    best: int | None
    """The answer that most pairs prefer, the first of equals; none where half of the labellers call all answers bad."""

    @property
    def tokens(self) -> int:
        """How many are read: the prompt once, every answer, every reward token."""
        stem, branches = self.tree
        return len(stem) + sum(map(len, branches))

    @property
    def tree(self) -> Tree:
        return tree_of(self.rows)


def ranked_answers(comparisons: Sequence[Comparison], tokenizer: Tokenizer) -> list[RankedAnswers]:
    """All rankings of answers to one prompt become one element, whoever ranked and however they were stored; a prompt
    with ties alone is left out.
    """
    rankings: dict[tuple[Message, ...], list[Comparison]] = {}
    for comparison in comparisons:
        rankings.setdefault(comparison.prompt.messages, []).append(comparison)
    elements = []
    for same in (part for rows in rankings.values() for part in _together(rows)):
        answers = list(dict.fromkeys(answer for comparison in same for answer in comparison.answers))
        ordered = [(c, better, worse) for c in same for better, worse in c.pairs()]
        ordered = [(c, better, worse) for c, better, worse in ordered if c.answers[better] != c.answers[worse]]
        pairs = [(answers.index(c.answers[better]), answers.index(c.answers[worse])) for c, better, worse in ordered]
        apart = [c.ranks[worse] - c.ranks[better] for c, better, worse in ordered]
        wins = [sum(better == i for better, _ in pairs) for i in range(len(answers))]
        good = 2 * sum(c.all_bad for c in same) < len(same)
        rows = [scored_row(same[0].prompt.messages, answer, tokenizer) for answer in answers]
        elements.append(RankedAnswers(rows, pairs, apart, wins.index(max(wins)) if good else None))
    return [element for element in elements if element.pairs]


def _together(rankings: Sequence[Comparison]) -> list[list[Comparison]]:
    """One prompt's rankings in parts with at most `MOST_ANSWERS` different answers, those of the same answers together:
    an element goes through a model whole.
    """
    parts, seen = list[list[Comparison]](), set[str]()
    by_answers: dict[frozenset[str], list[Comparison]] = {}
    for comparison in rankings:
        by_answers.setdefault(frozenset(comparison.answers), []).append(comparison)
    for answers, same in by_answers.items():
        if not parts or len(seen | answers) > MOST_ANSWERS:
            parts.append([])
            seen = set()
        parts[-1] += same
        seen |= answers
    return parts


def micro_batches(elements: Sequence[RankedAnswers], size: int, seed: int, step: int) -> list[list[RankedAnswers]]:
    """The elements of one step, in groups that go through a model at once."""
    batch = [elements[i] for i in batch_indices(len(elements), size, seed, step)]
    return [[batch[i] for i in group] for group in groups_of_trees([element.tree for element in batch])]


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
        whole = that_fit_whole(train, tokenizer, context)
        self.elements = ranked_answers(whole, tokenizer)
        if not self.elements:
            raise InputError(
                f"no comparison that fits into model.context ({context} tokens) has a better and a worse answer: rank "
                "some answers apart from each other, or raise it"
            )
        self.held_out = that_fit_whole(held_out, tokenizer, context)
        likelihood = START_LIKELIHOOD if settings.likelihood else None
        repetition = START_REPETITION if settings.repetition else None
        # In the SFT model's mode (no part of it knows another): what was compiled for that one serves this one too.
        self.model = scalar_from(sft_model, workspace.seed, likelihood, repetition).to(workspace.path.device).eval()
        # A head alone keeps no output matrix of its own: next-token loss then reads with the SFT model's, unchanged.
        keeps_matrix = sft_model.config.tied or settings.likelihood
        output_VD = self.model.output_matrix if keeps_matrix else sft_model.lm_head.weight.detach()
        self.output_VD = output_VD.to(workspace.path.device)
        self.hidden_of = tree_trunk(self.model.model, workspace.path)
        self.optimizers = Optimizers(self.model, settings.optimizer)
        self.total = settings.epochs * -(-len(self.elements) // settings.batch_prompts)
        self.log, self.counters = workspace.log(), dict[str, float]()
        self.skips = SkipCounter(self.counters)
        ties = sum(len(c.answers) * (len(c.answers) - 1) // 2 - len(c.pairs()) for c in whole)
        pairs = sum(len(element.pairs) for element in self.elements)
        bad = sum(element.best is None for element in self.elements)
        not_imitated = f", {bad} whose answers are all bad, which are not imitated" if bad else ""
        say(f"reward       {len(self.elements)} prompts, {pairs} pairs, {ties} ties left out{not_imitated}")

    def step(self, step: int) -> Metrics:
        """One optimizer step on a batch of prompts, each with all its pairs."""
        rates = self.optimizers.set_rate(step, self.total)
        micros = micro_batches(self.elements, self.settings.batch_prompts, self.workspace.seed, step)
        prompts = sum(len(micro) for micro in micros)
        right: list[int] = []
        result = gradient_step(self.optimizers, [partial(self._loss, micro, prompts, right) for micro in micros])
        self.skips.see(result, step)
        pairs = sum(len(element.pairs) for micro in micros for element in micro)
        return {"loss": result.loss, "accuracy": sum(right) / pairs, **rates, "grad_norm": result.grad_norm}

    def _loss(self, elements: Sequence[RankedAnswers], prompts: int, right: list[int]) -> Tensor:
        """These prompts' part of the mean over `prompts`; appends how many pairs each has right."""
        rows = [row for element in elements for row in element.rows]
        context, device = self.model.config.context, self.workspace.path.device
        packed = pack_trees([element.tree for element in elements], context, self.tokenizer.pad)
        fields = packed.ids_RT, packed.segment_RT, packed.parent_RT, packed.position_RT
        hidden_ND = self.hidden_of(*(field.to(device) for field in fields)).flatten(0, 1)
        places, loglikelihood_B = [place for tree in packed.places for place in tree], None
        with self.workspace.path.autocast():
            if self.settings.likelihood or self.settings.language_weight:
                loglikelihood_B = answer_loglikelihood(self.output_VD, hidden_ND, rows, places)
            score_B = score_hidden(self.model, hidden_ND, rows, places, loglikelihood_B)
        losses, start = [], 0
        for element in elements:
            score_K = score_B[start : start + len(element.rows)]
            margins = [self.settings.margin * ranks for ranks in element.apart] if self.settings.margin else None
            losses.append(ranking_loss(score_K, element.pairs, margins))
            if self.settings.language_weight and loglikelihood_B is not None and element.best is not None:
                best = element.rows[element.best]
                mean = loglikelihood_B[start + element.best] / (len(best.ids) - 1 - best.start)
                losses.append(-self.settings.language_weight * mean)
            shown = score_K.detach().tolist()
            right.append(sum(shown[better] > shown[worse] for better, worse in element.pairs))
            start += len(element.rows)
        return torch.stack(losses).sum() / prompts

    def before_step(self, step: int) -> None:
        """Measure on a few held-out prompts now and then."""
        if step % max(1, self.total // 4) == 0 or step == self.total:
            shown = _of_first_prompts(self.held_out, CURVE_PROMPTS)
            self.log.metrics({"step": step, "validation_accuracy": share_right(shown, self.scores(shown))})

    def scores(self, comparisons: Sequence[Comparison]) -> list[list[float]]:
        """A score for every answer of every comparison."""
        return score_comparisons(self.model, comparisons, self.tokenizer, self.workspace.path)

    def normalise(self, demonstrations: Sequence[Conversation]) -> float:
        """Scale to deviation 1 over sampled answers, bias to mean 0 over demonstrations; returns the old deviation."""
        context, pad, path = self.model.config.context, self.tokenizer.pad, self.workspace.path
        rows = [row for element in self.elements for row in element.rows]
        # Not every n-th: answers are often stored in an order that repeats, such as the better one first.
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(self.workspace.seed)).tolist()
        sampled = [rows[i] for i in order[:SCALED_BY]]
        scale = float(torch.tensor(score_all(self.model, sampled, pad, path)).std())
        finished = [c.messages for c in demonstrations if c.messages[-1].role == "assistant"]
        shown = [scored_row(messages[:-1], messages[-1].content, self.tokenizer) for messages in finished]
        shown = [row for row in shown if len(row.ids) <= context]
        if not shown:
            raise InputError(f"no demonstration fits into {context} tokens: the scores' zero cannot be set without one")
        if not scale > 0:
            raise RunError("the reward model gives every answer the same score: train it longer or on more comparisons")
        with torch.no_grad():
            self.model.score.weight /= scale
            for weight in (self.model.likelihood, self.model.repetition):
                if weight is not None:
                    weight.div_(scale)
            mean = torch.tensor(score_all(self.model, shown, pad, path)).mean()
            self.model.bias.sub_(mean.to(self.model.bias.device))
        return scale


def train_reward_model(
    trainer: RewardTrainer, demonstrations: Sequence[Conversation]
) -> tuple[RewardResult, list[list[float]]]:
    """Train `trainer.model`, then set scale and bias from `demonstrations`. With the result come its scores of
    `trainer.held_out`.
    """
    seconds = run_loop(
        "reward",
        Trainee({"model": trainer.model}, {"model": trainer.optimizers}, trainer.counters),
        trainer.step,
        total=trainer.total,
        folder=trainer.workspace.checkpoints,
        log=trainer.log,
        checkpoint_seconds=trainer.workspace.machine.checkpoint_seconds,
        before_step=trainer.before_step,
        note=lambda metrics: f"loss {metrics['loss']:.3f}, right {metrics['accuracy']:.0%}",
    )
    scale = trainer.normalise(demonstrations)
    tokens = trainer.settings.epochs * sum(element.tokens for element in trainer.elements)
    scores = trainer.scores(trainer.held_out)
    return RewardResult(seconds, tokens, scale, share_right(trainer.held_out, scores)), scores


def _of_first_prompts(comparisons: Sequence[Comparison], count: int) -> list[Comparison]:
    chosen = set(list(dict.fromkeys(c.prompt for c in comparisons))[:count])
    return [c for c in comparisons if c.prompt in chosen]


def share_right(comparisons: Sequence[Comparison], scores: Sequence[Sequence[float]]) -> float:
    """Share of ranked pairs whose scores are in the labeller's order, equal ones by half; NaN without a pair."""
    right, pairs = 0.0, 0
    for comparison, own in zip(comparisons, scores, strict=True):
        differences = [own[better] - own[worse] for better, worse in comparison.pairs()]
        right += sum(1.0 if each > 0 else 0.5 if each == 0 else 0.0 for each in differences)
        pairs += len(differences)
    return right / pairs if pairs else float("nan")
