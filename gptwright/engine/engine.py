"""Batched generation with a KV cache.

    engine = Engine(model, stop_ids={tokenizer.end_of_turn})
    completions = engine.generate([Request(prompt_ids, SamplingParams(seed=1))])

Requests of similar length share a batch; a row that has stopped leaves it, so that the rest go on faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from gptwright.engine.lanes import lane_count, side_by_side
from gptwright.engine.sampling import SamplingParams, sample
from gptwright.errors import InputError
from gptwright.model.cache import KVCache
from gptwright.model.transformer import LanguageModel
from gptwright.records import FinishReason

COMPACT_SHARE = 0.75
"""Ended rows are dropped once no more than this share of a batch goes on: dropping copies the cache."""
LANE_ROWS = 16
"""Fewer rows than this are not worth a batch of their own beside another one."""
OnToken = Callable[[int, int], None]
"""Called with (index of the request, new token id), on a CPU from several threads."""


@dataclass(frozen=True)
class Request:
    """A prompt as ids and how to continue it."""

    prompt_ids: Sequence[int]
    params: SamplingParams = SamplingParams()


@dataclass
class Completion:
    """What was generated; with finish_reason 'stop' the last id is the stop token."""

    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish_reason: FinishReason = "length"


class Engine:
    """Generates with one model. The model is read at each call, so a policy in training can be sampled as it is."""

    def __init__(self, model: LanguageModel, *, stop_ids: set[int], max_rows: int = 128) -> None:
        self.model = model
        self.stop_ids = stop_ids
        self.max_rows = max_rows

    def generate(self, requests: Sequence[Request], on_token: OnToken | None = None) -> list[Completion]:
        """One completion per request, in order. Raises InputError for a prompt that is empty or leaves no room to
        answer.
        """
        context = self.model.config.context
        for request in requests:
            if not 0 < len(request.prompt_ids) < context:
                raise InputError(
                    f"the prompt has {len(request.prompt_ids)} tokens: it must have between 1 and {context - 1} to "
                    f"leave room in the model's context of {context}"
                )
        was_training = self.model.training
        self.model.eval()
        completions = [Completion() for _ in requests]
        order = sorted(range(len(requests)), key=lambda i: len(requests[i].prompt_ids))
        lanes = lane_count(self.model.model.embed_tokens.weight.device)
        size = min(self.max_rows, max(LANE_ROWS, -(-len(order) // lanes)))
        groups = [order[start : start + size] for start in range(0, len(order), size)]
        side_by_side(lambda rows: self._generate_group(requests, rows, completions, on_token), groups, lanes)
        self.model.train(was_training)
        return completions

    @torch.inference_mode()
    def _generate_group(
        self, requests: Sequence[Request], rows: list[int], completions: list[Completion], on_token: OnToken | None
    ) -> None:
        logits_BV, cache = self._prefill([requests[i].prompt_ids for i in rows])
        going = [True] * len(rows)
        while True:
            params = [requests[i].params for i in rows]
            positions = np.array([len(completions[i].ids) for i in rows])
            ids_B, logprobs_B = sample(logits_BV, params, positions)
            for row, (token, logprob) in enumerate(zip(ids_B.tolist(), logprobs_B.tolist(), strict=True)):
                if going[row]:
                    going[row] = self._append(completions[rows[row]], requests[rows[row]], token, logprob)
                    if on_token:
                        on_token(rows[row], token)
            if not any(going):
                return
            if sum(going) <= COMPACT_SHARE * len(rows):
                keep = torch.tensor([row for row, alive in enumerate(going) if alive], device=ids_B.device)
                cache.keep(keep)
                ids_B, rows = ids_B[keep], [index for index, alive in zip(rows, going, strict=True) if alive]
                going = [True] * len(rows)
            logits_BV = self.model(ids_B[:, None], cache)[:, -1]
            # A row that has ended stays where it is, writing over its own last token, until the batch is compacted.
            cache.lengths_B += torch.tensor(going, device=ids_B.device)

    def _append(self, completion: Completion, request: Request, token: int, logprob: float) -> bool:
        """Add a token to a completion; returns whether it goes on."""
        completion.ids.append(token)
        completion.logprobs.append(logprob)
        if token in self.stop_ids:
            completion.finish_reason = "stop"
            return False
        return len(completion.ids) < self._room(request)

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

    def _room(self, request: Request) -> int:
        """How many tokens this request may get: what it asks for, within the context."""
        return min(request.params.max_new_tokens, self.model.config.context - len(request.prompt_ids))
