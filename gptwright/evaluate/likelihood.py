"""What a model's own probabilities say about its answers: entropy per token, and KL to another model per answer.

Shapes: T tokens of one row less one, V vocabulary. Answers go through one at a time, so nothing is padded; nothing here
samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gptwright.errors import InputError
from gptwright.evaluate.intervals import Figure, mean
from gptwright.losses.divergence import k1, k3
from gptwright.losses.language import token_entropy, token_logprobs
from gptwright.model.transformer import LanguageModel

Exchange = tuple[Sequence[int], Sequence[int]]
"""Prompt ids and response ids."""


@dataclass(frozen=True)
class AnswerStatistics:
    """Entropy in nats per response token; KL to the reference in nats per answer, by two estimators."""

    entropy: float
    k1: Figure
    k3: Figure


@torch.no_grad()
def answer_statistics(
    model: LanguageModel, reference: LanguageModel, exchanges: Sequence[Exchange], *, seed: int = 0
) -> AnswerStatistics:
    """Statistics of answers that `model` sampled at temperature 1. Raises InputError without any answer."""
    if not exchanges:
        raise InputError("no answers to take statistics of: sample at least one")
    entropies, tokens, device = 0.0, 0, model.lm_head.weight.device
    k1_sums, k3_sums = [], []
    for prompt_ids, response_ids in exchanges:
        ids_T = torch.tensor([[*prompt_ids, *response_ids]], device=device)
        first = len(prompt_ids) - 1
        logits_TV, reference_TV = model(ids_T[:, :-1])[:, first:], reference(ids_T[:, :-1])[:, first:]
        target_T = ids_T[:, 1:][:, first:]
        logprob_T, reference_T = token_logprobs(logits_TV, target_T), token_logprobs(reference_TV, target_T)
        entropies += float(token_entropy(logits_TV).sum())
        tokens += len(response_ids)
        k1_sums.append(float(k1(logprob_T, reference_T).sum()))
        k3_sums.append(float(k3(logprob_T, reference_T).sum()))
    return AnswerStatistics(entropies / tokens, mean(k1_sums, seed=seed), mean(k3_sums, seed=seed))
