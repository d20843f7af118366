"""The guard: quiet while practice is sound, and a planted reward that can be hacked is caught."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from gptwright.engine.request import Completion
from gptwright.model.transformer import LanguageModel
from gptwright.practice_settings import GrpoSettings, GuardSettings
from gptwright.recipe import OptimizerSettings
from gptwright.records import Message, Prompt
from gptwright.stages.grpo import Grpo, grpo
from gptwright.stages.guard import Guard, diversity, watched_parts
from gptwright.stages.rewards import Answered, weighted
from gptwright.tokenizer.tokenizer import Tokenizer


def answered(text: str, reason: Any = "stop") -> Answered:
    prompt = Prompt("p", (Message("user", "?"),))
    return Answered(prompt, [1], Completion([0], finish_reason=reason), Message("assistant", text))


def look(guard: Guard, step: int, score: float, second: float, spread: float = 0.1) -> dict[str, float]:
    """A round of 32 answers around these means."""
    offsets = [spread * (i % 2 - 0.5) for i in range(32)]
    parts = [{"watch_second": second + o} for o in offsets]
    return guard.look(step, [score + o for o in offsets], parts, list(range(32)))


@pytest.fixture
def watched() -> Callable[..., Guard]:
    def make(**settings: Any) -> Guard:
        policy = torch.nn.Linear(1, 1)
        return Guard(GuardSettings(**settings), policy, {})

    return make


def test_diversity_by_hand() -> None:
    # 'a b' is in both, 'b c' in the first and 'b d' in the second alone.
    assert diversity([answered("a b c"), answered("A b d"), answered("one")]) == [0.5, 0.5, 1.0]


def test_what_is_always_watched() -> None:
    parts = watched_parts({"second": lambda answers: [9.0] * len(answers)})
    assert {weight for _, weight in parts.values()} == {0.0}
    found = weighted(parts)([answered("It is. It is."), answered("So", "length")])
    assert found.parts["watch_once"] == [-1.0, 0.0]
    assert found.parts["watch_ended"] == [1.0, 0.0]
    assert found.parts["watch_second"] == [9.0, 9.0]
    assert found.total == [0.0, 0.0]


def test_it_rings_when_the_reward_rises_while_another_falls(watched: Callable[..., Guard]) -> None:
    guard = watched(window=2)
    for step in range(4):
        look(guard, step, score=0.1 * step, second=0.1 * step)
        with torch.no_grad():
            guard.policy.weight.fill_(step + 1)  # what practice makes of it afterwards
    assert guard.counters["guard/sound_step"] == 3 and not guard.stopped
    for step in range(4, 7):
        assert not guard.stopped  # windows of two rounds: the third one shares none with the first
        look(guard, step, score=0.1 * step, second=0.3 - 0.2 * (step - 3))
    assert guard.stopped
    assert float(guard.best.weight) == 3.0  # as it was when the last sound round was sampled


@pytest.mark.parametrize(("score", "second"), [(0.1, 0.1), (-0.1, -0.1), (0.1, 0.0)], ids=["both", "both fall", "flat"])
def test_it_is_quiet_otherwise(watched: Callable[..., Guard], score: float, second: float) -> None:
    guard = watched()
    for step in range(12):
        look(guard, step, score=score * step, second=second * step)
    assert guard.counters["guard/alarms"] == 0 and not guard.stopped


@pytest.mark.parametrize("answers", [1, 8])
def test_chance_alone_rarely_rings(watched: Callable[..., Guard], answers: int) -> None:
    """A watched reward that never changes, while the reward rises: answers to one prompt are alike, prompts differ."""
    rung = 0
    for run in range(8):
        draws, guard = torch.Generator().manual_seed(run), watched()
        for step in range(40):
            prompts = 128 // answers
            of_prompt = torch.randn(prompts, generator=draws).repeat_interleave(answers)
            second = (of_prompt + torch.randn(128, generator=draws)).tolist()
            groups = [i // answers for i in range(128)]
            guard.look(step, [0.01 * step + s for s in second], [{"watch_second": s} for s in second], groups)
        rung += guard.stopped
    assert rung == 0


def test_one_bad_round_is_no_alarm(watched: Callable[..., Guard]) -> None:
    guard = watched(window=1)
    for step in range(8):
        look(guard, step, score=0.1 * step, second=-5.0 if step == 4 else 0.0)
    assert not guard.stopped


def test_told_not_to_stop_it_only_says_so(watched: Callable[..., Guard], capsys: pytest.CaptureFixture[str]) -> None:
    guard = watched(window=1, stop=False)
    for step in range(8):
        look(guard, step, score=0.1 * step, second=-0.1 * step)
    assert not guard.stopped
    assert "the reward rises while second falls" in capsys.readouterr().err


@pytest.fixture
def make_hacked(
    tokenizer: Tokenizer,
    babbler: LanguageModel,
    letters: list[Prompt],
    make_workspace: Callable[..., Any],
    pretrain_batch: Callable[..., Any],
    plain_adam: Callable[..., OptimizerSettings],
) -> Callable[..., Grpo]:
    """Practice on a reward that was planted to be hacked: it likes a's, and what we want is that a and b balance."""

    def likes_a(answers: Sequence[Answered]) -> list[float]:
        return [each.text.count("a") / 4 for each in answers]

    def wanted(answers: Sequence[Answered]) -> list[float]:
        return [min(each.text.count("a"), 1) - 0.5 * max(0, each.text.count("a") - 1) for each in answers]

    def make(name: str = "run", *, guard: GuardSettings | None, checkpoint_seconds: float = 1e9) -> Grpo:
        settings = GrpoSettings(
            steps=40,
            episodes=32,
            minibatches=2,
            max_new_tokens=6,
            pretrain_mix=0.0,
            beta=0.0,
            policy=plain_adam(3e-3),
            guard=guard,
        )
        reward = weighted({"a": (likes_a, 1.0), **watched_parts({"wanted": wanted})})
        place = make_workspace(name, checkpoint_seconds=checkpoint_seconds)
        return Grpo(copy.deepcopy(babbler), reward, tokenizer, letters, pretrain_batch, settings, place)

    return make


