"""What a training step needs in memory beside weights, gradients and optimizer, found without allocating it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.weak import WeakIdRef

from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel
from gptwright.recipe import OptimizerSettings
from gptwright.train.fast_path import FastPath, pretraining_loss
from gptwright.train.optimizers import Optimizers


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all storages that operations make, for as long as each lives; `peak` is the most at once.

    Those of `known` tensors are not counted, nor views of them.
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.sizes: dict[WeakIdRef, int] = {WeakIdRef(tensor.untyped_storage()): 0 for tensor in known}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in tree_iter(out):
            if isinstance(value, Tensor):
                self._see(value)
        return out

    def _see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = WeakIdRef(storage)
        if key in self.sizes:
            return
        self.sizes[key] = storage.nbytes()
        weakref.finalize(storage, self._forget, key)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)

    def _forget(self, key: WeakIdRef) -> None:
        self.now -= self.sizes.pop(key)


def working_bytes(
    config: ModelConfig,
    rows: int,
    path: FastPath,
    optimizer: OptimizerSettings,
    *,
    recompute: bool = False,
    devices: int = 1,
) -> int:
    """Bytes that a step over `rows` rows needs at its peak beside weights, gradients and optimizer: activations in the
    forward and backward pass, or what the optimizer makes on its way, shared by `devices`.

    Counted on tensors without data, eagerly: compiled code keeps less. All blocks are alike, so two and three of them
    tell what any number takes.
    """
    alone = devices == 1
    reading = _over_layers(config, lambda some: _reading(some, rows, path, recompute, gradients=not alone))
    updating = _over_layers(config, lambda some: _updating(some, path.device, optimizer))
    if alone:  # gradients come into being on the way back: where activations are at their peak, their place is free
        reading = max(0, reading - 4 * config.parameter_count())
    return max(reading, updating // devices)


def _over_layers(config: ModelConfig, count: Callable[[ModelConfig], int]) -> int:
    few, more = min(2, config.layers), min(3, config.layers)
    first = count(replace(config, layers=few))
    return first + (config.layers - few) * (count(replace(config, layers=more)) - first)


def _reading(config: ModelConfig, rows: int, path: FastPath, recompute: bool, *, gradients: bool) -> int:
    """The peak of a forward and backward pass; with `gradients` there before, else counted where they are made."""
    path = replace(path, device="cpu", compiled=False)  # a graphics card keeps the same tensors
    with FakeTensorMode():
        model = LanguageModel(config)
        known = [*model.parameters(), *model.buffers()]
        if gradients:
            for parameter in model.parameters():
                parameter.grad = torch.empty_like(parameter)
                known.append(parameter.grad)
        loss_of = pretraining_loss(model, path, recompute=recompute)
        with LiveBytes(known) as live:
            ids_BT = torch.zeros(rows, config.context, dtype=torch.long)
            loss_of(ids_BT, ids_BT).backward()
    return live.peak


def _updating(config: ModelConfig, device: str, settings: OptimizerSettings) -> int:
    """The peak of an optimizer step, beside gradients and state."""
    with FakeTensorMode():
        model = LanguageModel(config)
        optimizers = Optimizers(model, settings)
        adamw, *muon = optimizers.each
        known = list[Tensor](optimizers.parameters)
        for parameter in optimizers.parameters:
            parameter.grad = torch.empty_like(parameter)
            known.append(parameter.grad)
        for optimizer in muon:
            for parameter in optimizer.param_groups[0]["params"]:
                momentum = optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter)
                known.append(momentum)
        with LiveBytes(known) as live:
            for optimizer in muon:
                optimizer.step()
    # AdamW counts its steps in a tensor, which has no value here. It makes roots of second moments: on a graphics card
    # all at once, on a CPU one parameter's, and the same divided.
    sizes = [4 * parameter.numel() for group in adamw.param_groups for parameter in group["params"]]
    return max(live.peak, sum(sizes) if device == "cuda" else 2 * max(sizes))
