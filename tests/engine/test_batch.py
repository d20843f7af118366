"""Rows that join a running batch and leave it get what they would get alone."""

from __future__ import annotations

import pytest

from gptwright.engine.batch import Batch
from gptwright.engine.engine import Engine
from gptwright.engine.params import SamplingParams
from gptwright.engine.request import Completion, Request
from gptwright.engine.row import Row
from gptwright.model.transformer import LanguageModel

REQUESTS = [
    Request([3, 9, 12], SamplingParams(12, seed=1)),
    Request([4], SamplingParams(9, temperature=0.7, seed=2)),
    Request([8, 2, 20, 21, 22, 23], SamplingParams(10, temperature=0)),
    Request([5, 5], SamplingParams(3, seed=4)),
    Request([36, 0, 36, 1, 2, 3, 4, 5], SamplingParams(12, seed=5, frequency_penalty=1.0)),
]


def alone(model: LanguageModel, request: Request) -> Completion:
    return Engine(model, stop_ids={13}).generate([request])[0]


@pytest.mark.parametrize("waits", [(0, 0, 0, 0, 0), (0, 1, 2, 3, 4), (0, 3, 3, 4, 11), (0, 5, 20, 40, 60)])
def test_rows_join_at_any_step(model: LanguageModel, waits: tuple[int, ...]) -> None:
    engine, batch = Engine(model, stop_ids={13}), Batch(model, {13})
    rows = [engine.row(request) for request in REQUESTS]
    for step in range(100):
        joining = [row for row, wait in zip(rows, waits, strict=True) if wait == step]
        if joining:
            batch.join(joining)
        if batch.busy:
            batch.step()
    assert not batch.busy
    for row, request in zip(rows, REQUESTS, strict=True):
        expected = alone(model, request)
        assert (row.completion.ids, row.completion.finish_reason) == (expected.ids, expected.finish_reason)
        assert row.completion.logprobs == pytest.approx(expected.logprobs, abs=1e-5)


def test_a_row_that_is_ended_gets_no_further_token_and_disturbs_nobody(model: LanguageModel) -> None:
    engine, batch = Engine(model, stop_ids=set()), Batch(model, set())
    rows = [engine.row(request) for request in REQUESTS]
    batch.join(rows)
    for _ in range(2):
        batch.step()
    rows[0].going = False
    while batch.busy:
        batch.step()
    assert len(rows[0].completion.ids) == 2
    for row, request in zip(rows[1:], REQUESTS[1:], strict=True):
        assert row.completion.ids == Engine(model, stop_ids=set()).generate([request])[0].ids


def test_prompts_that_nobody_waits_for_are_not_read(model: LanguageModel) -> None:
    engine, batch = Engine(model, stop_ids=set()), Batch(model, set())
    gone, wanted = engine.row(REQUESTS[0]), engine.row(REQUESTS[1])
    batch.join([gone])
    batch.join([wanted])
    left = batch.readings[0]
    gone.going = False
    while batch.busy:
        batch.step()
    assert left.reused is None  # it never began
    assert wanted.completion.ids == Engine(model, stop_ids=set()).generate([REQUESTS[1]])[0].ids


def test_rows_may_be_ended_while_a_step_is_taken(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a client that leaves: all of them at once, between two looks at who goes on."""
    engine, batch = Engine(model, stop_ids=set()), Batch(model, set())
    rows = [engine.row(request) for request in REQUESTS[:2]]
    batch.join(rows)
    batch.step()
    monkeypatch.setattr("gptwright.engine.batch.COMPACT_SHARE", Ending(rows))
    batch.step()
    monkeypatch.undo()
    while batch.busy:
        batch.step()
    assert [len(row.completion.ids) for row in rows] == [2, 2]


class Ending:
    """A number whose look-up ends rows."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows

    def __mul__(self, other: int) -> float:
        for row in self.rows:
            row.going = False
        return 0.75 * other


def test_steps_tell_the_tokens_of_the_rows_that_went_on(model: LanguageModel) -> None:
    engine, batch = Engine(model, stop_ids={13}), Batch(model, {13})
    rows = [engine.row(request) for request in REQUESTS]
    batch.join(rows)
    told: dict[int, list[int]] = {id(row): [] for row in rows}
    while batch.busy:
        for row, token in batch.step():
            told[id(row)].append(token)
    assert [told[id(row)] for row in rows] == [row.completion.ids for row in rows]


def test_rows_that_join_take_the_places_of_those_that_have_ended(model: LanguageModel) -> None:
    engine, batch = Engine(model, stop_ids=set()), Batch(model, set())
    short = [Request([n, 2], SamplingParams(2, seed=n)) for n in range(2)]
    long = [Request([n, 3, 4], SamplingParams(20, seed=n)) for n in range(7)]
    late = [Request(list(range(1, 1 + 6 * n)), SamplingParams(9, seed=n)) for n in (1, 2, 3)]
    rows = [engine.row(request) for request in (*long[:3], *short, *long[3:])]
    joining = [engine.row(request) for request in late]
    batch.join(rows)
    for _ in range(2):
        batch.step()
    batch.join(joining)
    batch.step()
    assert batch.rows == [*rows[:3], *joining[:2], *rows[5:], joining[2]]
    while batch.busy:
        batch.step()
    for row in (*rows, *joining):
        assert row.completion.ids == engine.generate([row.request])[0].ids
