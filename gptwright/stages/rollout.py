"""One round of practice: sample answers, score them, and lay out per token what PPO needs.

The models read answers behind their prompts, packed into rows. What PPO computes with has an answer in each row: index
t of every (B, T) tensor is about its t-th token, and `action` is true where there is one, the first end mark included.
Tokens that a grammar forced are read but not counted: they are no actions of the policy.

Shapes: B answers, T tokens of the longest answer, A tokens of all answers, R packed rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor

from gptwright.engine.request import Completion
from gptwright.losses.language import token_entropy, token_logprobs
from gptwright.model.transformer import LanguageModel, ScalarModel
from gptwright.practice_settings import PracticeSettings
from gptwright.records import Prompt
from gptwright.stages.answers import sample_answers
from gptwright.stages.packing import PackedTrees, Tree, branches_at_once, groups_of_trees, pack_trees, picked
from gptwright.stages.rewards import Reward, answered
from gptwright.stages.server import RolloutServer
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.distributed import ALONE, Ranks
from gptwright.train.fast_path import FastPath, TreeTrunk, tree_trunk
from gptwright.train.parallel import Learner

Item = TypeVar("Item")


@dataclass(frozen=True)
class Episode:
    """One sampled answer and its reward (or the fixed score of one that did not end); answers to one prompt of a round
    have the same `group`.
    """

    prompt_ids: list[int]
    completion: Completion
    score: float
    group: int = 0
    parts: dict[str, float] = field(default_factory=dict)
    """What the score was made of, by name."""


@dataclass(frozen=True)
class PackedAnswers:
    """Answers behind their prompts, as models read them together."""

    packed: PackedTrees
    place_A: Tensor
    """Where, in the flattened rows, the token before each answer token stands: the hidden state that predicts it."""
    target_A: Tensor
    action_BT: Tensor

    def spread(self, value_A: Tensor) -> Tensor:
        """A number for each answer token, laid out as (B, T) with zeros elsewhere."""
        return torch.zeros_like(self.action_BT, dtype=value_A.dtype).masked_scatter(self.action_BT, value_A)


@dataclass
class MicroBatch:
    """Answers that go through the models together; old values come from the same shapes that training will use."""

    answers: PackedAnswers
    score_B: Tensor
    group_B: Tensor
    old_logprob_BT: Tensor
    reference_logprob_BT: Tensor
    sampled_logprob_BT: Tensor
    """As whoever sampled the answers has computed them, at its own precision."""
    entropy_BT: Tensor
    old_value_BT: Tensor
    """Zeros where there is no value model."""
    live_logprob_BT: Tensor | None = None
    """The old log-probabilities with their graph, for a first step that need not compute them again."""
    advantage_BT: Tensor = field(init=False)
    """Found once the whole round is known, as are the returns."""
    return_BT: Tensor = field(init=False)

    @property
    def action_BT(self) -> Tensor:
        return self.answers.action_BT


@dataclass(frozen=True)
class Reader:
    """A model read before each answer token: predictions (A, V) of a language model, numbers (A,) of a value model."""

    hidden_of: TreeTrunk
    head: Callable[[Tensor], Tensor]
    path: FastPath
    learner: Learner[Any] | None = None
    """Of a model that may be sharded; one that only is read has none."""

    def within(self, work: Callable[..., Tensor], *arguments: object) -> Tensor:
        """`work`, with the model's weights at hand."""
        found: Tensor = self.learner.within(work, *arguments) if self.learner else work(*arguments)
        return found

    def __call__(self, answers: PackedAnswers) -> Tensor:
        return self.within(self._read, answers)

    def _read(self, answers: PackedAnswers) -> Tensor:
        packed = answers.packed
        hidden_RTD = self.hidden_of(packed.ids_RT, packed.segment_RT, packed.parent_RT, packed.position_RT)
        with self.path.autocast():
            return self.head(picked(hidden_RTD.flatten(0, 1), answers.place_A))


def reader(model: LanguageModel | ScalarModel, path: FastPath, learner: Learner[Any] | None = None) -> Reader:
    """How `path` reads this model, which `learner` may have sharded."""
    head = model.lm_head if isinstance(model, LanguageModel) else model.read
    return Reader(tree_trunk(model.model, path), head, path, learner)


def sample_episodes(
    policy: LanguageModel,
    reward: Reward,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    settings: PracticeSettings,
    *,
    seed: int,
    each: int = 1,
    server: RolloutServer | None = None,
    ranks: Ranks = ALONE,
) -> list[Episode]:
    """`each` answers to every prompt from the policy as it is, and their rewards; the same on all ranks. No end is ever
    forged for an answer cut short.
    """
    if server:
        server.take(policy)
    sampled = sample_answers(
        policy,
        tokenizer,
        prompts,
        seed=seed,
        temperature=settings.temperature,
        max_new_tokens=settings.max_new_tokens,
        each=each,
        weights=settings.sampling_weights,
        generate=server.generate if server else None,
        ranks=ranks,
    )
    if server:
        server.check()
    answers = answered(prompts, sampled, tokenizer)
    rewarded = reward(answers)
    return [
        Episode(
            answer.prompt_ids,
            answer.completion,
            score if answer.completion.finish_reason == "stop" else settings.no_end_score,
            group=number // each,
            parts={name: scores[number] for name, scores in rewarded.parts.items()},
        )
        for number, (answer, score) in enumerate(zip(answers, rewarded.total, strict=True))
    ]


