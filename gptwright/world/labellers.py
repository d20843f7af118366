"""Five simulated people who rank answers: they share the gold judgement, each has a taste, and all are noisy.

    utility(labeller, answer) = judge score + taste
    a labeller ranks by utility + NOISE * Gumbel, so pairs follow a Bradley-Terry model (softmax of utility / NOISE)

InstructGPT's labellers agreed with each other on about 73 % of pairs; NOISE is set to give that on
`corrupt.plausible_answers`, which stand in for an SFT model's. On those of the quickstart's, which differ less, it
gives 71 to 72 % (benchmarks/results/quickstart.json).
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from gptwright.errors import InputError
from gptwright.records import Comparison, Prompt
from gptwright.world.judge import judge
from gptwright.world.splits import fraction

NOISE = 0.14
"""Scale of the Gumbel noise, in units of the judge's score."""

LONG_ANSWER_WORDS = 30
"""Taste for short or detailed answers is spent at this length."""

_COURTESY = re.compile(r"\b(please|sorry|thank|glad|gladly|hope|welcome|course)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Labeller:
    """A taste: how much score the labeller gives for a full-length, a courteous and an untidy answer."""

    name: str
    length: float = 0.0
    courtesy: float = 0.0
    untidiness: float = 0.0

    def taste(self, prompt: Prompt, answer: str) -> float:
        """The part of the utility that other labellers do not share."""
        fullness = min(len(answer.split()) / LONG_ANSWER_WORDS, 1.0)
        courteous = _COURTESY.search(answer) is not None
        untidy = 1.0 - judge(prompt, answer).well_formed
        return self.length * fullness + self.courtesy * courteous + self.untidiness * untidy

    def utility(self, prompt: Prompt, answer: str) -> float:
        """How much the labeller likes the answer, before noise."""
        return judge(prompt, answer).score + self.taste(prompt, answer)

    def rank(self, prompt: Prompt, answers: Sequence[str], seed: int) -> tuple[int, ...]:
        """Rank 0 is best. The same text gets the same noise, so identical answers tie and order does not matter."""
        felt = {}
        for answer in answers:
            rng = random.Random(f"rank/{self.name}/{prompt.id}/{seed}/{answer}")
            felt[answer] = self.utility(prompt, answer) + NOISE * _gumbel(rng)
        order = sorted(set(felt.values()), reverse=True)
        return tuple(order.index(felt[answer]) for answer in answers)


def _gumbel(rng: random.Random) -> float:
    # 1 - random() lies in (0, 1], and the clamp keeps log(0) out of the inner logarithm's result.
    return -math.log(max(-math.log(1.0 - rng.random()), 1e-300))


LABELLERS: tuple[Labeller, ...] = (
    Labeller("neutral"),
    Labeller("brevity", length=-0.3),
    Labeller("courtesy", courtesy=0.2),
    Labeller("detail", length=0.3),
    Labeller("neatness", untidiness=-0.5),
)


def compare(prompt: Prompt, answers: Sequence[str], seed: int, colleague: int = 0) -> Comparison:
    """The ranking of one labeller, chosen by prompt and seed; `colleague` 1 to 4 are the other four."""
    first = int(fraction(f"labeller/{prompt.id}/{seed}") * len(LABELLERS))
    labeller = LABELLERS[(first + colleague) % len(LABELLERS)]
    return Comparison(prompt, tuple(answers), labeller.rank(prompt, answers, seed), labeller.name)


def utility(prompt: Prompt, answer: str) -> float:
    """The mean over labellers, without noise: what the best reward model could know."""
    return sum(labeller.utility(prompt, answer) for labeller in LABELLERS) / len(LABELLERS)


def agreement(first: Sequence[Comparison], second: Sequence[Comparison]) -> float:
    """The share of answer pairs that two lists of rankings order alike; pairs that either ties are left out."""
    alike = total = 0
    for one, other in zip(first, second, strict=True):
        if one.answers != other.answers:
            raise InputError(f"the rankings of prompt {one.prompt.id} and {other.prompt.id} hold different answers")
        shared = set(one.pairs())
        opposite = {(worse, better) for better, worse in shared}
        for pair in other.pairs():
            alike += pair in shared
            total += pair in shared or pair in opposite
    if total == 0:
        raise InputError("no pair of answers is ordered by both rankings: give comparisons with different answers")
    return alike / total
