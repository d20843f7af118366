"""PPO on a tiny model: its identities, what may and may not move, and that practice pays."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from gptwright.errors import InputError, RunError
from gptwright.losses.language import language_loss
from gptwright.losses.policy import ClippedSurrogate
from gptwright.model.transformer import LanguageModel, ScalarModel
from gptwright.recipe import OptimizerSettings, PpoSettings
from gptwright.records import Message, Prompt
from gptwright.stages.guard import watched_parts
from gptwright.stages.played import Round
from gptwright.stages.ppo import Ppo, ValueHead, check_rewards, ppo, value_model_from
from gptwright.stages.rewards import Answered, Part, model_reward, weighted
from gptwright.tokenizer.tokenizer import Tokenizer

PROMPTS = [Prompt(letter, (Message("user", letter),)) for letter in "abcdefghijklmnop"]


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def make_ppo(
    tokenizer: Tokenizer,
    make_model: Callable[..., LanguageModel],
    make_scalar: Callable[..., ScalarModel],
    make_workspace: Callable[..., Any],
    pretrain_batch: Callable[..., Any],
    plain_adam: Callable[..., OptimizerSettings],
) -> Callable[..., Ppo]:
    def make(
        name: str = "run",
        *,
        checkpoint_seconds: float = 1e9,
        model: LanguageModel | None = None,
        prompts: Sequence[Prompt] = PROMPTS,
        judge: ScalarModel | None = None,
        reward: Part | None = None,
        watched: bool = False,
        **settings: Any,
    ) -> Ppo:
        """Eight answers of up to six tokens a round, one optimizer step, no warm-up, no pretraining mix."""
        settings = {
            "steps": 4,
            "episodes": 8,
            "minibatches": 1,
            "max_new_tokens": 6,
            "value_warmup": 0,
            "pretrain_mix": 0.0,
            "policy": plain_adam(1e-3),
            "value": plain_adam(1e-3),
            **settings,
        }
        spot, judge = make_workspace(name, checkpoint_seconds=checkpoint_seconds), judge or make_scalar(1)
        parts = {"score": (reward or model_reward(judge, tokenizer, spot.path), 1.0)}
        return Ppo(
            model or make_model(),
            None if settings.get("value_model") == "shared" else value_model_from(judge),
            weighted(parts | (watched_parts({}) if watched else {})),
            tokenizer,
            prompts,
            pretrain_batch,
            PpoSettings(**settings),
            spot,
        )

    return make


def bits(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


def gradient(trainer: Ppo) -> dict[str, Tensor]:
    """The policy's gradient in its one step so far: AdamW's first moment is then 0.1 times it."""
    state = trainer.policy.optimizers.tensors()
    return {name.removesuffix("/exp_avg"): value / 0.1 for name, value in state.items() if name.endswith("/exp_avg")}


def policy_steps(trainer: Ppo) -> set[int]:
    return {int(value) for name, value in trainer.policy.optimizers.tensors().items() if name.endswith("/step")}


def norm(gradients: dict[str, Tensor]) -> float:
    return float(torch.cat([value.flatten() for value in gradients.values()]).norm())


SCORES, KLS = torch.tensor([1.0, -0.5]), torch.tensor([0.0, 2.0])


def test_rewards_that_add_up_pass() -> None:
    check_rewards(torch.tensor([1.0, -0.7]), SCORES, KLS, 0.1)


def test_rewards_that_do_not_add_up_end_the_run() -> None:
    with pytest.raises(RunError, match="do not add up"):
        check_rewards(torch.tensor([1.0, -0.5]), SCORES, KLS, 0.1)


def test_a_kl_before_any_update_ends_the_run() -> None:
    with pytest.raises(RunError, match="KL to the reference is 2 before any update"):
        Round([], SCORES, KLS, KLS).check_start("PPO")


def test_before_any_update_the_policy_is_the_reference(make_ppo: Callable[..., Ppo]) -> None:
    metrics = make_ppo(minibatches=2).round(0)
    assert metrics["kl/reference"] == metrics["kl/k3"] == 0.0
    assert metrics["reward/mean"] == pytest.approx(metrics["reward/score"], abs=1e-5)


@pytest.mark.parametrize("minibatches", [1, 2])  # of two, the first is read again: its ratio is 1 by no construction
def test_the_first_step_sees_ratio_1_and_clips_nothing(
    make_ppo: Callable[..., Ppo], monkeypatch: pytest.MonkeyPatch, minibatches: int
) -> None:
    trainer = make_ppo(minibatches=minibatches)
    update, steps = trainer.policy.update, list[Any]()

    def seen(parts: Sequence[Any], done: int, **named: Any) -> dict[str, float]:
        steps.append((parts, update(parts, done, **named)))
        return steps[-1][1]

    monkeypatch.setattr(trainer.policy, "update", seen)
    trainer.round(0)
    parts, metrics = steps[0]
    assert len(steps) == minibatches
    assert metrics["policy/approx_kl"] == pytest.approx(0, abs=1e-8)
    assert metrics["policy/clip_fraction"] == 0.0
    # With ratio 1 the loss is minus the mean advantage.
    advantages = torch.cat([batch.advantage_BT[batch.action_BT] for batch in parts])
    assert metrics["policy/loss"] == pytest.approx(-float(advantages.mean()), abs=1e-5)


def test_a_weight_that_changes_between_play_and_update_ends_the_run(
    make_ppo: Callable[..., Ppo], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_ppo(minibatches=2)
    credit = trainer._assign_credit

    def changed(*arguments: Any, **named: Any) -> Any:
        with torch.no_grad():
            trainer.policy.model.lm_head.weight[0] += 0.1
        return credit(*arguments, **named)

    monkeypatch.setattr(trainer, "_assign_credit", changed)
    with pytest.raises(RunError, match="the ratio is off by"):
        trainer.round(0)


def test_reward_model_and_reference_never_move(
    make_ppo: Callable[..., Ppo], make_scalar: Callable[..., ScalarModel]
) -> None:
    judge = make_scalar(1)
    trainer = make_ppo(pretrain_mix=0.5, epochs=2, minibatches=2, judge=judge)
    reference = trainer.policy.reference
    before = bits(judge), bits(reference), bits(trainer.policy.model), bits(trainer.value_model)
    trainer.round(0)
    trainer.round(1)
    assert same(before[0], bits(judge))
    assert same(before[1], bits(reference))
    assert not same(before[2], bits(trainer.policy.model))
    assert not same(before[3], bits(trainer.value_model))


def test_a_policy_that_cannot_step_ends_the_run_though_the_value_model_can(
    make_ppo: Callable[..., Ppo], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_ppo(steps=8, minibatches=2, approx_kl_limit=9.0)
    monkeypatch.setattr(ClippedSurrogate, "__call__", lambda surrogate, logprob_BT, *_: logprob_BT * float("nan"))
    with pytest.raises(RunError, match="not finite 5 times in a row"):
        ppo(trainer)


def test_rounds_of_value_warmup_leave_the_policy_alone(make_ppo: Callable[..., Ppo]) -> None:
    trainer = make_ppo(value_warmup=2, pretrain_mix=0.5)
    policy, values = bits(trainer.policy.model), bits(trainer.value_model)
    trainer.round(0)
    trainer.round(1)
    assert same(policy, bits(trainer.policy.model))
    assert not same(values, bits(trainer.value_model))
    trainer.round(2)
    assert not same(policy, bits(trainer.policy.model))


def test_a_shared_trunk_learns_values_and_is_left_alone_by_them_while_they_warm_up(
    make_ppo: Callable[..., Ppo],
) -> None:
    def ones(answers: Sequence[Answered]) -> list[float]:
        return [1.0] * len(answers)

    for warmup in (1, 0):
        trainer = make_ppo(value_model="shared", value_warmup=warmup, reward=ones, beta=0.0, no_end_score=1.0)
        policy, head = bits(trainer.policy.model), bits(trainer.value_model)
        assert isinstance(trainer.value_model, ValueHead) and not trainer.value_model.score.weight.any()
        trainer.round(0)
        assert not same(bits(trainer.value_model), head)
        # From the second round on the head is no longer 0, and its error reaches the trunk.
        trainer.round(1)
        assert not same(bits(trainer.policy.model), policy)
    alone = make_ppo(value_model="shared", value_warmup=2, reward=ones)
    policy = bits(alone.policy.model)
    for step in range(2):
        alone.round(step)
    assert same(bits(alone.policy.model), policy)


def test_answers_that_are_all_as_good_teach_nothing(
    make_ppo: Callable[..., Ppo], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gptwright.stages.ppo.whiten", lambda x, mask: torch.zeros_like(x))
    trainer = make_ppo()
    policy = bits(trainer.policy.model)
    assert trainer.round(0)["policy/grad_norm"] == 0.0
    assert same(policy, bits(trainer.policy.model))


def test_the_pretraining_gradient_has_its_set_share_of_the_norm(
    make_ppo: Callable[..., Ppo], make_model: Callable[..., LanguageModel], pretrain_batch: Callable[..., Any]
) -> None:
    alone, mixed = make_ppo(), make_ppo(pretrain_mix=0.5, pretrain_rows=3)
    alone.round(0)
    metrics = mixed.round(0)
    model = make_model()
    ids, targets = pretrain_batch(0, 3)
    language_loss(model(ids), targets).backward()
    own, reading = gradient(alone), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    coefficient = 0.5 * norm(own) / norm(reading)
    assert metrics["pretrain/coefficient"] == pytest.approx(coefficient, rel=1e-3)
    together = gradient(mixed)
    for name, value in own.items():
        expected = value + coefficient * reading[name]
        assert torch.allclose(together[name], expected, atol=1e-4 * float(expected.abs().max())), name


def test_policy_and_pretraining_share_one_optimizer_step(make_ppo: Callable[..., Ppo]) -> None:
    trainer = make_ppo(pretrain_mix=0.5)
    trainer.round(0)
    assert policy_steps(trainer) == {1}


def test_gradient_does_not_depend_on_the_micro_batches(
    make_ppo: Callable[..., Ppo], monkeypatch: pytest.MonkeyPatch
) -> None:
    gradients = []
    for micro_tokens in (100_000, 1):
        monkeypatch.setattr("gptwright.stages.packing.ROW_TOKENS", micro_tokens)
        trainer = make_ppo()
        trainer.round(0)
        gradients.append(gradient(trainer))
    for name, value in gradients[0].items():
        assert torch.allclose(value, gradients[1][name], atol=1e-4 * float(value.abs().max())), name


def test_a_round_stops_when_the_policy_has_moved_too_far(make_ppo: Callable[..., Ppo]) -> None:
    free, bound = make_ppo(epochs=4), make_ppo(epochs=4, approx_kl_limit=1e-9)
    free.round(0)
    bound.round(0)
    assert policy_steps(free) == {4}
    assert policy_steps(bound) == {1}  # the first step sees no KL; the second sees what the first did, and is not taken


def test_a_round_is_a_function_of_weights_and_step(make_ppo: Callable[..., Ppo]) -> None:
    first, second = make_ppo(), make_ppo()
    assert first.round(1) == second.round(1)
    assert same(bits(first.policy.model), bits(second.policy.model))


def test_adaptive_beta_falls_by_at_most_its_share_when_the_kl_is_low(make_ppo: Callable[..., Ppo]) -> None:
    trainer = make_ppo(beta=0.05, adaptive_kl=6.0)
    trainer.round(0)  # KL 0: the error of -1 counts as -0.2, over 8 of 10,000 episodes
    assert trainer.trainee.counters["beta"] == pytest.approx(0.05 * (1 - 0.2 * 8 / 10_000), rel=1e-12)


def test_a_fixed_beta_stays(make_ppo: Callable[..., Ppo]) -> None:
    trainer = make_ppo(beta=0.05)
    trainer.round(0)
    assert trainer.trainee.counters["beta"] == 0.05


def test_average_follows_the_weights_by_its_decay(make_ppo: Callable[..., Ppo]) -> None:
    trainer = make_ppo(ema=0.9)
    start = bits(trainer.policy.model)
    trainer.round(0)
    moved = bits(trainer.policy.model)
    for name, value in trainer.policy.average.state_dict().items():
        assert torch.allclose(value, 0.9 * start[name] + 0.1 * moved[name], atol=1e-7), name


def test_what_is_saved_lies_between_sft_and_policy(make_ppo: Callable[..., Ppo]) -> None:
    whole, part = make_ppo(), make_ppo(interpolation=0.25)
    assert whole.policy.result() is whole.policy.model
    for trainer in (whole, part):
        trainer.round(0)
    start, end, saved = (
        part.policy.reference.state_dict(),
        part.policy.model.state_dict(),
        part.policy.result().state_dict(),
    )
    assert any(not torch.equal(start[name], end[name]) for name in start)
    for name in start:
        torch.testing.assert_close(saved[name], 0.75 * start[name] + 0.25 * end[name])
    for name, value in whole.policy.model.state_dict().items():  # practice itself is the same
        torch.testing.assert_close(value, end[name])


def test_prompts_that_leave_no_room_are_refused(make_ppo: Callable[..., Ppo]) -> None:
    with pytest.raises(InputError, match="no prompt has at most"):
        make_ppo(prompts=[Prompt("long", (Message("user", "x" * 45),))])


def test_tokens_are_counted_and_prompts_without_room_left_out(make_ppo: Callable[..., Ppo]) -> None:
    trainer = make_ppo(prompts=[*PROMPTS[:4], Prompt("long", (Message("user", "x" * 45),))], episodes=4)
    metrics = trainer.round(0)
    counters = trainer.trainee.counters
    assert trainer.rollouts.prompts == PROMPTS[:4]
    assert counters["tokens_sampled"] == metrics["length/mean"] * 4
    assert counters["tokens_trained"] >= counters["tokens_sampled"]
    # Pretraining text counts too: three rows of 48 a minibatch, none while the value model alone is trained.
    result = ppo(make_ppo("mixed", steps=3, minibatches=2, value_warmup=1, pretrain_mix=0.3, pretrain_rows=3))
    assert (counters["tokens_mixed"], result.tokens_mixed) == (0, 2 * 2 * 3 * 48)


def test_a_killed_run_ends_at_the_same_bits(make_ppo: Callable[..., Ppo]) -> None:
    settings: dict[str, Any] = {"ema": 0.9, "adaptive_kl": 6.0, "pretrain_mix": 0.3, "value_warmup": 1}
    unbroken = make_ppo("unbroken", **settings)
    result = ppo(unbroken)
    measured: list[int] = []

    def dies_at_round_2(model: LanguageModel) -> dict[str, float]:
        measured.append(len(measured))
        if len(measured) == 3:
            raise Killed
        return {}

    with pytest.raises(Killed):
        ppo(make_ppo("killed", checkpoint_seconds=0.0, evaluations=4, **settings), dies_at_round_2)
    resumed = make_ppo("killed", checkpoint_seconds=0.0, **settings)
    again = ppo(resumed)
    for name in ("policy", "value", "average"):
        assert same(bits(unbroken.trainee.modules[name]), bits(resumed.trainee.modules[name])), name
    assert unbroken.trainee.counters == resumed.trainee.counters
    assert (again.tokens_sampled, again.tokens_trained) == (result.tokens_sampled, result.tokens_trained)


@pytest.mark.parametrize("values", ["separate", "shared"])
@pytest.mark.parametrize(("place", "name", "call"), [("trainer", "_assign_credit", 3), ("policy", "update", 4)])
def test_a_run_killed_within_a_round_ends_at_the_same_bits(
    make_ppo: Callable[..., Ppo], monkeypatch: pytest.MonkeyPatch, values: str, place: str, name: str, call: int
) -> None:
    """Between rollout and update, and between a minibatch's step on values and the one on the policy."""
    settings = {"value_model": values, "minibatches": 2, "pretrain_mix": 0.3, "ema": 0.9, "watched": True}
    unbroken = make_ppo("unbroken", **settings)
    ppo(unbroken)
    dying = make_ppo("killed", checkpoint_seconds=0.0, **settings)
    dies = dying if place == "trainer" else dying.policy
    work, calls = getattr(dies, name), list[int]()

    def killed(*arguments: Any, **named: Any) -> Any:
        calls.append(len(calls))
        if len(calls) == call:
            raise Killed
        return work(*arguments, **named)

    monkeypatch.setattr(dies, name, killed)
    with pytest.raises(Killed):
        ppo(dying)
    resumed = make_ppo("killed", checkpoint_seconds=0.0, **settings)
    ppo(resumed)
    for module, weights in unbroken.trainee.modules.items():
        assert same(bits(weights), bits(resumed.trainee.modules[module])), module
    assert unbroken.trainee.counters == resumed.trainee.counters
    assert any(key.startswith("guard/") for key in resumed.trainee.counters)


@pytest.mark.parametrize("values", ["separate", "shared"])
def test_practice_pays(
    make_ppo: Callable[..., Ppo], babbler: LanguageModel, plain_adam: Callable[..., OptimizerSettings], values: str
) -> None:
    def share_of_a(answers: Sequence[Answered]) -> list[float]:
        return [each.text.count("a") / 4 for each in answers]

    rates = {"policy": plain_adam(3e-3), "value": plain_adam(3e-3)}
    chosen = {"episodes": 32, "minibatches": 2, "steps": 15, "value_model": values, **rates}
    trainer = make_ppo(model=copy.deepcopy(babbler), reward=share_of_a, **chosen)
    scores = [trainer.round(step)["reward/score"] for step in range(15)]
    assert sum(scores[-3:]) / 3 > sum(scores[:3]) / 3 + 0.2
