"""One round of practice: sample answers, score them, and lay out per token what PPO needs.

Positions: a row's ids are prompt + response, padded right. Index t of every (B, T) tensor here is about predicting
ids[t + 1] from ids[..t]; `action` is true where that next token belongs to the response, its first end mark included.

Shapes: B answers, T tokens of a row less one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gptwright.engine.engine import Completion
from gptwright.losses.language import token_entropy, token_logprobs
from gptwright.model.transformer import LanguageModel, ScalarModel
from gptwright.recipe import PpoSettings
from gptwright.records import Prompt
from gptwright.stages.answers import answer_text, sample_answers
from gptwright.stages.repetition import count_repeated
from gptwright.stages.scoring import MICRO_TOKENS, ScoredRow, score_all
from gptwright.stages.workspace import Workspace
from gptwright.tokenizer.chat import render_prompt
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.batches import length_buckets, pad_right


@dataclass(frozen=True)
class Episode:
    """One sampled answer and its score by the reward model (or the fixed score of one that did not end)."""

    prompt_ids: list[int]
    completion: Completion
    score: float


@dataclass
class MicroBatch:
    """Answers that go through the models together; old values come from the same shapes that training will use."""

    ids_BT: Tensor
    target_BT: Tensor
    action_BT: Tensor
    score_B: Tensor
    old_logprob_BT: Tensor
    reference_logprob_BT: Tensor
    entropy_BT: Tensor
    old_value_BT: Tensor
    advantage_BT: Tensor
    return_BT: Tensor


def sample_episodes(
    policy: LanguageModel,
    reward_model: ScalarModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    settings: PpoSettings,
    workspace: Workspace,
    *,
    seed: int,
) -> list[Episode]:
    """One answer per prompt from the policy as it is, and its score. No end is ever forged for an answer cut short."""
    answers = sample_answers(
        policy,
        tokenizer,
        prompts,
        seed=seed,
        temperature=settings.temperature,
        max_new_tokens=settings.max_new_tokens,
    )
    completions = [answer[0] for answer in answers]
    prompt_ids = [render_prompt(prompt.messages, tokenizer) for prompt in prompts]
    room = reward_model.config.context
    rows = [
        ScoredRow([*ids, *c.ids, tokenizer.reward][:room], len(ids), count_repeated(answer_text(c, tokenizer)))
        for ids, c in zip(prompt_ids, completions, strict=True)
    ]
    scores = score_all(reward_model, rows, tokenizer.pad, workspace)
    return [
        Episode(ids, completion, score if completion.finish_reason == "stop" else settings.no_end_score)
        for ids, completion, score in zip(prompt_ids, completions, scores, strict=True)
    ]


def split_minibatches(episodes: Sequence[Episode], count: int, *, seed: int, step: int) -> list[list[list[Episode]]]:
    """A random split into `count` minibatches, each a list of micro-batches of answers of similar length."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    order = torch.randperm(len(episodes), generator=generator).tolist()
    size = -(-len(order) // count)
    minibatches = [[episodes[i] for i in order[start : start + size]] for start in range(0, len(order), size)]
    return [
        [[part[i] for i in bucket] for bucket in length_buckets(_lengths(part), MICRO_TOKENS)] for part in minibatches
    ]


def _lengths(episodes: Sequence[Episode]) -> list[int]:
    return [len(episode.prompt_ids) + len(episode.completion.ids) for episode in episodes]


@torch.no_grad()
def evaluate_episodes(
    episodes: Sequence[Episode],
    policy: LanguageModel,
    reference: LanguageModel,
    value_model: ScalarModel,
    settings: PpoSettings,
    pad: int,
    workspace: Workspace,
) -> MicroBatch:
    """Old log-probabilities, entropies and values of the policy that sampled, and the reference's log-probabilities."""
    device = workspace.path.device
    ids, mask = pad_right([[*e.prompt_ids, *e.completion.ids] for e in episodes], pad)
    starts = torch.tensor([len(e.prompt_ids) for e in episodes])
    action = mask[:, 1:] & (torch.arange(1, ids.shape[1])[None] >= starts[:, None])
    ids_BT, target_BT, action_BT = ids[:, :-1].to(device), ids[:, 1:].to(device), action.to(device)
    with workspace.path.autocast():
        logits_BTV = policy(ids_BT)
        reference_BTV = reference(ids_BT)
        value_BT = value_model(ids_BT)
    nothing = torch.zeros_like(value_BT)
    return MicroBatch(
        ids_BT=ids_BT,
        target_BT=target_BT,
        action_BT=action_BT,
        score_B=torch.tensor([e.score for e in episodes], device=device),
        old_logprob_BT=token_logprobs(logits_BTV, target_BT, settings.temperature),
        reference_logprob_BT=token_logprobs(reference_BTV, target_BT, settings.temperature),
        entropy_BT=token_entropy(logits_BTV, settings.temperature),
        old_value_BT=value_BT,
        advantage_BT=nothing,
        return_BT=nothing,
    )
