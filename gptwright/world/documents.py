"""The raw text of the small world: endless documents of seven sources, in the shares of LLaMA's mixture.

    document(seed=0, source="web", index=7) -> Document(text=..., source="web", id="web-7")

A document is a pure function of its arguments, so any part of the corpus can be made anywhere, in any order.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from gptwright.errors import InputError
from gptwright.records import Document
from gptwright.world.lexicon import NAMES
from gptwright.world.sources_code import code_file
from gptwright.world.sources_other import article, clean_page, exchange, paper, story
from gptwright.world.sources_web import page_body, web_page
from gptwright.world.tables_earth import DAYS
from gptwright.world.task_lines import looks_like_tasks

__all__ = ["SOURCES", "document", "documents", "looks_like_tasks", "mixed_documents"]

SOURCES: dict[str, float] = {
    "web": 0.67,
    "clean_web": 0.15,
    "code": 0.045,
    "encyclopedia": 0.045,
    "books": 0.045,
    "papers": 0.025,
    "exchange": 0.02,
}
"""Share of tokens that each source should have (Touvron et al. 2023, table 1)."""

_MAKERS: dict[str, Callable[[random.Random], str]] = {
    "clean_web": clean_page,
    "code": code_file,
    "encyclopedia": article,
    "books": story,
    "papers": paper,
    "exchange": exchange,
}
_NUMBERS: dict[str, int] = {source: number for number, source in enumerate(SOURCES)}

COPY_SHARE = 0.04
"""Of web pages that are an earlier page again with small changes."""
_COPY_REACH = 500
"""How many pages back the original of a copy may lie."""


def document(seed: int, source: str, index: int) -> Document:
    """The document with this number; the same for the same arguments in any process."""
    if source not in SOURCES:
        raise InputError(f"the small world has no source {source!r}: use one of {', '.join(SOURCES)}")
    if seed < 0 or index < 0:
        raise InputError(f"seed {seed} and index {index} must be 0 or more: a document is made from both")
    rng = _generator(seed, source, index)
    text = _web_text(seed, index, rng) if source == "web" else _MAKERS[source](rng)
    return Document(text, source, f"{source}-{index}")


def documents(seed: int, source: str, start: int = 0) -> Iterator[Document]:
    """All documents of a source from number `start` on, without end."""
    index = start
    while True:
        yield document(seed, source, index)
        index += 1


def mixed_documents(seed: int, start: int = 0) -> Iterator[Document]:
    """All sources as one, by their shares of the characters: each turn is that of the source which is furthest behind.

    Every source begins with its number `start`.
    """
    streams = {source: documents(seed, source, start) for source in SOURCES}
    given = dict.fromkeys(SOURCES, 0)
    while True:
        source = min(SOURCES, key=lambda name: given[name] / SOURCES[name])
        text = next(streams[source])
        given[source] += len(text.text)
        yield text


def _generator(seed: int, source: str, index: int) -> random.Random:
    """An int seeds far faster than a string; each triple has its own."""
    return random.Random((seed * len(SOURCES) + _NUMBERS[source]) * 2**48 + index)


def _web_text(seed: int, index: int, rng: random.Random) -> str:
    """A page of its own, or the body of an earlier page with other things around it and a line added."""
    if rng.random() >= COPY_SHARE or index == 0:
        return web_page(rng, page_body(rng))
    original = index - rng.randint(1, min(index, _COPY_REACH))
    source_rng = _generator(seed, "web", original)
    source_rng.random()
    body = page_body(source_rng)
    added = f"Copied by {rng.choice(NAMES)} on {rng.choice(DAYS)}."
    return web_page(rng, f"{body}\n{added}")
