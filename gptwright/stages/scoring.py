"""Reading a reward model: a prompt and an answer in, one number out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gptwright.model.transformer import ScalarModel
from gptwright.records import Comparison, Message
from gptwright.stages.workspace import Workspace
from gptwright.tokenizer.chat import render
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.batches import length_buckets, pad_right

MICRO_TOKENS = 4096
"""Padded tokens per forward pass."""


def reward_ids(messages: Sequence[Message], answer: str, tokenizer: Tokenizer) -> list[int]:
    """A prompt and a finished answer as the reward model reads them."""
    return [*render([*messages, Message("assistant", answer)], tokenizer).ids, tokenizer.reward]


def last_of(value_BT: Tensor, rows: Sequence[Sequence[int]]) -> Tensor:
    """What stands at each row's last real token, found from its length -> (B,)."""
    last_B = torch.tensor([len(row) - 1 for row in rows], device=value_BT.device)
    return value_BT[torch.arange(len(rows), device=value_BT.device), last_B]


def score_ids(model: ScalarModel, rows: Sequence[Sequence[int]], pad: int, workspace: Workspace) -> Tensor:
    """The score of each row, read at its last token -> (rows,) float32 on the device; gradients flow if enabled."""
    ids_BT, _ = pad_right(rows, pad)
    with workspace.path.autocast():
        return last_of(model(ids_BT.to(workspace.path.device)), rows)


@torch.no_grad()
def score_all(model: ScalarModel, rows: Sequence[Sequence[int]], pad: int, workspace: Workspace) -> list[float]:
    """Scores of many rows, in order, in groups of similar length."""
    scores = [0.0] * len(rows)
    for bucket in length_buckets([len(row) for row in rows], MICRO_TOKENS):
        found = score_ids(model, [rows[i] for i in bucket], pad, workspace).tolist()
        for index, score in zip(bucket, found, strict=True):
            scores[index] = score
    return scores


def comparison_rows(comparison: Comparison, tokenizer: Tokenizer) -> list[list[int]]:
    return [reward_ids(comparison.prompt.messages, answer, tokenizer) for answer in comparison.answers]
