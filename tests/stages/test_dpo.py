"""DPO: at the start every answer is worth nothing, its gradient is the ranking loss's, and it learns who is better."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from gptwright.errors import InputError
from gptwright.losses.language import token_logprobs
from gptwright.model.transformer import LanguageModel
from gptwright.practice_settings import DpoSettings
from gptwright.records import Comparison, Message, Prompt
from gptwright.stages.dpo import DpoTrainer, dpo
from gptwright.stages.reward import ranked_answers
from gptwright.tokenizer.tokenizer import Tokenizer

WORDS = ["tea", "sun", "oak", "map", "cup", "ink"]


class Killed(BaseException):
    """Stands for the end of the process."""


def compared(question: str, answers: list[str], ranks: list[int]) -> Comparison:
    return Comparison(Prompt(f"p-{question}", (Message("user", question),)), tuple(answers), tuple(ranks))


TOY = [compared(letter, [f"no {word}", f"yes {word}"], [1, 0]) for letter in "abcdef" for word in WORDS]
"""Whoever says yes is better."""
MIXED = [compared("first", ["a", "bb", "ccc", "dddd"], [2, 0, 1, 1]), compared("second", ["x", "yy", "x"], [0, 1, 2])]


@pytest.fixture
def make_dpo(
    tokenizer: Tokenizer, make_model: Callable[..., LanguageModel], make_workspace: Callable[..., Any], plain_adam: Any
) -> Callable[..., DpoTrainer]:
    def make(name: str = "run", train: Any = TOY, checkpoint_seconds: float = 1e9, **settings: Any) -> DpoTrainer:
        settings = {"batch_prompts": 6, "optimizer": plain_adam(1e-3), **settings}
        spot = make_workspace(name, checkpoint_seconds=checkpoint_seconds)
        return DpoTrainer(make_model(), tokenizer, train, TOY[:12], DpoSettings(**settings), spot)

    return make


def test_at_the_start_no_answer_is_worth_more_than_another(make_dpo: Callable[..., DpoTrainer]) -> None:
    trainer = make_dpo()
    assert trainer.held_out_accuracy() == 0.5
    metrics = trainer.step(0)
    assert metrics["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert metrics["margin"] == pytest.approx(0, abs=1e-6)


def test_the_loss_is_that_of_the_paper(make_dpo: Callable[..., DpoTrainer], tokenizer: Tokenizer) -> None:
    """-log sigmoid(beta * ((log p - log p_sft) of the better - that of the worse)), by the plain way around."""
    trainer = make_dpo(train=MIXED, beta=0.3, batch_prompts=2)
    with torch.no_grad():
        for parameter in trainer.policy.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    policy, reference = copy.deepcopy(trainer.policy), copy.deepcopy(trainer.reference)

    def logp(model: LanguageModel, ids: list[int], start: int) -> torch.Tensor:
        return token_logprobs(model(torch.tensor([ids[:-1]]))[0, start - 1 :], torch.tensor(ids[start:])).sum()

    expected = []
    for element in ranked_answers(MIXED, tokenizer):
        rows = [(row.ids[:-1], row.start) for row in element.rows]  # without the reward token
        implied = [0.3 * (logp(policy, *row) - logp(reference, *row).detach()) for row in rows]
        losses = [-torch.nn.functional.logsigmoid(implied[b] - implied[w]) for b, w in element.pairs]
        expected.append(torch.stack(losses).mean())
    loss = torch.stack(expected).mean()
    loss.backward()
    assert trainer.step(1)["loss"] == pytest.approx(float(loss.detach()), rel=1e-4)
    state = trainer.optimizers.tensors()
    for name, parameter in policy.named_parameters():
        if f"{name}/exp_avg" in state and parameter.grad is not None:
            scale = float(parameter.grad.abs().max())
            assert torch.allclose(state[f"{name}/exp_avg"] / 0.1, parameter.grad, atol=2e-4 * scale + 1e-8), name


def test_it_learns_who_is_better_and_the_reference_stays(make_dpo: Callable[..., DpoTrainer]) -> None:
    trainer = make_dpo(epochs=4)
    before = {name: value.clone() for name, value in trainer.reference.state_dict().items()}
    result = dpo(trainer)
    assert result.validation_accuracy > 0.9
    assert all(torch.equal(value, before[name]) for name, value in trainer.reference.state_dict().items())


def test_comparisons_without_a_winner_are_refused(make_dpo: Callable[..., DpoTrainer]) -> None:
    with pytest.raises(InputError, match=r"no comparison that fits .* has a better and a worse answer"):
        make_dpo(train=[compared("q", ["a", "b"], [0, 0])])


def test_a_killed_run_ends_at_the_same_bits(make_dpo: Callable[..., DpoTrainer]) -> None:
    unbroken = make_dpo("unbroken", batch_prompts=1)
    result = dpo(unbroken)
    killed = make_dpo("killed", checkpoint_seconds=0.0, batch_prompts=1)
    step = killed.step

    def dies(number: int) -> Any:
        if number == 3:
            raise Killed
        return step(number)

    killed.step = dies  # type: ignore[method-assign]
    with pytest.raises(Killed):
        dpo(killed)
    resumed = make_dpo("killed", checkpoint_seconds=0.0, batch_prompts=1)
    assert dpo(resumed).validation_accuracy == result.validation_accuracy
    for name, value in unbroken.policy.state_dict().items():
        assert torch.equal(value, resumed.policy.state_dict()[name]), name
