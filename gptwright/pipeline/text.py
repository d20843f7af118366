"""Where a run's pretraining text comes from: the built-in world, the user's files, or a mixture of named sources."""

from __future__ import annotations

from collections.abc import Iterator

from gptwright.data.sources import find_files, read_documents, standard_library
from gptwright.data.splitting import split_documents
from gptwright.recipe import Recipe, SourceSettings
from gptwright.records import Document
from gptwright.stages.corpus import TextSource
from gptwright.world.documents import SOURCES, documents

HELD_OUT_START = 1_000_000_000
"""Index of the world's first held-out document: training never gets this far."""


def input_files(recipe: Recipe) -> tuple[str, ...]:
    """The user's files that the corpus is made of; a change of one makes it stale."""
    asked = [recipe.data.files, *(source.files for source in (recipe.data.sources or {}).values())]
    return tuple(str(file) for path in asked if path for file in find_files(path))


def text_sources(recipe: Recipe) -> list[TextSource]:
    """The mixture that pretraining reads: the world's seven sources, the user's files as one, or the user's sources."""
    if recipe.data.sources is not None:
        total = sum(source.share for source in recipe.data.sources.values())
        return [
            _split(name, source.share / total, _documents(source), recipe.data.held_out)
            for name, source in recipe.data.sources.items()
        ]
    if recipe.data.files is not None:
        return [_split("text", 1.0, read_documents(recipe.data.files), recipe.data.held_out)]
    seed = recipe.data.world_seed

    def stream(name: str, start: int) -> Iterator[Document]:
        return documents(seed, name, start)

    return [
        TextSource(
            name,
            share,
            train=lambda name=name: stream(name, 0),  # type: ignore[misc]
            held_out=lambda name=name: stream(name, HELD_OUT_START),  # type: ignore[misc]
            endless=True,
        )
        for name, share in SOURCES.items()
    ]


def _documents(source: SourceSettings) -> Iterator[Document]:
    return read_documents(source.files) if source.files is not None else standard_library()


def _split(name: str, share: float, found: Iterator[Document], held_out_share: float) -> TextSource:
    train, held_out = split_documents(list(found), held_out_share)
    return TextSource(name, share, train=lambda: iter(train), held_out=lambda: iter(held_out))
