"""One model at work in a thread of its own: requests join its running batch before any step and leave when they end.

worker = Worker(engine)
ticket = worker.submit(request)          # from within an event loop
async for token in ticket.tokens(): ...
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator

from gptwright.engine.batch import Batch
from gptwright.engine.engine import Engine
from gptwright.engine.request import Request
from gptwright.engine.row import Row

MAX_ROWS = 64
"""Requests that are answered at the same time; more wait."""
MAX_WAITING = 256
"""Requests that may wait; more are refused."""


class Busy(Exception):
    """Too many requests wait already, or the server is about to stop."""


class Ticket:
    """One request, waiting or being answered."""

    def __init__(self, row: Row) -> None:
        self.row, self.loop = row, asyncio.get_running_loop()
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
    """Answers with one model until `close`."""

    def __init__(self, engine: Engine, *, max_rows: int = MAX_ROWS, max_waiting: int = MAX_WAITING) -> None:
        self.engine, self.max_rows, self.max_waiting = engine, max_rows, max_waiting
        self.engine.model.eval()
        self.waiting: deque[Ticket] = deque()
        self.answered: dict[Row, Ticket] = {}
        self.changed, self.closed = threading.Condition(), False
        self.thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self.thread.start()

    def submit(self, request: Request) -> Ticket:
        """Queue a request. Raises InputError for one that the model cannot follow, Busy when too many wait."""
        ticket = Ticket(self.engine.row(request))
        with self.changed:
            if self.closed or len(self.waiting) >= self.max_waiting:
                raise Busy("the server is stopping" if self.closed else f"{len(self.waiting)} requests wait already")
            self.waiting.append(ticket)
            self.changed.notify()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Nobody wants the answer any more."""
        ticket.row.going = False

    def close(self) -> None:
        """Refuse new requests, tell those that are left, and end the thread."""
        with self.changed:
            self.closed = True
            self.changed.notify()
        self.thread.join()

    def _work(self) -> None:
        batch = Batch(self.engine.model, self.engine.stop_ids)
        while (joining := self._next(batch)) is not None:
            try:
                if joining:
                    self.answered |= {ticket.row: ticket for ticket in joining}
                    batch.join([ticket.row for ticket in joining])
                for row, token in batch.step():
                    self.answered[row].tell(token)
            except Exception as error:  # whatever it was, the next request finds a working server
                for ticket in self.answered.values():
                    ticket.tell(error)
                self.answered.clear()
                batch = Batch(self.engine.model, self.engine.stop_ids)
            for row in [row for row in self.answered if not row.going]:
                self.answered.pop(row).tell(None)
        for ticket in (*self.answered.values(), *self.waiting):
            ticket.tell(Busy("the server is stopping"))

    def _next(self, batch: Batch) -> list[Ticket] | None:
        """What joins before the next step; waits while there is nothing to do. None when the worker is closed."""
        with self.changed:
            while not (self.waiting or batch.busy or self.closed):
                self.changed.wait()
            if self.closed:
                return None
            joining = list[Ticket]()
            while self.waiting and len(batch) + len(joining) < self.max_rows:
                ticket = self.waiting.popleft()
                if ticket.row.going:
                    joining.append(ticket)
                else:  # given up while it waited
                    ticket.tell(None)
            return joining
