"""One model at work in a thread of its own: requests join its running batch before any step and leave when they end.

worker = Worker(engine, cache_bytes=cache_room("cpu"))
(ticket,) = worker.submit([request])          # from within an event loop
async for token in ticket.tokens(): ...
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence

from gptwright.engine.batch import JUMP, Batch
from gptwright.engine.engine import Engine
from gptwright.engine.prefix import PrefixCache
from gptwright.engine.request import Request
from gptwright.engine.row import Row
from gptwright.errors import InputError
from gptwright.model.cache import BLOCK, bytes_per_token
from gptwright.serve.metrics import Meter
from gptwright.train.room import device_memory

MAX_ROWS = 64
"""Requests that are answered at the same time; more wait."""
MAX_WAITING = 256
"""Answers that may wait; more are refused."""
CALLER_SHARE = 0.5
"""Of all that may wait, what one caller's may be: nobody keeps everybody else out."""
CACHE_SHARE = 0.25
"""Of a device's memory, for keys and values of the answers that are being written: the rest is for weights, for copies
while answers join and leave, and for other programs.
"""
CACHE_BYTES = 2**30
"""Where the system does not say how much memory it has."""
PREFIX_BYTES = 2**28
"""Keys and values kept, at most, for chats that go on and prompts that begin alike."""


def cache_room(device: str) -> int:
    """Bytes that a kind of device has for keys and values."""
    memory = device_memory(device)
    return int(CACHE_SHARE * memory) if math.isfinite(memory) else CACHE_BYTES


class Busy(Exception):
    """Too many requests wait already, or the server is about to stop."""


def check_queue(callers: Sequence[str], caller: str, count: int, most: int) -> None:
    """Raises Busy where `count` more of this caller are too many beside those that wait, each by its caller's name."""
    own, share = callers.count(caller), int(CALLER_SHARE * most)
    if caller and own + count > share:
        raise Busy(f"{own} answers wait for you, {count} came, and {share} may wait for one caller")
    if len(callers) + count > most:
        raise Busy(f"{len(callers)} answers wait, {count} came, and {most} may wait")


class Ticket:
    """One request, waiting or being answered."""

    def __init__(self, row: Row, caller: str = "") -> None:
        self.row, self.caller, self.loop = row, caller, asyncio.get_running_loop()
        self.since, self.begun = time.monotonic(), False
        self.events: asyncio.Queue[int | Exception | None] = asyncio.Queue()

    def tell(self, event: int | Exception | None) -> None:
        """From the worker's thread: a token, an error, or None at the end."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody listens
            self.loop.call_soon_threadsafe(self.events.put_nowait, event)

    async def tokens(self) -> AsyncIterator[int]:
        """The tokens as they come; raises what kept the model from answering."""
        while (event := await self.events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event


class Worker:
    """Answers with one model until `close`. A request waits until `cache_bytes` have room for all that it may be."""

    meter: Meter | None = None

    def __init__(
        self,
        engine: Engine,
        *,
        max_rows: int = MAX_ROWS,
        max_waiting: int = MAX_WAITING,
        cache_bytes: int,
        prefix_bytes: int = PREFIX_BYTES,
    ) -> None:
        self.engine, self.max_rows, self.max_waiting = engine, max_rows, max_waiting
        self.engine.model.eval()
        weight = engine.model.model.embed_tokens.weight
        position_bytes = bytes_per_token(engine.model.config, weight.dtype)
        self.positions = cache_bytes // position_bytes
        # As much as the answers that are written at a time may hold, of a small model.
        self.prefixes = PrefixCache(min(prefix_bytes, max_rows * engine.model.config.context * position_bytes))
        self.waiting: deque[Ticket] = deque()
        self.answered: dict[Row, Ticket] = {}
        self.changed, self.closed = threading.Condition(), False
        self.thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self.thread.start()

    @property
    def longest(self) -> int:
        """Tokens that there is room for, of a prompt and its answer."""
        return self.positions // BLOCK * BLOCK - JUMP

    def submit(self, requests: Sequence[Request], caller: str = "") -> list[Ticket]:
        """Queue requests that belong together: they begin at the same step where there is room, so that a prompt they
        share is read once. Raises InputError for one that the model cannot follow or that is larger than the memory,
        Busy when too many wait, in all or of this caller; without a name it is nobody in particular.
        """
        tickets = [Ticket(self.engine.row(request), caller) for request in requests]
        longest = max(_length(ticket.row) for ticket in tickets)
        if longest > self.positions:
            raise InputError(
                f"the prompt and its answer may take {longest} tokens, and this server has room for "
                f"{self.positions}: ask for fewer"
            )
        with self.changed:
            if self.closed:
                raise Busy("the server is stopping")
            check_queue([ticket.caller for ticket in self.waiting], caller, len(tickets), self.max_waiting)
            self.waiting += tickets
            self.changed.notify()
        return tickets

    def cancel(self, ticket: Ticket) -> None:
        """Nobody wants the answer any more; one that waits makes room for another."""
        ticket.row.going = False
        with self.changed, contextlib.suppress(ValueError):
            self.waiting.remove(ticket)
            ticket.tell(None)

    def close(self) -> None:
        """Refuse new requests, tell those that are left, and end the thread."""
        with self.changed:
            self.closed = True
            self.changed.notify()
        self.thread.join()

    def _work(self) -> None:
        batch = self._new_batch()
        while (joining := self._next(batch)) is not None:
            try:
                if joining:
                    self.answered |= {ticket.row: ticket for ticket in joining}
                    batch.join([ticket.row for ticket in joining])
                known, told = (batch.prompt_tokens, batch.reused_tokens), batch.step()
                if self.meter:
                    self.meter.prompt(batch.prompt_tokens - known[0], batch.reused_tokens - known[1])
                for row, token in told:
                    ticket = self.answered[row]
                    if self.meter:
                        ticket.since = self.meter.token(ticket.since, first=not ticket.begun)
                    ticket.begun = True
                    ticket.tell(token)
            except Exception as error:  # whatever it was, the next request finds a working server
                for ticket in self.answered.values():
                    ticket.tell(error)
                self.answered.clear()
                batch = self._new_batch()
            for row in [row for row in self.answered if not row.going]:
                self.answered.pop(row).tell(row.error)
        for ticket in (*self.answered.values(), *self.waiting):
            ticket.tell(Busy("the server is stopping"))

    def _new_batch(self) -> Batch:
        return self.engine.batch(self.prefixes)

    def _next(self, batch: Batch) -> list[Ticket] | None:
        """What joins before the next step; waits while there is nothing to do. None when the worker is closed."""
        with self.changed:
            if self.meter:
                self.meter.load(len(self.waiting), len(self.answered))
            while not (self.waiting or batch.busy or self.closed):
                self.changed.wait()
            if self.closed:
                return None
            joining, rows = list[Ticket](), list(self.answered)
            while self.waiting and self._fits([*rows, self.waiting[0].row], batch.capacity):
                joining.append(self.waiting.popleft())
                rows.append(joining[-1].row)
            return joining

    def _fits(self, rows: Sequence[Row], capacity: int) -> bool:
        """Whether so many may be answered at once, each with as much room as the longest takes or there is already."""
        room = max(capacity, *map(_length, rows))
        return len(rows) <= self.max_rows and len(rows) * room <= self.positions


def _length(row: Row) -> int:
    """Positions that a row may come to take in the cache, which grows by blocks."""
    return -(-(len(row.request.prompt_ids) + row.room + JUMP) // BLOCK) * BLOCK
