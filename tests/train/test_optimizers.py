"""Which parameters go to which optimizer, their rates, and their state on its way to disk and back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gptwright.model.transformer import LanguageModel, scalar_from
from gptwright.recipe import OptimizerSettings
from gptwright.train.optimizers import Optimizers

MATRICES = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def names_in(optimizers: Optimizers, kind: type[torch.optim.Optimizer]) -> list[str]:
    return [
        optimizers.names[id(parameter)]
        for optimizer in optimizers.each
        if isinstance(optimizer, kind)
        for group in optimizer.param_groups
        for parameter in group["params"]
    ]


def random_step(model: torch.nn.Module, optimizers: Optimizers, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimizers.step()


def test_muon_gets_the_matrices_of_the_blocks_and_adamw_the_rest(tiny_model: LanguageModel) -> None:
    optimizers = Optimizers(tiny_model, OptimizerSettings(muon=True))
    muon, adamw = names_in(optimizers, torch.optim.Muon), names_in(optimizers, torch.optim.AdamW)
    assert {name.split(".")[-2] for name in muon} == MATRICES
    assert len(muon) == 2 * len(MATRICES)
    assert sorted(muon + adamw) == sorted(name for name, _ in tiny_model.named_parameters())
    assert "model.embed_tokens.weight" in adamw


def test_reward_head_goes_to_adamw(tiny_model: LanguageModel) -> None:
    optimizers = Optimizers(scalar_from(tiny_model, 0), OptimizerSettings(muon=True))
    assert "score.weight" in names_in(optimizers, torch.optim.AdamW)


def test_without_muon_all_is_adamws(tiny_model: LanguageModel) -> None:
    optimizers = Optimizers(tiny_model, OptimizerSettings(muon=False))
    assert len(optimizers.each) == 1
    assert len(names_in(optimizers, torch.optim.AdamW)) == len(list(tiny_model.parameters()))


def test_norm_weights_do_not_decay(tiny_model: LanguageModel) -> None:
    optimizers = Optimizers(tiny_model, OptimizerSettings(weight_decay=0.3))
    for optimizer in optimizers.each:
        for group in optimizer.param_groups:
            assert {parameter.dim() >= 2 for parameter in group["params"]} == {group["weight_decay"] == 0.3}


def test_each_optimizer_follows_its_own_peak(tiny_model: LanguageModel) -> None:
    settings = OptimizerSettings(learning_rate=0.01, muon_learning_rate=0.04, warmup=0.2)
    optimizers = Optimizers(tiny_model, settings)
    assert optimizers.set_rate(0, 10) == pytest.approx({"lr": 0.005, "lr/muon": 0.02})
    rates = {type(each).__name__: {group["lr"] for group in each.param_groups} for each in optimizers.each}
    assert rates == {"AdamW": {0.005}, "StackedMuon": {0.02}}


def test_first_adamw_step_by_hand() -> None:
    """Bias correction makes the first step lr * sign(gradient); decay comes first: 2 - 0.1 * 0.5 * 2 - 0.1."""
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(module.weight, 2.0)
    module.weight.grad = torch.tensor([[7.0]])
    Optimizers(module, OptimizerSettings(learning_rate=0.1, weight_decay=0.5, muon=False)).step()
    assert float(module.weight.detach()) == pytest.approx(1.8)


def test_state_comes_back_bit_for_bit_and_goes_on_the_same(tiny_model: LanguageModel, tmp_path: Path) -> None:
    optimizers = Optimizers(tiny_model, OptimizerSettings())
    for seed in range(3):
        random_step(tiny_model, optimizers, seed)
    save_file(optimizers.tensors(), tmp_path / "state.safetensors")
    twin = LanguageModel(tiny_model.config)
    twin.load_state_dict(tiny_model.state_dict())
    again = Optimizers(twin, OptimizerSettings())
    again.load_tensors(load_file(tmp_path / "state.safetensors"))
    state, restored = optimizers.tensors(), again.tensors()
    assert state.keys() == restored.keys()
    assert all(torch.equal(state[key], restored[key]) for key in state)
    for seed in range(3, 6):
        random_step(tiny_model, optimizers, seed)
        random_step(twin, again, seed)
    assert all(torch.equal(a, b) for a, b in zip(tiny_model.parameters(), twin.parameters(), strict=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_state_from_disk_goes_where_its_parameter_is(tiny_model: LanguageModel) -> None:
    optimizers = Optimizers(tiny_model, OptimizerSettings())
    random_step(tiny_model, optimizers, 0)
    stored = optimizers.tensors()
    twin = LanguageModel(tiny_model.config).cuda()
    again = Optimizers(twin, OptimizerSettings())
    again.load_tensors(stored)
    for parameter in twin.parameters():
        parameter.grad = torch.ones_like(parameter)
    again.step()
    assert all(torch.isfinite(parameter).all() for parameter in twin.parameters())


def test_weight_decay_changes_linearly_to_its_end(tiny_model: LanguageModel) -> None:
    optimizers = Optimizers(tiny_model, OptimizerSettings(weight_decay=0.4, weight_decay_final=0.25))
    seen = []
    for step in range(4):
        optimizers.set_rate(step, 4)
        seen.append({group["weight_decay"] for each in optimizers.each for group in each.param_groups})
    assert [sorted(values) for values in seen] == [pytest.approx([0.0, decay]) for decay in (0.4, 0.3, 0.2, 0.1)]
