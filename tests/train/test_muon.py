"""Grouped Muon against torch's own, and what orthogonalising means."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.testing import assert_close

from gptwright.train.muon import Muon, orthogonalised

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def test_takes_the_steps_of_torchs_own() -> None:
    """Several matrices of a shape, its transpose, another shape, one without a gradient; momentum and decay on."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 8), (8, 8), (8, 20), (20, 8), (8, 20), (4, 6), (5, 5)]
    ours = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    theirs = copy.deepcopy(ours)
    start = [parameter.detach().clone() for parameter in ours]
    grouped = Muon(ours, lr=0.02, weight_decay=0.1)
    single = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        for one, other in zip(ours[:-1], theirs[:-1], strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        grouped.step()
        single.step()
    for one, other, before in zip(ours[:-1], theirs[:-1], start[:-1], strict=True):
        moved = float((other - before).norm().detach())
        assert float((one - other).norm().detach()) < 0.02 * moved  # the iteration is in bfloat16
        assert_close(grouped.state[one]["momentum_buffer"], single.state[other]["momentum_buffer"])
    assert torch.equal(ours[-1], start[-1])


def test_singular_values_come_near_one_and_directions_stay() -> None:
    matrices = torch.randn(3, 6, 15, generator=torch.Generator().manual_seed(1))
    found = orthogonalised(matrices, COEFFICIENTS, 5, 1e-7).float()
    values = torch.linalg.svdvals(found)
    assert float(values.min()) > 0.6 and float(values.max()) < 1.3
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    # U V^T of the matrix and of what came out: their inner product is the sum of the singular values.
    inner = (found * (left @ right)).sum(dim=(1, 2))
    assert_close(inner, values.sum(dim=1), rtol=0.02, atol=0.05)
