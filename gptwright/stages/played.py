"""A round once it was played: its statistics, and what is computed over all of its answers at once.

Of several ranks each has read its part of the answers. Numbers of all of them are brought together here, so that a
round on many ranks is the round of one.

Shapes: N answers of all ranks, B answers of a micro-batch, T tokens of its longest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gptwright.errors import RunError
from gptwright.losses.divergence import k1, k3
from gptwright.losses.reduce import masked_mean
from gptwright.practice_settings import WATCH
from gptwright.stages.rollout import MicroBatch
from gptwright.train.distributed import ALONE, Ranks
from gptwright.train.loop import Metrics

RATIO_TOLERANCE = 1e-4
ENTROPY_TOLERANCE = 1e-4
LARGEST_GAP = 0.5
"""Nats per token; bfloat16 on one side makes some hundredths."""


@dataclass(frozen=True)
class Round:
    """All answers of a round together; their KL to the reference is summed over tokens. `batches` are this rank's."""

    batches: list[MicroBatch]
    score_N: Tensor
    kl_N: Tensor
    kl3_N: Tensor
    ranks: Ranks = ALONE

    @classmethod
    def of(cls, minibatches: Sequence[Sequence[MicroBatch]], ranks: Ranks = ALONE) -> Round:
        batches = [micro for parts in minibatches for micro in parts]

        def summed(estimate: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
            return joined(ranks, [over_answer(estimate(b.old_logprob_BT, b.reference_logprob_BT), b) for b in batches])

        return cls(batches, joined(ranks, [batch.score_B for batch in batches]), summed(k1), summed(k3), ranks)

    def joined(self, name: str) -> Tensor:
        """A (B, T) field of all batches, flat."""
        return joined(self.ranks, [getattr(batch, name) for batch in self.batches])

    def check_start(self, stage: str) -> None:
        """Before any update the policy is the reference. Raises RunError: a run that breaks this learns nonsense."""
        if float(self.kl_N.abs().max()) > RATIO_TOLERANCE:
            raise RunError(
                f"{stage}: KL to the reference is {float(self.kl_N.abs().max()):.2g} before any update, not 0: "
                "policy and reference differ; this is a bug, please report it"
            )

    def sampling_gap(self) -> float:
        """Mean distance, in nats, of a token's log-probability to what it was for whoever sampled it.

        Raises RunError where it is that of other weights: what they say is no experience of the policy.
        """
        gap_N = (self.joined("old_logprob_BT") - self.joined("sampled_logprob_BT")).abs()
        gap = float(masked_mean(gap_N, self.joined("action_BT")))
        if not gap <= LARGEST_GAP:
            raise RunError(
                f"answers were sampled {gap:.2g} nats a token away from the policy. With machine.sampling_server: a "
                "server that has other weights or another temperature gives nothing to learn from, and one without "
                "--logprobs-mode processed_logprobs tells what it never drew from (docs/rlhf.md). Without one this is "
                "a bug, please report it"
            )
        return gap

    def metrics(self, total_N: Tensor, beta: float) -> Metrics:
        """`total_N` is each answer's reward with the penalty for leaving the reference."""
        kl_N = self.kl_N
        entropy = float(masked_mean(self.joined("entropy_BT"), self.joined("action_BT")))
        if not entropy > -ENTROPY_TOLERANCE:
            raise RunError(f"entropy is {entropy:.2g} nats, which cannot be; this is a bug, please report it")
        return {
            "reward/score": float(self.score_N.mean()),
            "reward/mean": float(total_N.mean()),
            "kl/reference": float(kl_N.mean()),
            "kl/standard_error": float(kl_N.std() / len(kl_N) ** 0.5) if len(kl_N) > 1 else 0.0,
            "kl/k3": float(self.kl3_N.mean()),
            "kl/beta": beta,
            "sampling/gap": self.sampling_gap(),
            "entropy": entropy,
        }


def joined(ranks: Ranks, values: Sequence[Tensor]) -> Tensor:
    """All ranks' numbers, flat, one rank's after another's."""
    mine = torch.cat([value.flatten() for value in values])
    if ranks.size == 1:
        return mine
    return torch.cat(ranks.gather(mine.cpu())).to(mine.device)


def share_of(ranks: Ranks, joined_N: Tensor, values: Sequence[Tensor]) -> list[Tensor]:
    """This rank's part of what was computed over `joined(ranks, values)`, number by number, in the values' shapes."""
    sizes = [value.numel() for value in values]
    start = sum(ranks.gather(sum(sizes))[: ranks.rank])
    parts = joined_N[start : start + sum(sizes)].split(sizes)
    return [part.view_as(value) for part, value in zip(parts, values, strict=True)]


def over_answer(value_BT: Tensor, batch: MicroBatch) -> Tensor:
    """Sum over each answer's tokens (B,)."""
    return torch.where(batch.action_BT, value_BT, torch.zeros_like(value_BT)).sum(dim=1)


def mean_parts(parts: Sequence[Mapping[str, float]]) -> Metrics:
    """The mean of each part of a reward, but of a single one, which the score says, and of what is watched."""
    means = {name: float(np.mean([each[name] for each in parts])) for name in parts[0]}
    watched = {f"watch/{name.removeprefix(WATCH)}": mean for name, mean in means.items() if name.startswith(WATCH)}
    counted = {f"reward/part/{name}": mean for name, mean in means.items() if not name.startswith(WATCH)}
    return watched | (counted if len(counted) > 1 else {})


def averages(rows: Sequence[Metrics]) -> Metrics:
    """The mean of each metric over the rows that have it."""
    keys = dict.fromkeys(key for row in rows for key in row)
    return {key: float(np.mean([row[key] for row in rows if key in row])) for key in keys}
