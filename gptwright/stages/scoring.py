"""Reading a reward model: a prompt and an answer in, one number out.

    score = w . hidden(reward token) + bias + likelihood * log p(answer | prompt)

The last term is there when the model was made with one; it is read off the model's own next-token predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from gptwright.losses.language import token_logprobs
from gptwright.model.transformer import ScalarModel
from gptwright.records import Comparison, Message
from gptwright.stages.workspace import Workspace
from gptwright.tokenizer.chat import render_prompt, response_ids
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.batches import length_buckets, pad_right

MICRO_TOKENS = 4096
"""Padded tokens per forward pass."""


class ScoredRow(NamedTuple):
    """A prompt, an answer from `start` on, and the reward token."""

    ids: list[int]
    start: int


def scored_row(messages: Sequence[Message], answer: str, tokenizer: Tokenizer) -> ScoredRow:
    """A prompt and a finished answer as the reward model reads them."""
    prompt = render_prompt(messages, tokenizer)
    return ScoredRow([*prompt, *response_ids(answer, tokenizer), tokenizer.reward], len(prompt))


def comparison_rows(comparison: Comparison, tokenizer: Tokenizer) -> list[ScoredRow]:
    """A row per answer, in order."""
    return [scored_row(comparison.prompt.messages, answer, tokenizer) for answer in comparison.answers]


def answers_fit(comparison: Comparison, tokenizer: Tokenizer, context: int) -> bool:
    """Whether each answer can be read whole."""
    return all(len(row.ids) <= context for row in comparison_rows(comparison, tokenizer))


def answer_loglikelihood(model: ScalarModel, hidden_BTD: Tensor, ids_BT: Tensor, rows: Sequence[ScoredRow]) -> Tensor:
    """log p(answer | prompt) in nats, end mark included and reward token not, by the trunk's predictions -> (B,)."""
    place_T = torch.arange(1, ids_BT.shape[1])
    inside = [(place_T >= row.start) & (place_T < len(row.ids) - 1) for row in rows]
    inside_BT = torch.stack(inside).to(ids_BT.device)
    # N answer tokens of all rows, row after row
    logits_NV = functional.linear(hidden_BTD[:, :-1][inside_BT], model.output_matrix)
    logprob_N = token_logprobs(logits_NV, ids_BT[:, 1:][inside_BT])
    return torch.stack([part.sum() for part in logprob_N.split([int(part.sum()) for part in inside])])


def score_hidden(
    model: ScalarModel, hidden_BTD: Tensor, rows: Sequence[ScoredRow], loglikelihood_B: Tensor | None
) -> Tensor:
    """Scores from final hidden states and, where the model weighs them, log-likelihoods -> (B,) float32."""
    last_B = torch.tensor([len(row.ids) - 1 for row in rows], device=hidden_BTD.device)
    score_B = model.read(hidden_BTD[torch.arange(len(rows), device=hidden_BTD.device), last_B])
    if model.likelihood is None or loglikelihood_B is None:
        return score_B
    return score_B + model.likelihood * loglikelihood_B


def score_ids(model: ScalarModel, rows: Sequence[ScoredRow], pad: int, workspace: Workspace) -> Tensor:
    """The score of each row -> (rows,) float32 on the device; gradients flow if enabled."""
    ids_BT = pad_right([row.ids for row in rows], pad)[0].to(workspace.path.device)
    with workspace.path.autocast():
        hidden_BTD = model.model(ids_BT)
        weighs = model.likelihood is not None
        loglikelihood_B = answer_loglikelihood(model, hidden_BTD, ids_BT, rows) if weighs else None
        return score_hidden(model, hidden_BTD, rows, loglikelihood_B)


@torch.no_grad()
def score_all(model: ScalarModel, rows: Sequence[ScoredRow], pad: int, workspace: Workspace) -> list[float]:
    """Scores of many rows, in order, in groups of similar length."""
    scores = [0.0] * len(rows)
    for bucket in length_buckets([len(row.ids) for row in rows], MICRO_TOKENS):
        found = score_ids(model, [rows[i] for i in bucket], pad, workspace).tolist()
        for index, score in zip(bucket, found, strict=True):
            scores[index] = score
    return scores
