"""The KV cache of a batch whose rows have lengths of their own.

Rows are padded on the right: row b holds real keys at 0..length[b]-1. New tokens of row b go to length[b] and on, over
whatever padding stood there, so nothing is ever shifted; padding among them stands behind the real ones and is written
over by the next.

Shapes: B rows, K key/value heads, S capacity, E head size, T new tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from gptwright.model.config import ModelConfig

BLOCK = 32
"""Positions that the capacity grows by. Attention reads the whole capacity: torch copies a part of it before every
product, which takes longer than the product.
"""


def bytes_per_token(config: ModelConfig, dtype: torch.dtype) -> int:
    """What one position of one row takes."""
    return 2 * config.layers * config.kv_heads * config.head_dim * dtype.itemsize


@dataclass
class LayerCache:
    """One layer's keys and values, and where this step's tokens belong."""

    keys_BKSE: Tensor
    values_BKSE: Tensor
    positions_BT: Tensor

    def append(self, k_BKTE: Tensor, v_BKTE: Tensor) -> tuple[Tensor, Tensor]:
        """Store the new tokens and return the whole capacity, old and new."""
        rows_B1 = torch.arange(k_BKTE.shape[0], device=k_BKTE.device)[:, None]
        self.keys_BKSE[rows_B1, :, self.positions_BT] = k_BKTE.transpose(1, 2)
        self.values_BKSE[rows_B1, :, self.positions_BT] = v_BKTE.transpose(1, 2)
        return self.keys_BKSE, self.values_BKSE


class KVCache:
    """Keys and values of all layers for one batch; `lengths_B` counts the real tokens of each row."""

    def __init__(self, config: ModelConfig, rows: int, *, device: torch.device, dtype: torch.dtype):
        shape = (rows, config.kv_heads, 0, config.head_dim)
        self.keys = [torch.empty(shape, device=device, dtype=dtype) for _ in range(config.layers)]
        self.values = [torch.empty(shape, device=device, dtype=dtype) for _ in range(config.layers)]
        self.lengths_B = torch.zeros(rows, dtype=torch.long, device=device)

    @property
    def capacity(self) -> int:
        """Positions that there is room for."""
        return self.keys[0].shape[2]

    def reserve(self, length: int) -> None:
        """Make room for `length` positions in every row."""
        if length > self.capacity:
            more = -(-length // BLOCK) * BLOCK - self.capacity
            # Zeros, not whatever stood in memory: a weight of 0 times NaN would be NaN.
            self.keys = [F.pad(keys, (0, 0, 0, more)) for keys in self.keys]
            self.values = [F.pad(values, (0, 0, 0, more)) for values in self.values]

    def layer(self, index: int, positions_BT: Tensor) -> LayerCache:
        return LayerCache(self.keys[index], self.values[index], positions_BT)

    def keep(self, rows: Tensor) -> None:
        """Keep these rows (a LongTensor), in this order, and no more room than they fill; one named twice is copied."""
        self.lengths_B = self.lengths_B[rows]
        room = -(-int(self.lengths_B.max()) // BLOCK) * BLOCK
        self.keys = [keys[rows, :, :room] for keys in self.keys]
        self.values = [values[rows, :, :room] for values in self.values]

    def put(self, places: Tensor, other: KVCache, rows: Tensor) -> None:
        """Write rows of `other` over these ones (LongTensors of equal length)."""
        self.reserve(other.capacity)
        for ours, theirs in zip((*self.keys, *self.values), (*other.keys, *other.values), strict=True):
            ours[places, :, : other.capacity] = theirs[rows]
        self.lengths_B[places] = other.lengths_B[rows]

    def join(self, other: KVCache) -> None:
        """Add the rows of `other` behind these."""
        capacity = max(self.capacity, other.capacity)
        self.reserve(capacity)
        other.reserve(capacity)
        self.keys = [torch.cat(pair) for pair in zip(self.keys, other.keys, strict=True)]
        self.values = [torch.cat(pair) for pair in zip(self.values, other.values, strict=True)]
        self.lengths_B = torch.cat((self.lengths_B, other.lengths_B))
