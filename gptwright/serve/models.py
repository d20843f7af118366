"""What is served, by name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from gptwright.engine.engine import Engine
from gptwright.errors import InputError
from gptwright.model.transformer import ScalarModel
from gptwright.records import Message
from gptwright.serve.errors import ApiError
from gptwright.serve.worker import Busy, Worker
from gptwright.stages.scoring import score_all, scored_row
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

    def start(self) -> None:
        """Begin to answer. Not sooner: a thread at work would outlive the error that another model brings."""
        if not hasattr(self, "worker"):
            self.worker = Worker(self.engine)

    @property
    def context(self) -> int:
        return self.engine.model.config.context

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

    def room(self, prompt_ids: list[int]) -> int:
        """Tokens that an answer to this prompt may have. Raises ApiError when there is none."""
        room = self.context - len(prompt_ids)
        if room < 1:
            raise ApiError(
                400,
                f"the prompt has {len(prompt_ids)} tokens, and the context of {self.name} holds {self.context}: "
                "shorten it",
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
    waiting: int = 0

    alive, described = True, "reward model, for /v1/score alone"

    def card(self) -> dict[str, object]:
        """As /v1/models tells it."""
        return _card(self.name, self.created, "reward")

    async def score(self, messages: Sequence[Message], answers: Sequence[str], timeout: float) -> list[float]:
        """The score of each answer to these messages, one request after the other. Raises InputError for an answer that
        the context does not hold, Busy when too many wait, ApiError, 504, after `timeout` seconds.
        """
        if self.waiting >= MAX_SCORES_WAITING:
            raise Busy(f"{self.waiting} requests wait already")
        self.waiting += 1
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.get_running_loop().run_in_executor(self.pool, self._score, messages, answers)
        except TimeoutError:
            raise ApiError(504, f"the scores took longer than {timeout:g} s: ask for fewer", code="timeout") from None
        finally:
            self.waiting -= 1

    def _score(self, messages: Sequence[Message], answers: Sequence[str]) -> list[float]:
        rows, context = [scored_row(messages, answer, self.tokenizer) for answer in answers], self.model.config.context
        longest = max(len(row.ids) for row in rows)
        if longest > context:
            raise InputError(f"messages and answer have {longest} tokens, {self.name} reads {context}: shorten them")
        return score_all(self.model, rows, self.tokenizer.pad, FastPath(self.model.bias.device.type, "float32"))

    def close(self) -> None:
        """What has not begun never will."""
        self.pool.shutdown(cancel_futures=True)


Served = ServedModel | ServedReward


def _card(name: str, created: int, kind: str) -> dict[str, object]:
    """`kind` says what it can be asked for; OpenAI has no word for it."""
    return {"id": name, "object": "model", "created": created, "owned_by": "gptwright", "kind": kind}
