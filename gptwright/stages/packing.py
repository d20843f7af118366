"""Conversations, or answers behind their prompt, packed whole into rows of the model's context: training without
padding.

Shapes: R rows, T context. A row holds conversations one after another; `segment` numbers them, so that attention keeps
them apart, and index t of `target` and `weight` is about predicting the token after `ids[t]`, never across a border.
"""

from __future__ import annotations

from bisect import bisect_left, insort
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


def best_fit(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Bins of indices whose lengths add up to at most `room`, the longest first, each into the fullest bin that takes
    it: best_fit([3, 5, 2], 6) -> [[1], [0, 2]].
    """
    bins: list[list[int]] = []
    open_bins: list[tuple[int, int]] = []  # (room left, bin), sorted
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        place = bisect_left(open_bins, (lengths[index], 0))
        if place < len(open_bins):
            left, target = open_bins.pop(place)
        else:
            left, target = room, len(bins)
            bins.append([])
        bins[target].append(index)
        insort(open_bins, (left - lengths[index], target))
    return bins


def pack(conversations: Sequence[Rendered], context: int, pad: int) -> PackedRows:
    """Every conversation whole in one row. Raises ValueError when one is longer than the context."""
    if any(len(row.ids) > context for row in conversations):
        raise ValueError(f"a conversation is longer than {context} tokens: leave it out before packing")
    bins = best_fit([len(row.ids) for row in conversations], context)
    ids_RT = torch.full((len(bins), context), pad, dtype=torch.long)
    target_RT, segment_RT = ids_RT.clone(), torch.full_like(ids_RT, -1)
    weight_RT = torch.zeros(len(bins), context)
    for r, members in enumerate(bins):
        start = 0
        for number, member in enumerate(members):
            row = conversations[member]
            end = start + len(row.ids)
            ids_RT[r, start:end] = torch.tensor(row.ids)
            target_RT[r, start : end - 1] = torch.tensor(row.ids[1:])
            weight_RT[r, start : end - 1] = torch.tensor(row.mask[1:], dtype=torch.float32)
            segment_RT[r, start:end] = number
            start = end
    return PackedRows(ids_RT, target_RT, weight_RT, segment_RT)


ROW_TOKENS = 3584
"""Tokens of the rows that go through a model together, about."""


@dataclass(frozen=True)
class PackedTrees:
    """Rows in which a stem stands once in front of its branches, as `train.fast_path.tree_trunk` reads them.

    `places[tree][branch]` says for each token of stem + branch where it stands in the flattened ids.
    """

    ids_RT: Tensor
    segment_RT: Tensor
    parent_RT: Tensor
    position_RT: Tensor
    places: list[list[list[int]]]

    def to(self, device: str) -> PackedTrees:
        """The same with its tensors on a device."""
        ids_RT, segment_RT, parent_RT = self.ids_RT.to(device), self.segment_RT.to(device), self.parent_RT.to(device)
        return PackedTrees(ids_RT, segment_RT, parent_RT, self.position_RT.to(device), self.places)


Tree = tuple[Sequence[int], Sequence[Sequence[int]]]
"""A stem and its branches, all of ids."""


def tree_units(trees: Sequence[Tree], context: int) -> list[tuple[int, list[int]]]:
    """(tree, branches) that fit into one row; a tree that is too long stands in several, its stem in each."""
    units: list[tuple[int, list[int]]] = []
    for t, (stem, branches) in enumerate(trees):
        left = -1
        for b, branch in enumerate(branches):
            if len(branch) > left:
                units.append((t, []))
                left = context - len(stem)
            units[-1][1].append(b)
            left -= len(branch)
    return units


def picked(hidden_ND: Tensor, place_A: Tensor) -> Tensor:
    """The hidden states at these places, of which one may be picked several times, as a prompt's end is -> (A, D).

    Backward, such a one's gradients are added up in an order that is the same each time, which on a CPU indexing does
    not do, and on a GPU index_select.
    """
    return hidden_ND.index_select(0, place_A) if hidden_ND.device.type == "cpu" else hidden_ND[place_A]


def branches_at_once(tree: Tree, context: int | None = None) -> list[list[int]]:
    """A tree's branches in parts of about `ROW_TOKENS` that fit a row of `context` with their stem: a pass through a
    model takes no more, however many answers a prompt has.
    """
    stem, branches = tree
    most = len(stem) + max(ROW_TOKENS, *map(len, branches))
    return [held for _, held in tree_units([tree], most if context is None else min(context, most))]


def tree_bins(trees: Sequence[Tree], context: int) -> list[list[tuple[int, list[int]]]]:
    """The units of each row."""
    units = tree_units(trees, context)
    lengths = [len(trees[t][0]) + sum(len(trees[t][1][b]) for b in branches) for t, branches in units]
    return [[units[i] for i in members] for members in best_fit(lengths, context)]


def pack_trees(trees: Sequence[Tree], context: int, fill: int) -> PackedTrees:
    """Rows of `context` tokens. Every stem + branch must fit into one."""
    bins = tree_bins(trees, context)
    ids_N = torch.full((len(bins) * context,), fill, dtype=torch.long)
    segment_N, parent_N, position_N = torch.full_like(ids_N, -1), torch.full_like(ids_N, -2), torch.zeros_like(ids_N)
    places: list[list[list[int]]] = [[[] for _ in branches] for _, branches in trees]

    def put(ids: Sequence[int], start: int, parent: int, position: int) -> range:
        # A segment's number is where it starts: no other has it.
        end = start + len(ids)
        ids_N[start:end], segment_N[start:end], parent_N[start:end] = torch.tensor(ids), start, parent
        position_N[start:end] = torch.arange(position, position + len(ids))
        return range(start, end)

    for r, units in enumerate(bins):
        start = r * context
        for t, members in units:
            stem, branches = trees[t]
            stem_places = put(stem, start, -2, 0)
            start = stem_places.stop
            for b in members:
                branch_places = put(branches[b], start, stem_places.start, len(stem))
                places[t][b] = [*stem_places, *branch_places]
                start = branch_places.stop
    ids_RT, segment_RT, parent_RT, position_RT = (
        field.view(len(bins), context) for field in (ids_N, segment_N, parent_N, position_N)
    )
    return PackedTrees(ids_RT, segment_RT, parent_RT, position_RT, places)


def groups_of_trees(trees: Sequence[Tree]) -> list[list[int]]:
    """The trees in groups of about `ROW_TOKENS`, in order and all about as large: each goes through a model at once."""
    sizes = [len(stem) + sum(map(len, branches)) for stem, branches in trees]
    count, total, groups = -(-sum(sizes) // ROW_TOKENS), 0, list[list[int]]()
    for index, size in enumerate(sizes):
        if not groups or total * count >= len(groups) * sum(sizes):
            groups.append([])
        groups[-1].append(index)
        total += size
    return groups
