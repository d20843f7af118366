"""What was read before is not read again: keys and values of chats and shared beginnings, kept in blocks.

A block holds 32 tokens of one text and is found by them and by the block before it, so two texts share blocks for as
long as they are equal. Rows of a batch get copies, which costs little beside reading: a block can be dropped at any
time, without counting who uses it.

Shapes: N layers, K key/value heads, E head size.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gptwright.model.cache import BLOCK, KVCache

Key = tuple[int, tuple[int, ...]]
"""The number of the block before (0: none) and the tokens of this one."""


@dataclass(frozen=True)
class Block:
    """Keys and values of BLOCK tokens, (2, N, K, BLOCK, E), at `place` of the cache's memory."""

    number: int
    place: int
    data: Tensor


class PrefixCache:
    """Blocks of one model, at most `max_bytes` of them; those not used for longest go first.

    All have their places in one piece of memory, so that blocks do not stand among what lives for a step alone.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.blocks: OrderedDict[Key, Block] = OrderedDict()
        self.numbers = itertools.count(1)
        self.memory: Tensor | None = None

    @property
    def bytes(self) -> int:
        """What the blocks hold."""
        return sum(block.data.nbytes for block in self.blocks.values())

    def find(self, ids: Sequence[int]) -> list[Block]:
        """The blocks that `ids` begins with; at least one token is left to read, whose logits are wanted."""
        found, keys = list[Block](), list[Key]()
        for start in range(0, len(ids) - BLOCK, BLOCK):
            key = (found[-1].number if found else 0, tuple(ids[start : start + BLOCK]))
            block = self.blocks.get(key)
            if block is None:
                break
            found.append(block)
            keys.append(key)
        self._touch(keys)
        return found

    def fill(self, cache: KVCache, texts: Sequence[Sequence[int]]) -> None:
        """Put what is known of each text into its row of an empty cache."""
        found = [self.find(ids) for ids in texts]
        cache.reserve(BLOCK * max(map(len, found), default=0))
        for row, blocks in enumerate(found):
            for place, block in enumerate(blocks):
                for layer in range(len(cache.keys)):
                    span = slice(BLOCK * place, BLOCK * (place + 1))
                    cache.keys[layer][row, :, span] = block.data[0, layer]
                    cache.values[layer][row, :, span] = block.data[1, layer]
        cache.lengths_B = torch.tensor([BLOCK * len(blocks) for blocks in found], device=cache.lengths_B.device)

    def keep(self, cache: KVCache, row: int, ids: Sequence[int]) -> None:
        """Remember the whole blocks of `ids`, which row `row` of the cache holds."""
        if self.memory is None:
            shape = (2, len(cache.keys), cache.keys[0].shape[1], BLOCK, cache.keys[0].shape[3])
            size = self.max_bytes // (math.prod(shape) * cache.keys[0].element_size())
            self.memory = torch.empty((size, *shape), dtype=cache.keys[0].dtype, device=cache.keys[0].device)
        before, keys = 0, list[Key]()
        for start in range(0, min(len(ids), BLOCK * len(self.memory)) - BLOCK + 1, BLOCK):
            key = (before, tuple(ids[start : start + BLOCK]))
            if key in self.blocks:
                self.blocks.move_to_end(key)  # not to be dropped for the next one
            else:
                self.blocks[key] = self._new_block(self.memory, cache, row, start)
            before = self.blocks[key].number
            keys.append(key)
        self._touch(keys)

    def _new_block(self, memory: Tensor, cache: KVCache, row: int, start: int) -> Block:
        place = len(self.blocks)
        if place == len(memory):
            _, dropped = self.blocks.popitem(last=False)
            place = dropped.place
        span = slice(start, start + BLOCK)
        for layer, (keys, values) in enumerate(zip(cache.keys, cache.values, strict=True)):
            memory[place, 0, layer] = keys[row, :, span]
            memory[place, 1, layer] = values[row, :, span]
        return Block(next(self.numbers), place, memory[place])

    def _touch(self, keys: Sequence[Key]) -> None:
        """Used now; the first of a text most of all: without it those behind it are never found."""
        for key in reversed(keys):
            self.blocks.move_to_end(key)
