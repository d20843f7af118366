"""What a request changes about logits before anything is drawn: biases and penalties for what was said already.

Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gptwright.engine.params import SamplingParams


def adjust_logits(
    logits_BV: Tensor, params: Sequence[SamplingParams], prompts: Sequence[Sequence[int]], answers: Sequence[list[int]]
) -> Tensor:
    """Logits after each row's penalties and biases; the input itself where no row has any."""
    changed = [row for row, p in enumerate(params) if p.changes_logits]
    if not changed:
        return logits_BV
    logits_BV = logits_BV.float().clone()
    for row in changed:
        _adjust(logits_BV[row], params[row], prompts[row], answers[row])
    return logits_BV


def _adjust(logit_V: Tensor, params: SamplingParams, prompt: Sequence[int], answer: list[int]) -> None:
    if params.repetition_penalty != 1:
        said = torch.tensor(sorted({*prompt, *answer}), device=logit_V.device)
        value = logit_V[said]
        # Divided where positive and multiplied where negative: always less likely (Keskar et al., arXiv:1909.05858).
        penalty = params.repetition_penalty
        logit_V[said] = torch.where(value > 0, value / penalty, value * penalty)
    if answer and (params.presence_penalty or params.frequency_penalty):
        said_once, count = np.unique(answer, return_counts=True)
        penalty_S = params.presence_penalty + params.frequency_penalty * count
        logit_V[torch.from_numpy(said_once).to(logit_V.device)] -= torch.from_numpy(penalty_S).to(logit_V)
    for token, bias in params.logit_bias.items():
        logit_V[token] += bias
