"""Training with float8 products, emulated: close to float32, and the same weights under the same names."""

from __future__ import annotations

import pytest
import torch

from gptwright.errors import InputError
from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, initialise
from gptwright.train.fast_path import FastPath, pretraining_loss
from gptwright.train.float8 import use_float8

pytest.importorskip("torchao")
pytestmark = pytest.mark.filterwarnings("ignore")  # torchao's own, on being loaded


def model_of(width: int = 64) -> LanguageModel:
    config = ModelConfig(
        vocab_size=128, context=32, width=width, layers=2, heads=2, kv_heads=2, head_dim=width // 2, hidden=2 * width
    )
    model = LanguageModel(config)
    initialise(model, seed=0)
    return model


def test_loss_and_gradients_are_those_of_float32_to_the_precision_of_float8() -> None:
    """Two or three bits of mantissa, seven products deep: gradients keep their direction, the loss its value."""
    ids = torch.randint(128, (4, 33), generator=torch.Generator().manual_seed(0))
    plain, eighth = model_of(), model_of()
    assert use_float8(eighth, "cpu", emulate=True) == 2 * 7
    losses = []
    for model in (plain, eighth):
        loss = pretraining_loss(model, FastPath("cpu", "float32"))(ids[:, :-1], ids[:, 1:])
        loss.backward()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
    assert losses[0] != losses[1]
    theirs = dict(eighth.named_parameters())
    for name, parameter in plain.named_parameters():
        assert float(torch.cosine_similarity(parameter.grad.flatten(), theirs[name].grad.flatten(), dim=0)) > 0.9, name


def test_names_and_weights_stay() -> None:
    plain, eighth = model_of(), model_of()
    use_float8(eighth, "cpu", emulate=True)
    before, after = plain.state_dict(), eighth.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_matrices_that_do_not_fit_are_left_alone() -> None:
    """Width 8 and hidden 16: no matrix has two sides that are multiples of 16."""
    assert use_float8(model_of(width=8), "cpu", emulate=True) == 0


def test_a_cpu_is_told_so() -> None:
    with pytest.raises(InputError, match=r"machine\.float8"):
        use_float8(model_of(), "cpu")
