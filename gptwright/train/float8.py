"""Matrix products of the blocks in float8, through torchao (extra `float8`); for GPUs that have them."""

from __future__ import annotations

import importlib.util
import logging
import warnings

import torch
from torch import nn

from gptwright.errors import InputError, pip_install

MULTIPLE = 16
"""Both sides of a matrix must be multiples of this (torch._scaled_mm)."""
FIRST_CAPABILITY = (8, 9)
"""The first CUDA compute capability with float8 products: Ada and Hopper."""


def require_float8(device: str) -> None:
    """Raises InputError where the device or torchao is missing."""
    if device != "cuda" or torch.cuda.get_device_capability() < FIRST_CAPABILITY:
        raise InputError(
            "machine.float8 needs an NVIDIA GPU of compute capability 8.9 (Ada, Hopper): set machine.float8=false"
        )
    if importlib.util.find_spec("torchao") is None:
        raise InputError(f"machine.float8 needs torchao: {pip_install('float8')}")


def use_float8(model: nn.Module, device: str, *, emulate: bool = False) -> int:
    """Replace the linear layers inside `model`'s blocks by torchao's, weights and names unchanged; returns how many.

    Inputs, weights and gradients are scaled by their largest value at each product (Micikevicius et al.,
    arXiv:2209.05433); weights, optimizer and everything outside the blocks keep their precision. `emulate` computes the
    same numbers on any device, slowly. Raises InputError where the device or torchao is missing.
    """
    if not emulate:
        require_float8(device)
    logging.getLogger("torchao").setLevel(logging.ERROR)  # it tells of each kernel library that is not for this machine
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchao.float8 import Float8LinearConfig, convert_to_float8_training  # noqa: PLC0415
    chosen = 0

    def wanted(module: nn.Module, name: str) -> bool:
        nonlocal chosen
        if not isinstance(module, nn.Linear) or ".layers." not in f".{name}.":
            return False
        fits = module.in_features % MULTIPLE == 0 and module.out_features % MULTIPLE == 0
        chosen += fits
        return fits

    convert_to_float8_training(model, config=Float8LinearConfig(emulate=emulate), module_filter_fn=wanted)
    return chosen
