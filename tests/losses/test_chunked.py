"""The chunked loss is the plain one: same value, same gradients, whatever the chunk; and it holds no large tensor."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from gptwright.losses.chunked import chunked_language_loss
from gptwright.losses.language import language_loss, z_loss

N, D, V = 10, 6, 13


def _inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(N, D, generator=generator).requires_grad_()
    output = torch.randn(V, D, generator=generator).requires_grad_()
    return hidden, output, torch.randint(V, (N,), generator=generator)


@pytest.mark.parametrize("chunk", [1, 3, 10, 64])
@pytest.mark.parametrize("z_weight", [0.0, 0.3])
def test_equals_the_plain_loss_and_its_gradients(chunk: int, z_weight: float) -> None:
    hidden, output, target = _inputs()
    logits = hidden @ output.T
    plain = language_loss(logits[None], target[None]) + z_weight * z_loss(logits[None])
    chunked = chunked_language_loss(hidden, output, target, chunk=chunk, z_weight=z_weight)
    assert_close(chunked, plain)
    # The factor stands for a micro-batch's share: the incoming gradient must be used.
    expected = torch.autograd.grad(0.25 * plain, (hidden, output))
    assert_close(torch.autograd.grad(0.25 * chunked, (hidden, output)), expected)


def test_under_autocast_it_is_as_near_as_bfloat16_is() -> None:
    hidden, output, target = _inputs()
    plain = torch.autograd.grad(language_loss((hidden @ output.T)[None], target[None]), (hidden, output))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        chunked = chunked_language_loss(hidden, output, target, chunk=4)
    gradients = torch.autograd.grad(chunked, (hidden, output))
    assert [gradient.dtype for gradient in gradients] == [torch.float32, torch.float32]
    assert_close(gradients, plain, rtol=0.05, atol=0.01)


def test_no_tensor_as_large_as_the_logits_is_ever_made() -> None:
    sizes = []

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            out = func(*args, **(kwargs or {}))
            sizes.extend(t.numel() for t in (out if isinstance(out, tuple) else (out,)) if isinstance(t, Tensor))
            return out

    hidden, output, target = _inputs()
    with Sizes():
        chunked_language_loss(hidden, output, target, chunk=2).backward()
    assert max(sizes) == V * D  # the gradient of the output matrix; all logits would be N * V
    assert N * V > V * D
