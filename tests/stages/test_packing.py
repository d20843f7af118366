"""Packing: whole conversations in rows without waste, each with the loss that it has by itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gptwright.model.transformer import LanguageModel
from gptwright.stages.packing import PackedRows, best_fit, groups_of_trees, pack, pack_trees
from gptwright.tokenizer.chat import Rendered
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.fast_path import FastPath, packed_loss, tree_trunk

PATH = FastPath("cpu", "float32")


def random_chats(count: int, seed: int = 0, longest: int = 30) -> list[Rendered]:
    """Random ids whose second half is supervised."""
    rng = np.random.default_rng(seed)
    lengths = [int(length) for length in rng.integers(4, longest, size=count)]
    return [Rendered(rng.integers(256, size=n).tolist(), [0] * (n // 2) + [1] * (n - n // 2)) for n in lengths]


def summed_loss(model: LanguageModel, rows: PackedRows) -> float:
    with torch.no_grad():
        return float(packed_loss(model, PATH)(rows.ids_RT, rows.target_RT, rows.weight_RT, rows.segment_RT))


def loss_alone(model: LanguageModel, chat: Rendered) -> float:
    with torch.no_grad():
        logp_TV = model(torch.tensor([chat.ids]))[0].log_softmax(dim=-1)
    return -sum(float(logp_TV[t - 1, chat.ids[t]]) for t in range(1, len(chat.ids)) if chat.mask[t])


@given(st.lists(st.integers(1, 20), max_size=60))
def test_best_fit_places_each_once_and_fills_no_bin_over(lengths: list[int]) -> None:
    bins = best_fit(lengths, 20)
    assert sorted(index for members in bins for index in members) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in members) <= 20 for members in bins)


@given(st.lists(st.integers(1, 20), max_size=60))
def test_best_fit_leaves_no_two_bins_that_one_could_hold(lengths: list[int]) -> None:
    loads = sorted(sum(lengths[i] for i in members) for members in best_fit(lengths, 20))
    assert len(loads) < 2 or loads[0] + loads[1] > 20


def test_best_fit_takes_the_longest_first_and_fills_the_fullest_bin() -> None:
    assert best_fit([3, 5, 2], 6) == [[1], [0, 2]]
    assert best_fit([2, 6, 7, 1], 10) == [[2, 0, 3], [1]]


def test_best_fit_wastes_little() -> None:
    lengths = np.random.default_rng(0).integers(5, 80, size=2000).tolist()
    assert sum(lengths) / 256 / len(best_fit(lengths, 256)) > 0.99


def test_row_layout_by_hand(tokenizer: Tokenizer) -> None:
    rows = pack([Rendered([5, 6, 7], [0, 0, 1]), Rendered([8, 9], [0, 1])], context=6, pad=tokenizer.pad)
    assert rows.ids_RT.tolist() == [[5, 6, 7, 8, 9, tokenizer.pad]]
    assert rows.segment_RT.tolist() == [[0, 0, 0, 1, 1, -1]]
    assert rows.weight_RT.tolist() == [[0, 1, 0, 1, 0, 0]]
    assert [rows.target_RT[0, t].item() for t in (0, 1, 3)] == [6, 7, 9]


def test_conversation_longer_than_the_row_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 4 tokens"):
        pack([Rendered([1] * 5, [1] * 5)], context=4, pad=0)


@pytest.mark.parametrize("kernel", ["fused", "matmul"])
def test_packed_rows_have_the_loss_of_each_conversation_alone(
    make_model: Callable[..., LanguageModel], kernel: str
) -> None:
    model, chats = make_model(), random_chats(9)
    rows = pack(chats, context=48, pad=0)
    assert len(rows) < len(chats)  # something is packed together
    alone = sum(loss_alone(model, chat) for chat in chats)
    with torch.no_grad():
        loss_of = packed_loss(model, FastPath("cpu", "float32", kernel=kernel))
        packed = float(loss_of(rows.ids_RT, rows.target_RT, rows.weight_RT, rows.segment_RT))
    assert packed == pytest.approx(alone, rel=1e-5)


def test_order_inside_a_row_does_not_matter(make_model: Callable[..., LanguageModel]) -> None:
    generator = torch.Generator().manual_seed(1)
    first, second = (
        Rendered(torch.randint(256, (12,), generator=generator).tolist(), [0] * 5 + [1] * 7) for _ in range(2)
    )
    model = make_model()
    forward, backward = pack([first, second], 24, pad=0), pack([second, first], 24, pad=0)
    assert forward.ids_RT.tolist() == [first.ids + second.ids]
    assert backward.ids_RT.tolist() == [second.ids + first.ids]
    assert summed_loss(model, forward) == pytest.approx(summed_loss(model, backward), rel=1e-5)


def test_what_stands_beside_a_conversation_does_not_reach_it(make_model: Callable[..., LanguageModel]) -> None:
    learned = Rendered(list(range(40, 52)), [0] * 5 + [1] * 7)
    model = make_model()
    losses = [
        summed_loss(model, pack([Rendered([neighbour] * 20, [0] * 20), learned], 40, pad=0)) for neighbour in (3, 200)
    ]
    assert losses[0] == losses[1]


def random_trees(count: int, seed: int = 0) -> list[tuple[list[int], list[list[int]]]]:
    rng = np.random.default_rng(seed)

    def ids(low: int, high: int) -> list[int]:
        return [int(token) for token in rng.integers(256, size=rng.integers(low, high))]

    return [(ids(2, 12), [ids(1, 30) for _ in range(rng.integers(1, 6))]) for _ in range(count)]


def test_branches_have_the_hidden_states_that_they_have_alone_behind_their_stem(
    make_model: Callable[..., LanguageModel],
) -> None:
    model, trees = make_model(), random_trees(9)
    packed = pack_trees(trees, 48, fill=0)
    fields = packed.ids_RT, packed.segment_RT, packed.parent_RT, packed.position_RT
    with torch.no_grad():
        hidden_ND = tree_trunk(model.model, PATH)(*fields).flatten(0, 1)
        for (stem, branches), places in zip(trees, packed.places, strict=True):
            for branch, place in zip(branches, places, strict=True):
                alone = model.model(torch.tensor([[*stem, *branch]]))[0]
                assert torch.allclose(hidden_ND[place], alone, atol=1e-5)


def test_a_stem_stands_once_where_its_branches_fit_into_a_row() -> None:
    packed = pack_trees([([1, 2], [[3], [4, 5]])], 6, fill=0)
    assert packed.ids_RT.tolist() == [[1, 2, 3, 4, 5, 0]]
    assert packed.position_RT.tolist() == [[0, 1, 2, 2, 3, 0]]
    assert packed.places == [[[0, 1, 2], [0, 1, 3, 4]]]


def test_a_tree_too_long_for_a_row_stands_in_several() -> None:
    packed = pack_trees([([1, 2], [[3], [4, 5], [6]])], 5, fill=0)
    assert packed.ids_RT.tolist() == [[1, 2, 3, 4, 5], [1, 2, 6, 0, 0]]
    assert packed.places == [[[0, 1, 2], [0, 1, 3, 4], [5, 6, 7]]]


def test_gradient_of_one_tree_reaches_no_token_of_another(make_model: Callable[..., LanguageModel]) -> None:
    model, trees = make_model(), [([1, 2], [[3], [4, 5]]), ([6, 7], [[8]])]
    packed = pack_trees(trees, 48, fill=0)
    fields = packed.ids_RT, packed.segment_RT, packed.parent_RT, packed.position_RT
    hidden_ND = tree_trunk(model.model, PATH)(*fields).flatten(0, 1)
    hidden_ND[packed.places[0][1]].square().sum().backward()
    weight = model.model.embed_tokens.weight
    assert weight.grad is not None
    assert weight.grad.abs().sum(dim=1).nonzero().flatten().tolist() == [1, 2, 4, 5]  # nor of another branch


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_groups_hold_every_tree_once_in_order_and_none_is_much_larger(sizes: list[int]) -> None:
    trees = [([0] * (size // 2), [[0] * (size - size // 2)]) for size in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gptwright.stages.packing.ROW_TOKENS", 100)
        groups = groups_of_trees(trees)
    assert [index for group in groups for index in group] == list(range(len(sizes)))
    totals = [sum(sizes[i] for i in group) for group in groups]
    assert len(groups) <= -(-sum(sizes) // 100)
    assert max(totals) < sum(sizes) / -(-sum(sizes) // 100) + max(sizes)