def test_one_prompt_a_round_rings_no_bell(make_model: Any) -> None:
    counters: dict[str, float] = {}
    guard = Guard(GuardSettings(), make_model(), counters)
    for step in range(12):
        parts = [{"watch_once": -float(step), "a": 1.0}] * 4
        told = guard.look(step, [float(step)] * 4, parts, [0, 0, 0, 0])
        assert told["guard/once"] == 0
    assert not guard.stopped


def test_a_planted_reward_that_can_be_hacked_is_caught(make_hacked: Callable[..., Grpo]) -> None:
    free = make_hacked("free", guard=None)
    grpo(free)
    rows = _metrics(free)
    hacked = rows[-1]["watch/wanted"]
    assert len(rows) == 40 and rows[-1]["reward/score"] > rows[0]["reward/score"] + 0.2  # hacked, and glad of it
    assert hacked < max(row["watch/wanted"] for row in rows) - 0.2

    watched = make_hacked("watched", guard=GuardSettings())
    grpo(watched)
    stopped = _metrics(watched)
    assert 4 < len(stopped) < 40
    back = int(watched.trainee.counters["guard/sound_step"])
    # What is given back sampled a round nearer to the best than to where hacking leads.
    assert stopped[back]["watch/wanted"] > (max(row["watch/wanted"] for row in rows) + hacked) / 2
    assert stopped[back]["watch/wanted"] > hacked + 0.1
    best = watched.policy.guard
    assert best is not None
    for kept, given in zip(best.best.parameters(), watched.policy.result().parameters(), strict=True):
        assert torch.equal(kept, given)


def test_a_stopped_run_stays_stopped_when_it_is_begun_again(make_hacked: Callable[..., Grpo]) -> None:
    first = make_hacked("again", guard=GuardSettings())
    grpo(first)
    again = make_hacked("again", guard=GuardSettings())
    grpo(again)
    assert len(_metrics(again)) == len(_metrics(first)) < 40
    for one, other in zip(first.policy.model.parameters(), again.policy.model.parameters(), strict=True):
        assert torch.equal(one, other)


def _metrics(trainer: Grpo) -> list[dict[str, float]]:
    lines = (trainer.policy.workspace.checkpoints / "log" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]
