"""One request on its way, as a row of a batch."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from gptwright.engine.constraint import Guide
from gptwright.engine.protocol import PartStream
from gptwright.engine.request import Completion, Request
from gptwright.errors import InputError

Result = TypeVar("Result")


@dataclass(eq=False)
class Row:
    """One request in a batch; `room` is how many tokens it may get, `watch` sees where its text ends, `guide` what may
    come next.
    """

    request: Request
    room: int
    watch: PartStream | None = None
    guide: Guide | None = None
    completion: Completion = field(default_factory=Completion)
    going: bool = True
    """Set it to False to end a row early: it gets no further token."""
    error: InputError | None = None
    """Why the answer could not be finished: its grammar became too much on the way."""

    def take(self, token: int, logprob: float, stop_ids: set[int], *, forced: bool = False) -> None:
        """Add a token; the row may end with it. Forced is one that nothing else could have stood for."""
        completion = self.completion
        completion.ids.append(token)
        completion.logprobs.append(logprob)
        if self.watch is not None:
            self.watch.feed(token)
        if self.guide is not None:
            completion.forced.append(forced)
            self._try(partial(self.guide.take, token))  # the end too: with it the last blank is known to be filled
        ended = self.guide is not None and self.guide.ended
        if ended or token in stop_ids or (self.watch is not None and self.watch.stopped):
            completion.finish_reason, self.going = "stop", False
        elif len(completion.ids) >= self.room:
            self.going = False
        if not self.going and self.guide is not None:
            completion.blanks = self.guide.blanks()

    def allowed(self, size: int) -> bytes:
        """Which tokens may come next, a bit for each in so many bytes."""
        assert self.guide is not None
        allowed = self._try(self.guide.allowed)
        return b"\xff" * size if allowed is None else allowed[:size].ljust(size, b"\0")

    def _try(self, act: Callable[[], Result]) -> Result | None:
        """What a guide does; a grammar that fails ends its own row alone."""
        try:
            return act()
        except InputError as error:
            self.error, self.going = error, False
            return None

    def take_forced(self, most: int, stop_ids: set[int], likeliest: int) -> list[int]:
        """Add what must come now, at most so many tokens; returns them."""
        forced = self.guide.forced() if self.guide is not None and self.going else []
        taken = list[int]()
        for token in itertools.takewhile(lambda _: self.going, forced[:most]):
            if likeliest:
                self.completion.top_logprobs.append({token: 0.0})
            self.take(token, 0.0, stop_ids, forced=True)
            taken.append(token)
        return taken