def split_minibatches(
    episodes: Sequence[Episode], count: int, *, seed: int, step: int, ranks: Ranks = ALONE
) -> list[list[list[Episode]]]:
    """A random split into `count` minibatches, each a list of micro-batches that go through the models at once; of
    several ranks each gets its part of every minibatch. Answers to one prompt of the round stay together, as far as the
    models can take them at once: they read it once.
    """
    groups = [list(same) for _, same in groupby(episodes, key=_asked)]
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    order = torch.randperm(len(groups), generator=generator).tolist()
    borders = [round(len(order) * part / count) for part in range(count + 1)]
    minibatches = [
        [groups[i] for i in order[start:end][ranks.rank :: ranks.size]]
        for start, end in pairwise(borders)
        if end > start
    ]
    pieces = [
        [[same[b] for b in held] for same in part for held in branches_at_once(_tree(same))] for part in minibatches
    ]
    return [
        [[episode for i in micro for episode in part[i]] for micro in groups_of_trees([_tree(same) for same in part])]
        for part in pieces
    ]


def _asked(episode: Episode) -> tuple[int, list[int]]:
    """What answers to one prompt of a round have in common."""
    return episode.group, episode.prompt_ids


def _tree(same: Sequence[Episode]) -> Tree:
    """Answers behind their prompt."""
    return same[0].prompt_ids, [episode.completion.ids for episode in same]


def _chosen(completion: Completion) -> list[int]:
    """Places of the tokens that the policy had a choice at: forced ones are none of its actions. An answer that was
    forced whole keeps its last token, since every answer gets its score somewhere.
    """
    places = range(len(completion.ids))
    if not completion.forced:
        return list(places)
    return [i for i in places if not completion.forced[i]] or [places[-1]]


def _of(chosen: Sequence[Sequence[int]], rows: Sequence[Sequence[Item]]) -> list[Item]:
    """What stands at the chosen places of every row, one after the other."""
    return [row[i] for places, row in zip(chosen, rows, strict=True) for i in places]


def evaluate_episodes(
    episodes: Sequence[Episode],
    policy: Reader,
    reference: Reader,
    value: Reader | None,
    *,
    context: int,
    temperature: float,
    pad: int,
    keep_graph: bool = False,
) -> MicroBatch:
    """Old log-probabilities, entropies and values of the policy that sampled, and the reference's log-probabilities, of
    the tokens that it chose; without a value model values are 0. With `keep_graph` the first step on them
    differentiates this same pass.

    Computed with gradients on, though none is asked for: a program compiled without them rounds otherwise, and the
    ratio to what training computes would not be 1.
    """
    device = policy.path.device
    trees = [_tree(list(same)) for _, same in groupby(episodes, key=_asked)]
    packed = pack_trees(trees, context, pad).to(device)
    chosen = [_chosen(episode.completion) for episode in episodes]
    lengths = [len(tokens) for tokens in chosen]
    branches = [branch for tree in packed.places for branch in tree]
    reading = [
        branch[-len(episode.completion.ids) - 1 : -1] for branch, episode in zip(branches, episodes, strict=True)
    ]
    answers = PackedAnswers(
        packed=packed,
        place_A=torch.tensor(_of(chosen, reading), device=device),
        target_A=torch.tensor(_of(chosen, [episode.completion.ids for episode in episodes]), device=device),
        action_BT=(torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).to(device),
    )
    sampled = _of(chosen, [episode.completion.logprobs for episode in episodes])
    with torch.enable_grad():
        logits_AV, reference_AV = policy(answers), reference(answers).detach()
        logprob_BT = answers.spread(token_logprobs(logits_AV, answers.target_A, temperature))
        value_A = value(answers).detach() if value else torch.zeros(len(answers.target_A), device=device)
    return MicroBatch(
        answers=answers,
        score_B=torch.tensor([episode.score for episode in episodes], device=device),
        group_B=torch.tensor([episode.group for episode in episodes], device=device),
        old_logprob_BT=logprob_BT.detach(),
        reference_logprob_BT=answers.spread(token_logprobs(reference_AV, answers.target_A, temperature)),
        sampled_logprob_BT=answers.spread(torch.tensor(sampled, device=device)),
        entropy_BT=answers.spread(token_entropy(logits_AV.detach(), temperature)),
        old_value_BT=answers.spread(value_A),
        live_logprob_BT=logprob_BT if keep_graph else None,
    )
