"""The KV cache of a batch whose rows have lengths of their own.

Rows are padded on the right: row b holds real keys at 0..length[b]-1. A new token of row b goes to position
length[b], over whatever padding stood there, so nothing is ever shifted.

Shapes: B rows, K key/value heads, S capacity, E head size, T new tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gptwright.model.config import ModelConfig


@dataclass
class LayerCache:
    """One layer's keys and values, and where this step's tokens belong."""

    keys_BKSE: Tensor
    values_BKSE: Tensor
    positions_BT: Tensor
    visible: int
    """Attend to positions below this."""

    def append(self, k_BKTE: Tensor, v_BKTE: Tensor) -> tuple[Tensor, Tensor]:
        """Store the new tokens and return everything stored so far, (B, K, visible, E) each."""
        if k_BKTE.shape[2] > 1:  # prefill: every row starts at 0
            self.keys_BKSE[:, :, : k_BKTE.shape[2]] = k_BKTE
            self.values_BKSE[:, :, : v_BKTE.shape[2]] = v_BKTE
        else:
            rows = torch.arange(k_BKTE.shape[0], device=k_BKTE.device)
            self.keys_BKSE[rows, :, self.positions_BT[:, 0]] = k_BKTE[:, :, 0]
            self.values_BKSE[rows, :, self.positions_BT[:, 0]] = v_BKTE[:, :, 0]
        return self.keys_BKSE[:, :, : self.visible], self.values_BKSE[:, :, : self.visible]


class KVCache:
    """Keys and values of all layers for one batch; `lengths_B` counts the real tokens of each row."""

    def __init__(self, config: ModelConfig, rows: int, capacity: int, *, device: torch.device, dtype: torch.dtype):
        shape = (rows, config.kv_heads, capacity, config.head_dim)
        self.keys = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(config.layers)]
        self.values = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(config.layers)]
        self.lengths_B = torch.zeros(rows, dtype=torch.long, device=device)

    def layer(self, index: int, positions_BT: Tensor, visible: int) -> LayerCache:
        return LayerCache(self.keys[index], self.values[index], positions_BT, visible)

    def keep(self, rows: Tensor) -> None:
        """Keep only these rows (a LongTensor), in this order."""
        self.keys = [keys[rows] for keys in self.keys]
        self.values = [values[rows] for values in self.values]
        self.lengths_B = self.lengths_B[rows]
