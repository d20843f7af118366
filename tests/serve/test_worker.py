"""What may be answered at once is bounded by memory, and what does not fit waits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import torch

from gptwright.engine.batch import Batch
from gptwright.engine.engine import Engine
from gptwright.engine.params import SamplingParams
from gptwright.engine.request import Request
from gptwright.errors import InputError
from gptwright.model.cache import bytes_per_token
from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, initialise
from gptwright.serve.worker import Busy, Ticket, Worker, cache_room


@pytest.fixture(scope="module")
def engine() -> Engine:
    config = ModelConfig(vocab_size=50, context=300, width=16, layers=2, heads=2, kv_heads=1, head_dim=8, hidden=24)
    model = LanguageModel(config).eval()
    initialise(model, seed=0)
    return Engine(model, stop_ids=set(), frozen=True)


def worker_with_room(engine: Engine, positions: int, **limits: int) -> Worker:
    each = bytes_per_token(engine.model.config, torch.float32)
    return Worker(engine, cache_bytes=positions * each, **limits)


@pytest.fixture
def small(engine: Engine) -> Iterator[Worker]:
    """Room for two answers of up to 64 positions, or one of up to 128."""
    worker = worker_with_room(engine, 128)
    yield worker
    worker.close()


def submitted(worker: Worker, request: Request) -> Ticket:
    return worker.submit([request])[0]


async def tokens_of(ticket: Ticket) -> list[int]:
    return [token async for token in ticket.tokens()]


def test_requests_wait_for_memory_and_all_are_answered(
    small: Worker, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined, join = list[int](), Batch.join
    monkeypatch.setattr(Batch, "join", lambda batch, rows: joined.append(len(batch) + len(rows)) or join(batch, rows))
    requests = [Request([1 + n, 2, 3], SamplingParams(40, seed=n)) for n in range(7)]

    async def all_of_them() -> list[list[int]]:
        tickets = [submitted(small, request) for request in requests]
        return list(await asyncio.gather(*map(tokens_of, tickets)))

    found = asyncio.run(all_of_them())
    assert max(joined) <= 3  # two answers, and one that has ended and not left yet
    monkeypatch.undo()
    assert found == [completion.ids for completion in engine.generate(requests)]


def test_a_request_that_could_never_fit_is_refused(small: Worker) -> None:
    async def ask() -> None:
        submitted(small, Request(list(range(1, 41)), SamplingParams(100)))

    with pytest.raises(InputError, match="may take 160 tokens, and this server has room for 128"):
        asyncio.run(ask())


def test_a_device_has_a_quarter_of_its_memory_for_keys_and_values(monkeypatch: pytest.MonkeyPatch) -> None:
    for memory, room in ((2**33, 2**31), (float("inf"), 2**30)):
        monkeypatch.setattr("gptwright.serve.worker.device_memory", lambda _, memory=memory: memory)
        assert cache_room("cpu") == room


def test_a_long_answer_waits_for_short_ones_and_holds_up_the_next(small: Worker) -> None:
    async def order() -> list[str]:
        ended = list[str]()

        async def ask(name: str, count: int) -> None:
            await tokens_of(submitted(small, Request([5, 6], SamplingParams(count, seed=1))))
            ended.append(name)

        await asyncio.gather(ask("short", 30), ask("long", 110), ask("last", 30))
        return ended

    assert asyncio.run(order()) == ["short", "long", "last"]


def test_more_than_may_wait_are_refused(engine: Engine) -> None:
    worker = worker_with_room(engine, 128, max_waiting=2)
    refused = 0

    async def ask_many() -> None:
        nonlocal refused
        tickets = []
        for seed in range(40):
            try:
                tickets.append(submitted(worker, Request([1], SamplingParams(90, seed=seed))))
            except Busy:
                refused += 1
        await asyncio.gather(*map(tokens_of, tickets))

    asyncio.run(ask_many())
    worker.close()
    assert 10 <= refused <= 38


def test_one_caller_leaves_others_half_of_the_queue(engine: Engine) -> None:
    worker = worker_with_room(engine, 128, max_waiting=8)

    async def crowd() -> None:
        first = submitted(worker, Request([1], SamplingParams(110)))
        while not worker.answered:
            await asyncio.sleep(0.001)
        many = [Request([1], SamplingParams(110, seed=seed)) for seed in range(5)]
        with pytest.raises(Busy, match="0 answers wait for you, 5 came, and 4 may wait for one caller"):
            worker.submit(many, "ann")
        waiting = worker.submit(many[:4], "ann")
        with pytest.raises(Busy, match="4 answers wait for you, 1 came"):
            worker.submit(many[:1], "ann")
        waiting += worker.submit(many[:4], "bob")
        with pytest.raises(Busy, match="8 answers wait, 1 came, and 8 may wait"):
            worker.submit(many[:1], "cat")
        for ticket in (first, *waiting):
            worker.cancel(ticket)

    asyncio.run(crowd())
    worker.close()


def test_who_leaves_while_waiting_makes_room(engine: Engine) -> None:
    worker = worker_with_room(engine, 128, max_waiting=2)

    async def leave() -> list[list[int]]:
        first = submitted(worker, Request([1], SamplingParams(110, seed=0)))
        while not worker.answered:
            await asyncio.sleep(0.001)
        waiting = [submitted(worker, Request([1], SamplingParams(110, seed=seed))) for seed in (1, 2)]
        for ticket in waiting:
            worker.cancel(ticket)
        last = submitted(worker, Request([1], SamplingParams(5, seed=3)))
        worker.cancel(first)
        return list(await asyncio.gather(*map(tokens_of, (*waiting, last))))

    found = asyncio.run(leave())
    worker.close()
    assert [len(tokens) for tokens in found] == [0, 0, 5]


def test_those_that_wait_are_told_when_the_server_stops(engine: Engine) -> None:
    worker = worker_with_room(engine, 320)

    async def stop() -> list[object]:
        tickets = [submitted(worker, Request([1], SamplingParams(290, seed=seed))) for seed in range(3)]
        await asyncio.sleep(0.01)
        await asyncio.to_thread(worker.close)
        return list(await asyncio.gather(*map(tokens_of, tickets), return_exceptions=True))

    assert any(isinstance(found, Busy) for found in asyncio.run(stop()))


def test_a_second_turn_reads_only_what_is_new(small: Worker) -> None:
    async def talk() -> None:
        first = await tokens_of(submitted(small, Request(list(range(1, 41)), SamplingParams(30, seed=1))))
        await tokens_of(submitted(small, Request([*range(1, 41), *first, 7, 8], SamplingParams(4))))

    asyncio.run(talk())
    assert len(small.prefixes.blocks) == 2  # of 40 + 29 tokens; the second turn made no other
