"""The watch over practice: is the reward still worth having, or is it being hacked?

Whatever practice maximises goes up; that says nothing. What practice does not see says more: a second reward model, a
rule, how different the answers are from each other, how often they end, how often they say a thing again. When one of
those has fallen for good while the reward rose, the guard stops practice and gives back the policy from before the fall
(Gao et al., "Scaling laws for reward model overoptimization", arXiv:2210.10760).

    fall of a quantity = (its best - what it may lose - what it is now) / standard error

taken over the prompts of the last rounds (answers to one prompt are alike, and count as one). Beyond `limit` for longer
than those rounds, so that no round is counted on both sides, it is an alarm. The best of many windows is one that
chance has favoured by two or three standard errors, which is why the limit is 5; while every fall is below half of it,
the policy is kept as one to come back to.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from gptwright.model.transformer import LanguageModel
from gptwright.practice_settings import WATCH, GuardSettings
from gptwright.stages.repetition import count_repeated
from gptwright.stages.rewards import Answered, Part
from gptwright.train.average import move_average
from gptwright.train.loop import Metrics
from gptwright.train.progress import say

MAY_LOSE = {"once": 0.5, "ended": 0.1}
"""What practice may cost without alarm: half a thing more said twice per answer, a tenth of the answers cut short."""
HALF = ("diversity",)
"""May fall to half: practice makes answers more alike, and should."""


def diversity(answers: Sequence[Answered]) -> list[float]:
    """Of each answer, the share of its word pairs that no other answer of the round has; 1 for one without a pair."""
    pairs = [_pairs(answer.text) for answer in answers]
    having = Counter(pair for each in pairs for pair in each)
    return [sum(having[pair] == 1 for pair in each) / len(each) if each else 1.0 for each in pairs]


def _pairs(text: str) -> set[tuple[str, str]]:
    return set(pairwise(text.lower().split()))


def watched_parts(others: Mapping[str, Part]) -> dict[str, tuple[Part, float]]:
    """What is always watched and what the recipe names besides, as parts of the reward that weigh nothing."""
    always: dict[str, Part] = {
        "diversity": diversity,
        "once": lambda answers: [-float(count_repeated(answer.text)) for answer in answers],
        "ended": lambda answers: [float(answer.completion.finish_reason == "stop") for answer in answers],
    }
    return {f"{WATCH}{name}": (part, 0.0) for name, part in (always | dict(others)).items()}


def of_prompts(value_N: Sequence[float], group_N: Sequence[int]) -> list[float]:
    """The mean of each prompt's answers."""
    by_prompt: dict[int, list[float]] = {}
    for value, group in zip(value_N, group_N, strict=True):
        by_prompt.setdefault(group, []).append(value)
    return [sum(values) / len(values) for values in by_prompt.values()]


class Guard:
    """Looks at every round's answers. All it knows stands in `counters` and `best`, which checkpoints keep.

    It sees the parts of a reward that `watched_parts` gave; with a reward that has none, it sees nothing.
    """

    def __init__(self, settings: GuardSettings, policy: LanguageModel, counters: dict[str, float]) -> None:
        self.settings, self.policy, self.counters = settings, policy, counters
        self.best = copy.deepcopy(policy).requires_grad_(False)

    @property
    def stopped(self) -> bool:
        return bool(self.counters.get("guard/stopped", 0.0))

    def look(
        self, step: int, score_N: Sequence[float], parts: Sequence[Mapping[str, float]], group_N: Sequence[int]
    ) -> Metrics:
        """A round's rewards and watched parts, of answers that the policy as it is now has given, and their prompts."""
        names = [name for name in parts[0] if name.startswith(WATCH)]
        if not names:
            return {}
        proxy, _ = self._window("score", step, of_prompts(score_N, group_N))
        told = {name: of_prompts([each[name] for each in parts], group_N) for name in names}
        falls = {name: self._fall(name, step, values) for name, values in told.items()}
        worst = max(falls, key=falls.__getitem__)
        if falls[worst] <= self.settings.limit / 2:
            move_average(self.best, self.policy, 0.0)
            self.counters |= {"guard/sound_step": step, "guard/sound_score": proxy}
        hacked = falls[worst] > self.settings.limit and proxy > self.counters.get("guard/sound_score", math.inf)
        alarms = self.counters.get("guard/alarms", 0.0) + 1 if hacked else 0.0
        self.counters["guard/alarms"] = alarms
        if alarms == self.settings.window + 1:
            self._ring(step, worst.removeprefix(WATCH))
        return {f"guard/{name.removeprefix(WATCH)}": fall for name, fall in falls.items()} | {"guard/alarms": alarms}

    def _ring(self, step: int, name: str) -> None:
        back = int(self.counters["guard/sound_step"])
        say(f"  alarm after {step} rounds: the reward rises while {name} falls, as when a reward is being hacked")
        if self.settings.stop:
            self.counters["guard/stopped"] = 1.0
            say(f"  practice stops, and the policy after {back} rounds is kept; guard.stop: false goes on regardless")

    def _fall(self, name: str, step: int, value_N: Sequence[float]) -> float:
        mean, variance = self._window(name, step, value_N)
        best, spread = self.counters.get(f"guard/{name}/best", -math.inf), f"guard/{name}/best_variance"
        if mean > best:
            self.counters |= {f"guard/{name}/best": mean, spread: variance}
            best = mean
        short = name.removeprefix(WATCH)
        may_lose = abs(best) / 2 if short in HALF else MAY_LOSE.get(short, 0.0)
        return (best - may_lose - mean) / max(math.sqrt(variance + self.counters[spread]), 1e-6)

    def _window(self, name: str, step: int, value_N: Sequence[float]) -> tuple[float, float]:
        """Mean over the last rounds' answers, and its variance."""
        place, size = step % self.settings.window, min(step + 1, self.settings.window)
        self.counters[f"guard/{name}/mean/{place}"] = float(np.mean(value_N))
        # One prompt alone says nothing about how much chance there is.
        variance = float(np.var(value_N, ddof=1)) if len(value_N) > 1 else math.inf
        self.counters[f"guard/{name}/variance/{place}"] = variance / len(value_N)
        means = [self.counters[f"guard/{name}/mean/{i}"] for i in range(size)]
        variances = [self.counters[f"guard/{name}/variance/{i}"] for i in range(size)]
        return sum(means) / size, sum(variances) / size**2
