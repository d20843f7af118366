"""Rows that take their next tokens together: they join before any step, and leave when they have ended.

    batch = Batch(model, stop_ids)
    batch.join(rows)
    while batch.busy:
        for row, token in batch.step(): ...

Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor

from gptwright.engine.native.decoder import Decoder
from gptwright.engine.penalties import adjust_logits
from gptwright.engine.prefix import PrefixCache
from gptwright.engine.reading import Reading, next_logits, portions
from gptwright.engine.row import Row
from gptwright.engine.sampling import distribution, draw
from gptwright.model.cache import KVCache
from gptwright.model.transformer import LanguageModel, is_sharded

COMPACT_SHARE = 0.75
"""Ended rows are dropped once no more than this share of a batch goes on: dropping copies the cache."""
JUMP = 8
"""Forced tokens that a row may take in one step; the others of the batch are padded to as many."""


P = ParamSpec("P")
R = TypeVar("R")


def _without_gradients(method: Callable[Concatenate[Batch, P], R]) -> Callable[Concatenate[Batch, P], R]:
    @wraps(method)
    def quiet(self: Batch, *arguments: P.args, **named: P.kwargs) -> R:
        # What is gathered of a sharded model in inference mode could not be trained with afterwards.
        with torch.no_grad() if self.sharded else torch.inference_mode():
            return method(self, *arguments, **named)

    return quiet


class Batch:
    """The rows, their cache, and the logits of each one's next token; besides, those whose prompts are being read."""

    cache: KVCache
    logits_BV: Tensor

    def __init__(
        self,
        model: LanguageModel,
        stop_ids: set[int],
        *,
        prefixes: PrefixCache | None = None,
        decoder: Decoder | None = None,
    ) -> None:
        self.model, self.stop_ids, self.prefixes, self.decoder = model, stop_ids, prefixes, decoder
        self.sharded = decoder is None and is_sharded(model)
        self.rows: list[Row] = []
        self.readings: list[Reading] = []
        self.oldest_next = True
        self.prompt_tokens = self.reused_tokens = 0
        """Of all prompts so far, and how many of them were known already."""

    @property
    def busy(self) -> bool:
        """Whether there is anything left to do."""
        return bool(self.rows or self.readings)

    @property
    def capacity(self) -> int:
        """Positions that each row's keys and values have room for."""
        return self.cache.capacity if self.rows else 0

    def __len__(self) -> int:
        return len(self.rows) + sum(len(reading.rows) for reading in self.readings)

    @_without_gradients
    def join(self, rows: Sequence[Row]) -> None:
        """Add new rows; the next steps read their prompts. With `prefixes` others come and go meanwhile, so that they
        are read in portions.
        """
        for portion in [list(rows)] if self.prefixes is None else portions(rows):
            self.readings.append(Reading(self.model, portion, self.prefixes, self.decoder))

    @_without_gradients
    def step(self) -> list[tuple[Row, int]]:
        """Read a chunk of what waits to be read; give a token, or several that are forced, to every row that goes on.
        Returns them, and drops rows that have ended.
        """
        # What nobody waits for any more need not be read.
        self.readings = [reading for reading in self.readings if any(row.going for row in reading.rows)]
        if self.readings:
            self._read()
        if not self.rows:
            return []
        taken = self._draw()
        told = [(row, token) for row, tokens in zip(self.rows, taken, strict=True) for token in tokens]
        self._go_on(taken)
        return told

    def _read(self) -> None:
        """A chunk of what has the least left, so that a short prompt need not wait for a long one, in turns with what
        came first, so that a long one is read at last.
        """
        least = 0 if self.oldest_next else min(range(len(self.readings)), key=lambda i: self.readings[i].left)
        self.oldest_next = not self.oldest_next
        reading = self.readings[least]
        if reading.reused is None:
            self.reused_tokens += sum(reading.begin())
            self.prompt_tokens += sum(map(len, reading.prompts))
        if reading.advance():
            self._take_in(self.readings.pop(least))

    def _take_in(self, reading: Reading) -> None:
        """Rows whose prompts are read take the places of those that have ended, and the rest new ones."""
        if not self.rows:
            self.cache, self.logits_BV, self.rows = reading.cache, reading.logits_BV, reading.rows
            return
        free = [place for place, row in enumerate(self.rows) if not row.going][: len(reading.rows)]
        if free:
            places, first = torch.tensor(free, device=self.logits_BV.device), slice(0, len(free))
            self.cache.put(places, reading.cache, torch.arange(len(free), device=places.device))
            self.logits_BV[places] = reading.logits_BV[first].to(self.logits_BV.dtype)
            for place, row in zip(free, reading.rows[first], strict=True):
                self.rows[place] = row
        if len(free) < len(reading.rows):
            rest = torch.arange(len(free), len(reading.rows), device=self.logits_BV.device)
            reading.cache.keep(rest)
            self.cache.join(reading.cache)
            self.logits_BV = torch.cat((self.logits_BV, reading.logits_BV[rest]))
            self.rows = [*self.rows, *reading.rows[len(free) :]]

    def _draw(self) -> list[list[int]]:
        """Each row's new tokens: none where it has ended."""
        params = [row.request.params for row in self.rows]
        prompts, answers = [row.request.prompt_ids for row in self.rows], [row.completion.ids for row in self.rows]
        logits_BV, choices = self._allowed(adjust_logits(self.logits_BV, params, prompts, answers))
        logp_BV = distribution(logits_BV, params)
        ids_B = draw(logp_BV, params, np.array([len(answer) for answer in answers]))
        taken, logprobs = [list[int]() for _ in self.rows], logp_BV.gather(1, ids_B[:, None])[:, 0].tolist()
        for place, (row, token) in enumerate(zip(self.rows, ids_B.tolist(), strict=True)):
            if not row.going:
                continue
            likeliest = row.request.params.top_logprobs
            if likeliest:
                row.completion.top_logprobs.append(_likeliest(logp_BV[place], likeliest))
            row.take(token, logprobs[place], self.stop_ids, forced=choices.get(place) == 1)
            taken[place] = [token, *row.take_forced(JUMP - 1, self.stop_ids, likeliest)]
        return taken

    def _allowed(self, logits_BV: Tensor) -> tuple[Tensor, dict[int, int]]:
        """Logits without what guides forbid, and for each row that has a guide how many tokens are left."""
        guided = [place for place, row in enumerate(self.rows) if row.guide is not None and row.going]
        if not guided:
            return logits_BV, {}
        vocabulary = logits_BV.shape[1]
        packed = b"".join(self.rows[place].allowed(-(-vocabulary // 8)) for place in guided)
        bits = np.frombuffer(packed, dtype=np.uint8).reshape(len(guided), -1)
        allowed_GV = np.unpackbits(bits, axis=1, count=vocabulary, bitorder="little").view(bool)
        forbidden_GV = torch.from_numpy(~allowed_GV).to(logits_BV.device)
        left = dict(zip(guided, np.count_nonzero(allowed_GV, axis=1).tolist(), strict=True))
        if len(guided) == len(self.rows):  # as a rule, and copying rows to and fro takes as long as the rest
            return logits_BV.float().masked_fill(forbidden_GV, -torch.inf), left
        places = torch.tensor(guided, device=logits_BV.device)
        held_GV = logits_BV[places].float().masked_fill(forbidden_GV, -torch.inf)
        return logits_BV.float().index_put((places,), held_GV), left

    def _go_on(self, taken: list[list[int]]) -> None:
        """Put each row's new tokens through the model, where they are followed by another one."""
        if self.prefixes is not None:
            for place, row in enumerate(self.rows):
                if taken[place] and not row.going:
                    said = [*row.request.prompt_ids, *row.completion.ids]
                    self.prefixes.keep(self.cache, place, said[: int(self.cache.lengths_B[place])])
        going = [row.going for row in self.rows]  # looked at once: somebody may end a row at any moment
        if not any(going):
            self.rows = []
            return
        # A row that has ended stays where it is, reading nothing, until the batch is compacted.
        new = [tokens if alive else [] for tokens, alive in zip(taken, going, strict=True)]
        if sum(going) <= COMPACT_SHARE * len(going):
            keep = [place for place, alive in enumerate(going) if alive]
            self.cache.keep(torch.tensor(keep, device=self.logits_BV.device))
            new, self.rows = [new[place] for place in keep], [self.rows[place] for place in keep]
        self.logits_BV = next_logits(self.model, self.decoder, self.cache, new)


def _likeliest(logp_V: Tensor, count: int) -> dict[int, float]:
    top = logp_V.topk(count)
    found = dict(zip(top.indices.tolist(), top.values.tolist(), strict=True))
    return {token: logp for token, logp in found.items() if logp > -torch.inf}
