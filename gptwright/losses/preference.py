"""The reward model's loss: all pairs of one prompt's ranked answers together (Ouyang et al. 2022, equation 1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def ranking_loss(reward_K: Tensor, pairs: list[tuple[int, int]], margins: Sequence[float] | None = None) -> Tensor:
    """-1/P * sum over pairs (w, l) of log sigmoid(r_w - r_l - margin), for one prompt.

    `pairs` index `reward_K` as (better, worse); without ties P is C(K, 2). All pairs of a prompt are one element of the
    batch: shuffled apart, each answer would be fitted K-1 times in one epoch and overfit (section 3.5 of the paper).
    `margins`, one a pair, ask for more distance where an answer is more clearly better (Touvron et al.,
    arXiv:2307.09288, equation 2). Raises ValueError without pairs.
    """
    if not pairs:
        raise ValueError("all answers tie: a prompt without a pair gives no loss and must be left out")
    better, worse = zip(*pairs, strict=True)
    difference_P = reward_K[list(better)].float() - reward_K[list(worse)].float()
    if margins is not None:
        difference_P = difference_P - torch.tensor(margins, device=difference_P.device)
    return -F.logsigmoid(difference_P).mean()
