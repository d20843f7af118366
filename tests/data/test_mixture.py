"""The mixture's schedule and the rows cut from token streams."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptwright.data.mixture import BLOCK, Mixture
from gptwright.data.packing import Finish, PackedCorpus
from gptwright.errors import InputError

CONTEXT = 5
STREAM = np.arange(100, 123, dtype=np.uint16)  # 23 tokens: 4 rows and 3 over


def corpus(seed: int = 3) -> PackedCorpus:
    streams = {"a": STREAM, "b": np.arange(200, 240, dtype=np.uint16)}
    return PackedCorpus(streams, {"a": 1.0, "b": 3.0}, context=CONTEXT, seed=seed)


@given(st.lists(st.floats(1e-3, 1.0), min_size=1, max_size=8), st.integers(0, 5))
def test_shares_are_exact_to_one_row_after_any_number_of_rows(shares: list[float], seed: int) -> None:
    mixture = Mixture({f"source{index}": share for index, share in enumerate(shares)}, seed)
    sources, _ = mixture.schedule(0, 500)
    drawn = np.eye(len(shares))[sources].cumsum(axis=0)
    due = np.outer(np.arange(1, 501), mixture.shares)
    assert np.abs(drawn - due).max() < 1


def test_halves_alternate() -> None:
    mixture = Mixture({"a": 5, "b": 5}, seed=0)
    names = [mixture.source_at(position) for position in range(6)]
    assert names in (["a", "b"] * 3, ["b", "a"] * 3)


def test_turns_number_the_rows_of_each_source() -> None:
    sources, turns = Mixture({"a": 1, "b": 2, "c": 4}, seed=1).schedule(0, 100)
    for source in range(3):
        assert turns[sources == source].tolist() == list(range((sources == source).sum()))


def test_a_row_does_not_depend_on_what_was_asked_before() -> None:
    fresh, used = Mixture({"a": 1, "b": 2.5}, seed=1), Mixture({"b": 2.5, "a": 1}, seed=1)
    used.schedule(0, 10)
    assert fresh.source_at(9000) == used.source_at(9000)
    assert fresh.schedule(8990, 20)[1].tolist() == used.schedule(8990, 20)[1].tolist()


def test_epochs_by_hand() -> None:
    assert Mixture({"a": 1, "b": 3}, seed=0).epochs(400, {"a": 50, "b": 600}) == {"a": 2.0, "b": 0.5}


@pytest.mark.parametrize("share", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_proportions_are_refused(share: float) -> None:
    with pytest.raises(InputError, match="of source 'b' is not above 0"):
        Mixture({"a": 1.0, "b": share}, seed=0)


def test_an_empty_mixture_is_refused() -> None:
    with pytest.raises(InputError, match="needs one source or more"):
        Mixture({}, seed=0)


@pytest.mark.parametrize("epoch", range(4))
def test_each_token_is_an_input_at_most_once_an_epoch(epoch: int) -> None:
    packed = PackedCorpus({"a": STREAM}, {"a": 1.0}, context=CONTEXT, seed=0)
    rows = packed.rows(4 * epoch, 4)
    inputs = rows[:, :-1].ravel().tolist()
    assert len(set(inputs)) == len(inputs) == 20  # 23 but for the remainder


def test_over_epochs_the_remainder_moves() -> None:
    packed = PackedCorpus({"a": STREAM}, {"a": 1.0}, context=CONTEXT, seed=0)
    left_out = [set(STREAM.tolist()) - set(packed.rows(4 * epoch, 4)[:, :-1].ravel().tolist()) for epoch in range(6)]
    assert len({frozenset(tokens) for tokens in left_out}) > 1


def test_rows_are_consecutive_tokens_of_the_ring() -> None:
    for row in PackedCorpus({"a": STREAM}, {"a": 1.0}, context=CONTEXT, seed=0).rows(0, 40):
        assert ((row[1:] - row[:-1]) % 23 == 1).all()


def test_targets_are_the_inputs_moved_by_one() -> None:
    inputs, targets = corpus().batch(0, 8)
    assert inputs.shape == targets.shape == (8, CONTEXT)
    assert inputs.dtype == np.int64
    assert (inputs[:, 1:] == targets[:, :-1]).all()


def test_a_restarted_corpus_draws_the_same_batches() -> None:
    running = corpus()
    batches = [running.batch(step, 3)[0] for step in range(30)]
    restarted = corpus()
    for step in (29, 4, 17):
        assert (restarted.batch(step, 3)[0] == batches[step]).all()


def test_batches_are_the_rows_in_order() -> None:
    packed = corpus()
    inputs, _ = packed.batch(5, 4)
    assert [row.tolist() for row in inputs] == [packed.row(index)[:-1].tolist() for index in range(20, 24)]


def test_seeds_give_other_rows() -> None:
    assert (corpus(seed=1).rows(0, 8) != corpus(seed=2).rows(0, 8)).any()


def test_a_source_keeps_its_rows_when_another_joins() -> None:
    alone = PackedCorpus({"a": STREAM}, {"a": 1.0}, context=CONTEXT, seed=3).rows(0, 10)
    mixed = corpus(seed=3).rows(0, 40)
    assert mixed[mixed[:, 0] < 200][:10].tolist() == alone.tolist()


def test_a_quarter_of_the_tokens_come_from_a() -> None:
    inputs, _ = corpus().batch(0, 400)
    assert (inputs < 200).mean() == 0.25


def test_epochs_of_a_corpus_by_hand() -> None:
    assert corpus().epochs_for(920) == {"a": 10.0, "b": 17.25}


def test_a_source_shorter_than_a_row_is_refused() -> None:
    with pytest.raises(InputError, match="source 'a' has 5 tokens, fewer than one row of context 5"):
        PackedCorpus({"a": STREAM[:5]}, {"a": 1.0}, context=CONTEXT, seed=0)


def test_a_source_without_a_stream_is_refused() -> None:
    with pytest.raises(InputError, match="the mixture names 'c', which is no source here: use a"):
        PackedCorpus({"a": STREAM}, {"c": 1.0}, context=CONTEXT, seed=0)


PHASES = ({"a": 1.0, "b": 3.0}, {"b": 1.0, "c": 1.0})


def phased(border: int, seed: int = 3) -> PackedCorpus:
    streams = {"a": STREAM, "b": np.arange(200, 240, dtype=np.uint16), "c": np.arange(300, 340, dtype=np.uint16)}
    return PackedCorpus(streams, PHASES[0], context=CONTEXT, seed=seed, finish=Finish(PHASES[1], border))


def test_each_phase_has_its_own_shares() -> None:
    hundreds = phased(40).rows(0, 80)[:, 0] // 100
    assert [(hundreds[:40] == source).sum() for source in (1, 2, 3)] == [10, 30, 0]
    assert [(hundreds[40:] == source).sum() for source in (1, 2, 3)] == [0, 20, 20]


def test_the_first_phase_is_what_it_is_without_a_second() -> None:
    streams = {"a": STREAM, "b": np.arange(200, 240, dtype=np.uint16)}
    alone = PackedCorpus(streams, PHASES[0], context=CONTEXT, seed=3)
    assert np.array_equal(phased(17).rows(0, 17), alone.rows(0, 17))


@given(st.integers(0, 30), st.integers(0, 40), st.integers(1, 25))
def test_rows_of_two_phases_do_not_depend_on_how_they_are_asked_for(border: int, start: int, count: int) -> None:
    together, one_by_one = phased(border).rows(start, count), phased(border)
    assert np.array_equal(together, np.stack([one_by_one.row(index) for index in range(start, start + count)]))


def test_a_source_of_both_phases_goes_on_where_it_stopped() -> None:
    # "b" has 8 rows an epoch: 6 in the first phase, the other 2 in the second before any is read again.
    rows = phased(8).rows(0, 12)
    of_b = rows[rows[:, 0] // 100 == 2]
    assert sorted(of_b[:8, :CONTEXT].flatten().tolist()) == list(range(200, 240))


def test_epochs_of_two_phases_by_hand() -> None:
    # 8 rows of 5 tokens, then 60 tokens: 10 of 23 from "a", 30 + 30 of 40 from "b", 30 of 40 from "c".
    assert phased(8).epochs_for(100) == {"a": 10 / 23, "b": 60 / 40, "c": 30 / 40}


def test_rows_and_turns_go_on_over_the_borders_of_blocks() -> None:
    mixture = Mixture({"a": 1, "b": 2.5, "c": 0.3}, seed=1)
    sources, turns = mixture.schedule(0, 3 * BLOCK)
    for source in range(3):
        assert turns[sources == source].tolist() == list(range((sources == source).sum()))
    for start, count in ((BLOCK - 3, 7), (2 * BLOCK, 5), (BLOCK, BLOCK)):
        piece = Mixture({"a": 1, "b": 2.5, "c": 0.3}, seed=1).schedule(start, count)
        assert piece[0].tolist() == sources[start : start + count].tolist()
        assert piece[1].tolist() == turns[start : start + count].tolist()
    for position in (0, 5, BLOCK, 2 * BLOCK + 1):
        counted = [(sources[:position] == source).sum() for source in range(3)]
        assert list(mixture.turns_before(position).values()) == counted


def test_memory_does_not_grow_with_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gptwright.data.mixture.BLOCK", 256)
    mixture = Mixture({"a": 1, "b": 2}, seed=0)
    for start in range(0, 100 * 256, 256):
        mixture.schedule(start, 256)
    tracemalloc.start()
    for start in range(100 * 256, 400 * 256, 256):
        mixture.schedule(start, 256)
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 300 * 256 * 10 / 2  # ten bytes a row, had all been kept
