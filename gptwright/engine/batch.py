"""Rows that take their next tokens together: they join before any step, and leave when they have ended.

    batch = Batch(model, stop_ids)
    batch.join(rows)
    while batch.rows:
        for row, token in batch.step(): ...

Shapes: B rows, T tokens of the longest prompt, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from gptwright.engine.penalties import adjust_logits
from gptwright.engine.request import Completion, Request
from gptwright.engine.sampling import distribution, draw
from gptwright.engine.text import TextStream
from gptwright.model.cache import KVCache
from gptwright.model.transformer import LanguageModel

COMPACT_SHARE = 0.75
"""Ended rows are dropped once no more than this share of a batch goes on: dropping copies the cache."""


@dataclass(eq=False)
class Row:
    """One request in a batch; `room` is how many tokens it may get, `watch` sees where its text ends."""

    request: Request
    room: int
    watch: TextStream | None = None
    completion: Completion = field(default_factory=Completion)
    going: bool = True
    """Set it to False to end a row early: it gets no further token."""

    def take(self, token: int, logprob: float, stop_ids: set[int]) -> None:
        """Add a token; the row may end with it."""
        self.completion.ids.append(token)
        self.completion.logprobs.append(logprob)
        if self.watch is not None:
            self.watch.feed(token)
        if token in stop_ids or (self.watch is not None and self.watch.stopped):
            self.completion.finish_reason, self.going = "stop", False
        elif len(self.completion.ids) >= self.room:
            self.going = False


class Batch:
    """The rows, their cache, and the logits of each one's next token."""

    cache: KVCache
    logits_BV: Tensor

    def __init__(self, model: LanguageModel, stop_ids: set[int]) -> None:
        self.model, self.stop_ids = model, stop_ids
        self.rows: list[Row] = []

    @torch.inference_mode()
    def join(self, rows: Sequence[Row]) -> None:
        """Read the prompts of new rows, and add them."""
        logits_BV, cache = self._prefill([row.request.prompt_ids for row in rows])
        if self.rows:
            self.cache.join(cache)
            self.logits_BV = torch.cat((self.logits_BV, logits_BV))
        else:
            self.cache, self.logits_BV = cache, logits_BV
        self.rows = [*self.rows, *rows]

    @torch.inference_mode()
    def step(self) -> list[tuple[Row, int]]:
        """Draw the next token of every row that goes on; returns them, and drops rows that have ended."""
        params = [row.request.params for row in self.rows]
        prompts, answers = [row.request.prompt_ids for row in self.rows], [row.completion.ids for row in self.rows]
        logp_BV = distribution(adjust_logits(self.logits_BV, params, prompts, answers), params)
        ids_B = draw(logp_BV, params, np.array([len(answer) for answer in answers]))
        taken, logprobs = [], logp_BV.gather(1, ids_B[:, None])[:, 0].tolist()
        for place, (row, token) in enumerate(zip(self.rows, ids_B.tolist(), strict=True)):
            if row.going:
                if row.request.params.top_logprobs:
                    row.completion.top_logprobs.append(_likeliest(logp_BV[place], row.request.params.top_logprobs))
                row.take(token, logprobs[place], self.stop_ids)
                taken.append((row, token))
        self._go_on(ids_B)
        return taken

    def _go_on(self, ids_B: Tensor) -> None:
        """Put the drawn tokens through the model, of the rows that need another one."""
        going = [row.going for row in self.rows]
        if not any(going):
            self.rows = []
            return
        if sum(going) <= COMPACT_SHARE * len(going):
            keep = torch.tensor([place for place, alive in enumerate(going) if alive], device=ids_B.device)
            self.cache.keep(keep)
            ids_B, self.rows = ids_B[keep], [row for row in self.rows if row.going]
            going = [True] * len(self.rows)
        self.logits_BV = self.model(ids_B[:, None], self.cache)[:, -1]
        # A row that has ended stays where it is, writing over its own last token, until the batch is compacted.
        self.cache.lengths_B += torch.tensor(going, device=ids_B.device)

    def _prefill(self, prompts: list[Sequence[int]]) -> tuple[Tensor, KVCache]:
        """Logits after each prompt's last token, and the cache that holds the prompts; equal ones are read once."""
        weight = self.model.model.embed_tokens.weight
        place = {tuple(prompt): row for row, prompt in enumerate(dict.fromkeys(map(tuple, prompts)))}
        cache = KVCache(self.model.config, len(place), device=weight.device, dtype=weight.dtype)
        lengths_B = torch.tensor([len(prompt) for prompt in place], device=weight.device)
        ids_BT = torch.zeros(len(place), int(lengths_B.max()), dtype=torch.long)
        for row, prompt in enumerate(place):
            ids_BT[row, : len(prompt)] = torch.tensor(prompt)
        hidden_BTD = self.model.model(ids_BT.to(weight.device), cache)
        cache.lengths_B = lengths_B
        logits_BV = self.model.lm_head(hidden_BTD[torch.arange(len(place), device=weight.device), lengths_B - 1])
        copies_B = torch.tensor([place[tuple(prompt)] for prompt in prompts], device=weight.device)
        cache.keep(copies_B)
        return logits_BV[copies_B], cache


def _likeliest(logp_V: Tensor, count: int) -> dict[int, float]:
    top = logp_V.topk(count)
    return dict(zip(top.indices.tolist(), top.values.tolist(), strict=True))
