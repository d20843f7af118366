"""What a training step holds in memory beside weights, gradients and optimizer, found without allocating it."""

from __future__ import annotations

import weakref
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
from gptwright.train.fast_path import FastPath, pretraining_loss


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all storages that operations make, for as long as each lives; `peak` is the most at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[WeakIdRef, int] = {}
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


def activation_bytes(config: ModelConfig, rows: int, path: FastPath, *, recompute: bool = False) -> int:
    """Bytes that one forward and backward pass over `rows` rows needs at its peak beside the weights and gradients.

    Counted on tensors without data, eagerly: compiled code keeps less. All blocks are alike, so two and three of them
    tell what any number takes.
    """
    few, more = min(2, config.layers), min(3, config.layers)
    first = _peak(replace(config, layers=few), rows, path, recompute)
    if config.layers <= few:
        return first
    return first + (config.layers - few) * (_peak(replace(config, layers=more), rows, path, recompute) - first)


def _peak(config: ModelConfig, rows: int, path: FastPath, recompute: bool) -> int:
    path = replace(path, device="cpu", compiled=False)  # a graphics card keeps the same tensors
    with FakeTensorMode():
        model = LanguageModel(config)
        for parameter in model.parameters():
            parameter.grad = torch.empty_like(parameter)
        loss_of = pretraining_loss(model, path, recompute=recompute)
        with LiveBytes() as live:
            ids_BT = torch.zeros(rows, config.context, dtype=torch.long)
            loss_of(ids_BT, ids_BT).backward()
    return live.peak
