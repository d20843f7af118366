"""One optimizer step: accumulated, clipped, and skipped when a number is not finite."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from gptwright.errors import RunError
from gptwright.lanes import Lanes
from gptwright.losses.language import language_loss
from gptwright.model.transformer import LanguageModel
from gptwright.recipe import OptimizerSettings
from gptwright.train.optimizers import Optimizers
from gptwright.train.step import SkipCounter, StepResult, accumulate, gradient_step

GOOD, SKIPPED = StepResult(1.0, 1.0, False), StepResult(float("nan"), 1.0, True)


def plain_weight() -> tuple[torch.nn.Linear, Optimizers]:
    module = torch.nn.Linear(2, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    return module, Optimizers(module, OptimizerSettings(muon=False, clip=1.0))


def test_clipping_by_hand() -> None:
    """Gradient (3, 4) has norm 5; AdamW's first moment is a tenth of what it was given, (0.6, 0.8)."""
    module, optimizers = plain_weight()
    result = gradient_step(optimizers, [lambda: module(torch.tensor([3.0, 4.0])).sum() + 2.0])
    assert (result.loss, result.grad_norm, result.skipped) == (2.0, 5.0, False)
    assert_close(optimizers.tensors()["weight/exp_avg"], torch.tensor([[0.06, 0.08]]))


def test_small_gradients_are_not_clipped() -> None:
    module, optimizers = plain_weight()
    gradient_step(optimizers, [lambda: module(torch.tensor([0.3, 0.4])).sum()])
    assert_close(optimizers.tensors()["weight/exp_avg"], torch.tensor([[0.03, 0.04]]))


def test_gradients_do_not_leak_into_the_next_step() -> None:
    module, optimizers = plain_weight()
    norms = [gradient_step(optimizers, [lambda: module(torch.tensor([3.0, 4.0])).sum()]).grad_norm for _ in range(3)]
    assert norms == [5.0, 5.0, 5.0]


def test_eight_micro_batches_step_like_one_batch(tiny_model: LanguageModel) -> None:
    twin = LanguageModel(tiny_model.config)
    twin.load_state_dict(tiny_model.state_dict())
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(19, (8, 9), generator=generator)
    mask = torch.arange(8) <= torch.arange(8)[:, None]

    def loss_of(model: LanguageModel, rows: slice) -> torch.Tensor:
        return language_loss(model(ids[rows, :-1]), ids[rows, 1:], mask[rows], mask.sum())

    whole = gradient_step(Optimizers(tiny_model, OptimizerSettings()), [lambda: loss_of(tiny_model, slice(0, 8))])
    parts = [lambda i=i: loss_of(twin, slice(i, i + 1)) for i in range(8)]
    added = gradient_step(Optimizers(twin, OptimizerSettings()), parts)
    assert added.loss == pytest.approx(whole.loss, rel=1e-6)
    assert added.grad_norm == pytest.approx(whole.grad_norm, rel=1e-5)
    assert_close(dict(twin.named_parameters()), dict(tiny_model.named_parameters()), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("lanes", "parts"), [(2, 2), (2, 5), (3, 4)])
def test_lanes_add_the_same_gradients_in_the_same_order(tiny_model: LanguageModel, lanes: int, parts: int) -> None:
    ids = torch.randint(19, (parts, 2, 9), generator=torch.Generator().manual_seed(0))
    parameters = list(tiny_model.parameters())
    untouched = torch.nn.Parameter(torch.ones(3))  # no loss reads it
    losses = [lambda part=part: language_loss(tiny_model(part[:, :-1]), part[:, 1:]) / parts for part in ids]

    def gradients(threads: Lanes | None) -> tuple[float, list[torch.Tensor]]:
        tiny_model.zero_grad()
        total = accumulate(losses, [*parameters, untouched], threads)
        assert untouched.grad is None
        return total, [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]

    expected, one_by_one = gradients(None)
    with Lanes(lanes) as threads:
        found = [gradients(threads) for _ in range(3)]
    for total, gradient in found:
        assert total == pytest.approx(expected, rel=1e-6)
        assert_close(gradient, one_by_one, rtol=1e-4, atol=1e-6)
        assert all(torch.equal(again, first) for again, first in zip(gradient, found[0][1], strict=True))


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_not_finite_leaves_weights_and_state_alone(tiny_model: LanguageModel, poison: float) -> None:
    optimizers = Optimizers(tiny_model, OptimizerSettings())
    ids = torch.arange(9)[None]

    def good() -> torch.Tensor:
        return language_loss(tiny_model(ids[:, :-1]), ids[:, 1:])

    gradient_step(optimizers, [good])
    weights = [parameter.detach().clone() for parameter in tiny_model.parameters()]
    state = {key: value.clone() for key, value in optimizers.tensors().items()}
    assert gradient_step(optimizers, [good, lambda: good() * poison]).skipped
    assert all(torch.equal(a, b) for a, b in zip(weights, tiny_model.parameters(), strict=True))
    assert all(torch.equal(state[key], value) for key, value in optimizers.tensors().items())
    assert not gradient_step(optimizers, [good]).skipped


def test_an_infinite_gradient_of_a_finite_loss_is_skipped() -> None:
    module, optimizers = plain_weight()
    result = gradient_step(optimizers, [lambda: module(torch.ones(2)).abs().sqrt().sum()])  # sqrt' at 0 is infinite
    assert result.loss == 0
    assert result.skipped
    assert_close(module.weight.detach(), torch.zeros(1, 2))


def test_five_skips_in_a_row_end_the_run() -> None:
    counter = SkipCounter({})
    for step in range(4):
        counter.see(SKIPPED, step)
    with pytest.raises(
        RunError, match="step 4: loss or gradient was not finite 5 times in a row; lower the learning rate"
    ):
        counter.see(SKIPPED, 4)


def test_a_skipped_step_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    SkipCounter({}).see(SKIPPED, 12)
    assert "step 12 is skipped: its loss or gradient was not finite" in capsys.readouterr().err


def test_a_good_step_between_skips_starts_the_count_again() -> None:
    counters = dict[str, float]()
    counter = SkipCounter(counters)
    for step, result in enumerate([SKIPPED] * 4 + [GOOD] + [SKIPPED] * 4):
        counter.see(result, step)
    assert counters == {"model/skipped_in_a_row": 4}


def test_a_resumed_run_goes_on_counting_skips() -> None:
    """As a checkpoint keeps them: a run that skips every step is not saved by being killed now and then."""
    counters = dict[str, float]()
    for step in range(4):
        SkipCounter(counters, "policy").see(SKIPPED, step)
    SkipCounter(counters, "value").see(SKIPPED, 4)
    with pytest.raises(RunError, match="5 times in a row"):
        SkipCounter(dict(counters), "policy").see(SKIPPED, 4)
