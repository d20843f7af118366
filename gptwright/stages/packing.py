"""Conversations packed whole into rows of the model's context, for training without padding.

Shapes: R rows, T context. A row holds conversations one after another; `segment` numbers them, so that attention keeps
them apart, and index t of `target` and `weight` is about predicting the token after `ids[t]`, never across a border.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gptwright.tokenizer.chat import Rendered


@dataclass(frozen=True)
class PackedRows:
    """All rows of a set of conversations; `weight_RT` is 1 where the next token is supervised."""

    ids_RT: Tensor
    target_RT: Tensor
    weight_RT: Tensor
    segment_RT: Tensor

    def __len__(self) -> int:
        return len(self.ids_RT)

    def pick(self, rows: Sequence[int]) -> PackedRows:
        """These rows only."""
        index = list(rows)
        return PackedRows(self.ids_RT[index], self.target_RT[index], self.weight_RT[index], self.segment_RT[index])


def first_fit(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Bins of indices whose lengths add up to at most `room`: first_fit([3, 5, 2], 6) -> [[1], [0, 2]]."""
    bins: list[list[int]] = []
    left: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        # Older bins are full but for crumbs; looking at the last few keeps this linear.
        open_bins = range(max(0, len(bins) - 64), len(bins))
        target = next((b for b in open_bins if left[b] >= lengths[index]), None)
        if target is None:
            bins.append([])
            left.append(room)
            target = len(bins) - 1
        bins[target].append(index)
        left[target] -= lengths[index]
    return bins


@dataclass(frozen=True)
class PackedSequences:
    """Sequences in rows: sequence i stands in the flattened ids from `places[i]` on."""

    ids_RT: Tensor
    segment_RT: Tensor
    places: list[int]


def pack_sequences(
    sequences: Sequence[Sequence[int]], context: int, fill: int, rows: int | None = None
) -> PackedSequences:
    """Every sequence whole in one row. `rows` asks for at least so many: batches of one shape, as compiling likes."""
    bins = first_fit([len(ids) for ids in sequences], context)
    ids_RT = torch.full((max(len(bins), rows or 0), context), fill, dtype=torch.long)
    segment_RT, places = torch.full_like(ids_RT, -1), [0] * len(sequences)
    for r, members in enumerate(bins):
        start = 0
        for number, member in enumerate(members):
            end = start + len(sequences[member])
            ids_RT[r, start:end] = torch.tensor(sequences[member])
            segment_RT[r, start:end] = number
            places[member] = r * context + start
            start = end
    return PackedSequences(ids_RT, segment_RT, places)


def pack(conversations: Sequence[Rendered], context: int, pad: int) -> PackedRows:
    """Every conversation whole in one row. Raises ValueError when one is longer than the context."""
    if any(len(row.ids) > context for row in conversations):
        raise ValueError(f"a conversation is longer than {context} tokens: leave it out before packing")
    packed = pack_sequences([row.ids for row in conversations], context, pad)
    target_N, weight_N = torch.full_like(packed.ids_RT, pad).flatten(), torch.zeros(packed.ids_RT.numel())
    for row, start in zip(conversations, packed.places, strict=True):
        end = start + len(row.ids) - 1
        target_N[start:end] = torch.tensor(row.ids[1:])
        weight_N[start:end] = torch.tensor(row.mask[1:], dtype=torch.float32)
    shape = packed.ids_RT.shape
    return PackedRows(packed.ids_RT, target_N.view(shape), weight_N.view(shape), packed.segment_RT)
