"""Muon with stacked matrices against torch's, matrix by matrix."""

from __future__ import annotations

import copy

import pytest
import torch

from gptwright.train import muon
from gptwright.train.muon import StackedMuon

SHAPES = [(8, 24), (24, 8), (8, 8), (8, 24), (8, 8), (24, 24)]


def parameters(seed: int = 0) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def steps(optimizer: torch.optim.Optimizer, count: int) -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()


@pytest.mark.parametrize("stack_elements", [muon.STACK_ELEMENTS, 1])
@pytest.mark.parametrize("nesterov", [True, False])
def test_takes_the_steps_of_torchs_muon(monkeypatch: pytest.MonkeyPatch, stack_elements: int, nesterov: bool) -> None:
    """To the bfloat16 rounding of an update of size 0.02 a step, whether matrices are stacked or alone."""
    monkeypatch.setattr(muon, "STACK_ELEMENTS", stack_elements)
    ours, theirs = parameters(), parameters()
    before = copy.deepcopy(ours)
    stacked = StackedMuon(ours, lr=0.1, weight_decay=0.2, nesterov=nesterov)
    torchs = torch.optim.Muon(theirs, lr=0.1, weight_decay=0.2, nesterov=nesterov, adjust_lr_fn="match_rms_adamw")
    steps(stacked, 3)
    steps(torchs, 3)
    for mine, other, start in zip(ours, theirs, before, strict=True):
        assert float((mine - other).detach().norm()) < 0.02 * float((other - start).detach().norm())
        torch.testing.assert_close(stacked.state[mine]["momentum_buffer"], torchs.state[other]["momentum_buffer"])


def test_a_matrix_without_gradient_stays() -> None:
    first, second = parameters()[:2]
    first.grad = torch.ones_like(first)
    kept = second.detach().clone()
    StackedMuon([first, second], lr=0.1).step()
    assert torch.equal(second, kept)


def test_an_orthogonalised_matrix_has_singular_values_near_one() -> None:
    """The polynomial of Jordan et al. ends between 0.7 and 1.2, whatever the singular values were."""
    matrices = torch.randn(3, 16, 40, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(muon.orthogonalise(matrices, (3.4445, -4.7750, 2.0315), 5, 1e-7))
    assert float(values.min()) > 0.6
    assert float(values.max()) < 1.3
