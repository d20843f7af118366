"""How much memory a device has, and how many rows of a batch it can take at once."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from gptwright import launch
from gptwright.model.config import ModelConfig
from gptwright.train.fast_path import LOGITS_BYTES, FastPath

FILLED = 0.8
"""Share of a device's memory that may be planned for; the rest is the allocator's and other programs'."""
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
BYTES_PER_PARAMETER = 16
"""Weight, gradient and AdamW's two moments, in float32."""


def device_memory(device: str) -> float:
    """Bytes that each process has of a kind of device; infinity where the system does not say."""
    if device == "cuda":
        return float(torch.cuda.get_device_properties(0).total_memory)
    return min(_system_memory(), _container_memory()) / launch.local_world_size()


def _system_memory() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return float("inf")


def _container_memory() -> float:
    """What a container may use of its system's."""
    try:
        return float(CONTAINER_LIMIT.read_text(encoding="ascii"))
    except (OSError, ValueError):  # without a limit there is no file, or it says "max"
        return float("inf")


def reading_bytes(config: ModelConfig, rows: int, path: FastPath, *, recompute: bool = False) -> float:
    """What a forward pass of so many rows keeps for the backward one, generously: one to about two times what
    `working_bytes` counts of it, without its seconds of counting.

    100 bytes for each number between two layers, 10 for each score where they are kept, in every layer (with
    `recompute` in one, beside the layers' inputs); 12 for each logit that exists at once.
    """
    scores = 10.0 * config.heads * config.context if path.kernel == "matmul" else 0.0
    layer = 100.0 * config.width + scores
    layers = layer + 4.0 * config.width * config.layers if recompute else layer * config.layers
    return config.context * rows * layers + 3 * min(4 * config.context * rows * config.vocab_size, LOGITS_BYTES)


def rows_at_once(
    config: ModelConfig,
    rows: int,
    memory: float,
    path: FastPath,
    *,
    recompute: bool = False,
    lanes: int = 1,
    shards: int = 1,
    average: bool = False,
) -> int:
    """The rows of one forward pass where a device reads `rows` of a batch in as many `lanes` side by side: all of a
    lane's, or the largest part of them that memory has room for beside weights, gradients and moments and their
    `average`, whole or in `shards`.
    """
    of_lane = rows // lanes
    held = (BYTES_PER_PARAMETER + 4 * average) / shards
    room = FILLED * memory - held * config.parameter_count()
    parts = [part for part in range(1, of_lane + 1) if of_lane % part == 0]
    fitting = [part for part in parts if lanes * reading_bytes(config, part, path, recompute=recompute) <= room]
    return max(fitting, default=1)
