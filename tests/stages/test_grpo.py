"""Practice without a value model: what the talk draws, its identities, and that it pays."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from gptwright.losses.language import token_logprobs
from gptwright.model.transformer import LanguageModel
from gptwright.practice_settings import GrpoSettings
from gptwright.recipe import OptimizerSettings
from gptwright.records import Prompt
from gptwright.stages import practice
from gptwright.stages.grpo import Grpo, grpo
from gptwright.stages.rewards import Answered, Part, weighted
from gptwright.tokenizer.tokenizer import Tokenizer


class Killed(BaseException):
    """Stands for the end of the process."""


def share_of_a(answers: Sequence[Answered]) -> list[float]:
    return [each.text.count("a") / 4 for each in answers]


@pytest.fixture
def make_grpo(
    tokenizer: Tokenizer,
    babbler: LanguageModel,
    letters: list[Prompt],
    make_workspace: Callable[..., Any],
    pretrain_batch: Callable[..., Any],
    plain_adam: Callable[..., OptimizerSettings],
) -> Callable[..., Grpo]:
    def make(name: str = "run", *, checkpoint_seconds: float = 1e9, reward: Part = share_of_a, **settings: Any) -> Grpo:
        """Eight answers a round to two prompts, one optimizer step, no pretraining mix."""
        settings = {
            "steps": 4,
            "episodes": 8,
            "minibatches": 1,
            "max_new_tokens": 6,
            "pretrain_mix": 0.0,
            "policy": plain_adam(1e-3),
            **settings,
        }
        return Grpo(
            copy.deepcopy(babbler),
            weighted({"score": (reward, 1.0)}),
            tokenizer,
            letters,
            pretrain_batch,
            GrpoSettings(**settings),
            make_workspace(name, checkpoint_seconds=checkpoint_seconds),
        )

    return make


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


def gradient(trainer: Grpo) -> dict[str, torch.Tensor]:
    """The policy's gradient in its one step so far: AdamW's first moment is then 0.1 times it."""
    state = trainer.policy.optimizers.tensors()
    return {name.removesuffix("/exp_avg"): value / 0.1 for name, value in state.items() if name.endswith("/exp_avg")}


def test_a_prompt_has_its_answers_in_one_group(make_grpo: Callable[..., Grpo]) -> None:
    minibatches, _ = make_grpo(minibatches=2).rollouts.play(0)
    groups = torch.cat([batch.group_B for parts in minibatches for batch in parts])
    assert groups.sort().values.tolist() == [0] * 4 + [1] * 4


@pytest.mark.parametrize("baseline", ["group", "leave_one_out", "batch"])
def test_the_first_step_is_reinforce(make_grpo: Callable[..., Grpo], baseline: str) -> None:
    """The gradient of -(reward - baseline) * log p, mean over tokens: with one step a round the ratio is 1."""
    trainer = make_grpo(baseline=baseline, beta=0.0)
    model = copy.deepcopy(trainer.policy.model)
    minibatches, _ = trainer.rollouts.play(0)
    trainer.round(0)
    batches = [batch for parts in minibatches for batch in parts]
    total, tokens = torch.zeros(()), 0
    for batch in batches:
        reward_B, group_B, answers = batch.score_B, batch.group_B, batch.answers
        for row, group in enumerate(group_B.tolist()):
            own = reward_B[group_B == group]
            over = reward_B[row] - (reward_B.mean() if baseline == "batch" else own.mean())
            over = over * len(own) / (len(own) - 1) if baseline == "leave_one_out" else over
            over = over / (own.std() + 1e-4) if baseline == "group" else over
            length = int(batch.action_BT[row].sum())
            start = int(batch.action_BT[:row].sum())
            answer = answers.target_A[start : start + length]
            row_ids = answers.packed.ids_RT.flatten()
            first = int(answers.place_A[start])
            begin = first - int(answers.packed.position_RT.flatten()[first])
            ids = torch.cat([row_ids[begin : first + 1], answer])
            logits = model(ids[None, :-1])[0, -length:]
            total = total - over * token_logprobs(logits, answer).sum()
            tokens += length
    assert len(batches) == 1
    (total / tokens).backward()
    found = gradient(trainer)
    for name, parameter in model.named_parameters():
        if name in found and parameter.grad is not None:
            scale = float(parameter.grad.abs().max())
            assert torch.allclose(found[name], parameter.grad, atol=1e-4 * scale + 1e-8), name


def test_reference_never_moves_and_answers_all_alike_teach_nothing(make_grpo: Callable[..., Grpo]) -> None:
    trainer = make_grpo(reward=lambda answers: [0.5] * len(answers), beta=0.0)
    before = weights(trainer.policy.model)
    metrics = trainer.round(0)
    assert metrics["advantage/flat"] == 1.0
    assert metrics["policy/grad_norm"] == 0.0
    assert same(before, weights(trainer.policy.model))
    moving = make_grpo()
    moving.round(0)
    assert same(before, weights(moving.policy.reference))
    assert not same(before, weights(moving.policy.model))


def test_kl_counts_in_the_loss_or_in_the_reward(make_grpo: Callable[..., Grpo]) -> None:
    """In the first round the policy is the reference: neither changes anything. From the second on each pulls back."""
    rates = {"policy": make_grpo().settings.policy.model_copy(update={"learning_rate": 5e-3})}
    distance = {}
    for kl in ("loss", "reward"):
        for beta in (0.0, 2.0):
            trainer = make_grpo(kl=kl, beta=beta, episodes=32, **rates)
            kls = [trainer.round(step)["kl/reference"] for step in range(4)]
            assert kls[0] == 0.0
            distance[kl, beta] = kls[-1]
    assert distance["loss", 0.0] == distance["reward", 0.0]
    assert distance["loss", 2.0] < distance["loss", 0.0]
    assert distance["reward", 2.0] < distance["reward", 0.0]


def test_a_killed_run_ends_at_the_same_bits(make_grpo: Callable[..., Grpo]) -> None:
    unbroken = make_grpo("unbroken", ema=0.9, pretrain_mix=0.3)
    result, seen = grpo(unbroken), list[int]()

    def dies_at_round_2(model: LanguageModel) -> dict[str, float]:
        seen.append(1)
        if len(seen) == 3:
            raise Killed
        return {}

    settings: dict[str, Any] = {"checkpoint_seconds": 0.0, "ema": 0.9, "pretrain_mix": 0.3}
    with pytest.raises(Killed):
        grpo(make_grpo("killed", evaluations=4, **settings), dies_at_round_2)
    resumed = make_grpo("killed", **settings)
    assert grpo(resumed).tokens_sampled == result.tokens_sampled
    for name in ("policy", "average"):
        assert same(weights(unbroken.trainee.modules[name]), weights(resumed.trainee.modules[name])), name


@pytest.mark.parametrize("baseline", ["group", "leave_one_out", "batch"])
def test_practice_pays(make_grpo: Callable[..., Grpo], plain_adam: Any, baseline: str) -> None:
    trainer = make_grpo(baseline=baseline, episodes=32, minibatches=2, steps=15, policy=plain_adam(3e-3))
    scores = [trainer.round(step)["reward/score"] for step in range(15)]
    assert sum(scores[-3:]) / 3 > sum(scores[:3]) / 3 + 0.2


def test_answers_must_fill_groups() -> None:
    with pytest.raises(ValidationError, match="must divide episodes"):
        GrpoSettings(episodes=10, answers=4)
    with pytest.raises(ValidationError, match="set answers to 2 or more"):
        GrpoSettings(answers=1)
    assert GrpoSettings(answers=1, baseline="batch").answers == 1


def test_a_single_step_differentiates_the_pass_that_measured(
    make_grpo: Callable[..., Grpo], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same gradient as from a pass of its own."""
    kept = make_grpo("kept", beta=0.1)
    kept.round(0)
    plain = practice.evaluate_episodes
    monkeypatch.setattr(
        practice, "evaluate_episodes", lambda *args, **named: plain(*args, **(named | {"keep_graph": False}))
    )
    again = make_grpo("again", beta=0.1)
    again.round(0)
    for name, value in gradient(kept).items():
        torch.testing.assert_close(gradient(again)[name], value, rtol=1e-5, atol=1e-8)
