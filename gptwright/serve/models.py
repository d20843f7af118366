"""What is served, by name."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from gptwright.engine.engine import Engine
from gptwright.errors import InputError
from gptwright.model.transformer import ScalarModel
from gptwright.records import Message
from gptwright.serve.errors import ApiError
from gptwright.serve.worker import Worker, check_queue
from gptwright.stages.scoring import score_parts, scored_row
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.fast_path import FastPath

MAX_SCORES_WAITING = 64
"""Requests for scores that may wait for one model; more are refused."""


@dataclass
class ServedModel:
    """A language model at work. A base model continues text; it is no assistant, and is never asked to be one."""

    name: str
    engine: Engine
    tokenizer: Tokenizer
    assistant: bool
    created: int = field(default_factory=lambda: int(time.time()))
    worker: Worker = field(init=False)

    def start(self, cache_bytes: int) -> None:
        """Begin to answer, with so much room for keys and values. Not sooner: a thread at work would outlive the error
        that another model brings.
        """
        if not hasattr(self, "worker"):
            self.worker = Worker(self.engine, cache_bytes=cache_bytes)

    @property
    def context(self) -> int:
        return self.engine.model.config.context

    @property
    def longest(self) -> int:
        """Tokens of a prompt and its answer: what the context holds, where there is memory for so many."""
        return min(self.context, self.worker.longest)

    @property
    def device(self) -> str:
        """The kind of device that it is on."""
        return self.engine.model.model.embed_tokens.weight.device.type

    def card(self) -> dict[str, object]:
        """As /v1/models tells it."""
        return _card(self.name, self.created, "assistant" if self.assistant else "base")

    @property
    def described(self) -> str:
        """In a few words, for whoever starts the server."""
        kind = "assistant" if self.assistant else "base model, for /v1/completions alone"
        return f"{kind}, context {self.context}"

    @property
    def alive(self) -> bool:
        """Whether it still answers."""
        return self.worker.thread.is_alive()

    def close(self) -> None:
        """Tell those that wait, and end."""
        self.worker.close()

    def prompt_ids(self, prompt: str | list[int]) -> list[int]:
        """A text to go on with, as the model reads it; ids stay as they are. Raises ApiError for one that is none."""
        if isinstance(prompt, str):
            return [self.tokenizer.opening, *self.tokenizer.encode(prompt)]
        if max(prompt) >= (size := self.tokenizer.vocab_size):
            raise ApiError(400, f"prompt names token {max(prompt)}: {self.name} has {size} tokens", param="prompt")
        return prompt

    def room(self, prompt_ids: list[int]) -> int:
        """Tokens that an answer to this prompt may have. Raises ApiError when there is none."""
        room = self.longest - len(prompt_ids)
        if room < 1:
            holder = f"the context of {self.name}" if self.longest == self.context else "this server's memory (--cache)"
            raise ApiError(
                400,
                f"the prompt has {len(prompt_ids)} tokens, and {holder} holds {self.longest}: shorten it",
                code="context_length_exceeded",
                param="messages" if self.assistant else "prompt",
            )
        return room


@dataclass
class ServedReward:
    """A reward model: it scores answers, and gives none."""

    name: str
    model: ScalarModel
    tokenizer: Tokenizer
    created: int = field(default_factory=lambda: int(time.time()))
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="scores"))
    waiting: list[str] = field(default_factory=list)
    """The caller of each request."""

    alive, described = True, "reward model, for /v1/score alone"

    def card(self) -> dict[str, object]:
        """As /v1/models tells it."""
        return _card(self.name, self.created, "reward")

    async def score(
        self, messages: Sequence[Message], answers: Sequence[str], timeout: float, caller: str = ""
    ) -> list[float]:
        """The score of each answer to these messages, one request after the other. Raises InputError for an answer that
        the context does not hold, Busy when too many wait, ApiError, 504, after `timeout` seconds. Cancelled, it ends
        after the pass through the model that is under way.
        """
        check_queue(self.waiting, caller, 1, MAX_SCORES_WAITING)
        self.waiting.append(caller)
        left = threading.Event()
        try:
            async with asyncio.timeout(timeout):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self.pool, self._score, messages, answers, left)
        except TimeoutError:
            raise ApiError(504, f"the scores took longer than {timeout:g} s: ask for fewer", code="timeout") from None
        finally:
            self.waiting.remove(caller)
            left.set()

    def _score(self, messages: Sequence[Message], answers: Sequence[str], left: threading.Event) -> list[float]:
        """The scores, as far as it came before nobody waited for them any more."""
        rows, context = [scored_row(messages, answer, self.tokenizer) for answer in answers], self.model.config.context
        longest = max(len(row.ids) for row in rows)
        if longest > context:
            raise InputError(f"messages and answer have {longest} tokens, {self.name} reads {context}: shorten them")
        path, scores = FastPath(self.model.bias.device.type, "float32"), list[float]()
        for part in score_parts(self.model, rows, self.tokenizer.pad, path):
            scores += part
            if left.is_set():
                break
        return scores

    def close(self) -> None:
        """What has not begun never will."""
        self.pool.shutdown(cancel_futures=True)


Served = ServedModel | ServedReward


def _card(name: str, created: int, kind: str) -> dict[str, object]:
    """`kind` says what it can be asked for; OpenAI has no word for it."""
    return {"id": name, "object": "model", "created": created, "owned_by": "gptwright", "kind": kind}
