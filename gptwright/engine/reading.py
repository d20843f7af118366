"""Prompts on their way into a cache, a chunk at a time: those who already answer need not wait for long ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gptwright.engine.native.decoder import Decoder
from gptwright.engine.prefix import PrefixCache
from gptwright.engine.row import Row
from gptwright.model.cache import KVCache
from gptwright.model.transformer import LanguageModel

CHUNK = 256
"""Tokens of each prompt that are read at a time."""


def portions(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows whose prompts are read together, so that a step reads `CHUNK` tokens at most: one prompt, or several short
    ones. Those with equal prompts stay together.
    """
    prompts: dict[tuple[int, ...], list[Row]] = {}
    for row in rows:
        prompts.setdefault(tuple(row.request.prompt_ids), []).append(row)
    found, tokens = list[list[Row]](), CHUNK
    for prompt, same in prompts.items():
        tokens += len(prompt)
        if tokens > CHUNK:
            found.append([])
            tokens = len(prompt)
        found[-1] += same
    return found


class Reading:
    """Rows that are about to join a batch. Equal prompts are read once, and of the others no beginning that `prefixes`
    has when reading begins. When all is read, `cache` and `logits_BV` hold one line for each row.
    """

    cache: KVCache
    logits_BV: Tensor

    def __init__(
        self,
        model: LanguageModel,
        rows: Sequence[Row],
        prefixes: PrefixCache | None = None,
        decoder: Decoder | None = None,
    ) -> None:
        self.model, self.rows, self.prefixes, self.decoder = model, list(rows), prefixes, decoder
        self.prompts = list(dict.fromkeys(tuple(row.request.prompt_ids) for row in rows))
        self.reused: list[int] | None = None
        """Tokens of each prompt that were known already; None before reading begins."""

    @property
    def left(self) -> int:
        """Tokens still to be read."""
        read = 0 if self.reused is None else int(self.cache.lengths_B.sum())
        return sum(map(len, self.prompts)) - read

    def begin(self) -> list[int]:
        """Make room, put what is known into it, and return how many tokens of each prompt that is."""
        weight = self.model.model.embed_tokens.weight
        self.cache = KVCache(self.model.config, len(self.prompts), device=weight.device, dtype=weight.dtype)
        if self.prefixes is not None:
            self.prefixes.fill(self.cache, self.prompts)
        self.logits_BV = torch.empty(len(self.prompts), self.model.config.vocab_size, device=weight.device)
        self.reused = [int(length) for length in self.cache.lengths_B]
        return self.reused

    def advance(self) -> bool:
        """Read one more chunk of each prompt; True when all are read."""
        chunks = [
            prompt[start : start + CHUNK]
            for prompt, start in zip(self.prompts, self.cache.lengths_B.tolist(), strict=True)
        ]
        logits_BV = next_logits(self.model, self.decoder, self.cache, chunks)
        ends = [
            row
            for row, (prompt, length) in enumerate(zip(self.prompts, self.cache.lengths_B.tolist(), strict=True))
            if chunks[row] and length == len(prompt)
        ]
        if ends:
            self.logits_BV[ends] = logits_BV[ends].float()
        if self.left:
            return False
        self._spread()
        return True

    def _spread(self) -> None:
        """A line for each row, copies for those with equal prompts."""
        if self.prefixes is not None:
            for place, prompt in enumerate(self.prompts):
                self.prefixes.keep(self.cache, place, prompt)
        lines = {prompt: line for line, prompt in enumerate(self.prompts)}
        copies = [lines[tuple(row.request.prompt_ids)] for row in self.rows]
        copies_B = torch.tensor(copies, device=self.logits_BV.device)
        self.cache.keep(copies_B)
        self.logits_BV = self.logits_BV[copies_B]


def next_logits(
    model: LanguageModel, decoder: Decoder | None, cache: KVCache, chunks: Sequence[Sequence[int]]
) -> Tensor:
    """Put each row's new tokens, any number of them, through the model and into the cache -> logits after each one's
    last (B, V); where a row has none, nobody may look at them.
    """
    if decoder is not None:
        return decoder.step(chunks, cache)
    counts = [len(chunk) for chunk in chunks]
    longest = max(counts)
    device = cache.lengths_B.device
    ids_BT = torch.tensor([[*chunk, *[0] * (longest - len(chunk))] for chunk in chunks], device=device)
    hidden_BTD = model.model(ids_BT, cache)
    counts_B = torch.tensor(counts, device=device)
    cache.lengths_B = cache.lengths_B + counts_B
    last_B = (counts_B - 1).clamp(min=0)
    return model.lm_head(hidden_BTD[torch.arange(len(counts), device=device), last_B])
