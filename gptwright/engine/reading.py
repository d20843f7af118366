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


class Reading:
    """Rows that are about to join a batch. Equal prompts are read once, and of the others no beginning that `prefixes`
    has. When all is read, `cache` and `logits_BV` hold one line for each row.
    """

    def __init__(
        self,
        model: LanguageModel,
        rows: Sequence[Row],
        prefixes: PrefixCache | None = None,
        decoder: Decoder | None = None,
    ) -> None:
        self.model, self.rows, self.prefixes, self.decoder = model, list(rows), prefixes, decoder
        weight = model.model.embed_tokens.weight
        self.prompts = list(dict.fromkeys(tuple(row.request.prompt_ids) for row in rows))
        self.cache = KVCache(model.config, len(self.prompts), device=weight.device, dtype=weight.dtype)
        if prefixes is not None:
            prefixes.fill(self.cache, self.prompts)
        self.reused = [int(length) for length in self.cache.lengths_B]
        self.logits_BV = torch.empty(len(self.prompts), model.config.vocab_size, device=weight.device)

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
        if self.cache.lengths_B.tolist() != [len(prompt) for prompt in self.prompts]:
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
