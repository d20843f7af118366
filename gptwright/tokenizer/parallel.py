"""Tokenizing a corpus on several cores: batches of documents go to worker processes and come back in order.

    with Encoder(tokenizer, workers=8) as encoder:
        for part, batch in encoder.encode(("train", text) for text in texts): ...

The ids are those of one process. A short corpus is encoded here, where no process has to be started first; of a long
one, only what the workers are busy with is in memory.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import numpy as np

from gptwright.errors import RunError
from gptwright.processes import available_cores, end_with_parent
from gptwright.tokenizer.shards import shard_dtype
from gptwright.tokenizer.tokenizer import Tokenizer

Key = TypeVar("Key")

BATCH_CHARACTERS = 1_000_000
BATCH_TEXTS = 10_000
ALONE_CHARACTERS = 16_000_000
"""Of a corpus this short, one process is done before others have started."""
BATCHES_PER_WORKER = 2
"""Batches that are under way for each worker, so that none waits for its next one."""


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """Several documents: ids one after another, each document with its border after it, in the shards' type."""

    ids: np.ndarray
    lengths: np.ndarray
    """Ids of each document, its end included; int64."""


def encode_batch(tokenizer: Tokenizer, texts: list[str]) -> EncodedBatch:
    """The texts' ids, in this process."""
    ids: list[int] = []
    lengths = np.empty(len(texts), dtype=np.int64)
    before = 0
    for index, text in enumerate(texts):
        ids.extend(tokenizer.encode(text))
        ids.extend(tokenizer.border)
        lengths[index] = len(ids) - before
        before = len(ids)
    return EncodedBatch(np.array(ids, dtype=shard_dtype(tokenizer.vocab_size)), lengths)


class Encoder:
    """A tokenizer and the processes that work for it, which are started when there is enough to do."""

    def __init__(self, tokenizer: Tokenizer, workers: int | None = None) -> None:
        """`workers` None is one for each core that this process may use; 1 starts none."""
        self.tokenizer = tokenizer
        self.workers = workers or available_cores()
        self._characters = 0
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def encode(self, texts: Iterable[tuple[Key, str]]) -> Iterator[tuple[Key, EncodedBatch]]:
        """Batches of texts with the same key; those of one key keep the order of their texts.

        Raises InputError for what a character vocabulary cannot spell, RunError when a worker dies.
        """
        under_way: deque[tuple[Key, Future[EncodedBatch]]] = deque()
        try:
            for key, batch in _batches(texts):
                pool = self._pool_for(sum(map(len, batch)))
                if pool is None:
                    yield key, encode_batch(self.tokenizer, batch)
                    continue
                under_way.append((key, pool.submit(_encode_in_worker, batch)))
                if len(under_way) >= BATCHES_PER_WORKER * self.workers:
                    key, future = under_way.popleft()
                    yield key, future.result()
            while under_way:
                key, future = under_way.popleft()
                yield key, future.result()
        except BrokenProcessPool as error:
            raise RunError(
                "a tokenizing process was killed, most likely for want of memory: give the same command again with "
                "fewer of them (-o machine.workers=1)"
            ) from error

    def _pool_for(self, characters: int) -> ProcessPoolExecutor | None:
        self._characters += characters
        if self._pool is None and self.workers > 1 and self._characters > ALONE_CHARACTERS:
            # Not forked: torch may have threads by now, whose locks a copy of this process would wait for.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.workers, context, _start_worker, (self.tokenizer,))
        return self._pool


def _batches(texts: Iterable[tuple[Key, str]]) -> Iterator[tuple[Key, list[str]]]:
    waiting: dict[Key, list[str]] = {}
    sizes: dict[Key, int] = {}
    for key, text in texts:
        batch = waiting.setdefault(key, [])
        batch.append(text)
        sizes[key] = sizes.get(key, 0) + len(text)
        if sizes[key] >= BATCH_CHARACTERS or len(batch) >= BATCH_TEXTS:
            yield key, waiting.pop(key)
            sizes[key] = 0
    yield from waiting.items()


_tokenizer: Tokenizer


def _start_worker(tokenizer: Tokenizer) -> None:
    global _tokenizer
    end_with_parent()
    _tokenizer = tokenizer


def _encode_in_worker(texts: list[str]) -> EncodedBatch:
    return encode_batch(_tokenizer, texts)
