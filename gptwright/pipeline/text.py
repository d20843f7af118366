"""Where a run's pretraining text comes from: the built-in world, the user's files, or a mixture of named sources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gptwright.data.sources import find_files, read_documents, standard_library
from gptwright.data.splitting import split_documents
from gptwright.errors import InputError
from gptwright.midtraining import FinishSource
from gptwright.recipe import Recipe, SourceSettings
from gptwright.records import Document
from gptwright.stages.corpus import TextSource
from gptwright.world.documents import SOURCES, documents

HELD_OUT_START = 1_000_000_000
"""Index of the world's first held-out document: training never gets this far."""


def input_files(recipe: Recipe) -> tuple[str, ...]:
    """The user's files that the corpus is made of; a change of one makes it stale."""
    finish = _finish_sources(recipe)
    main = (source.files for source in (recipe.data.sources or {}).values())
    asked = [recipe.data.files, *main, *(source.files for source in finish.values())]
    return tuple(str(file) for path in asked if path for file in find_files(path))


def _finish_sources(recipe: Recipe) -> dict[str, FinishSource]:
    """Those of the finishing mixture. Raises InputError for a name that says two things, or none."""
    if recipe.data.finish is None:
        return {}
    read = set(recipe.data.sources or (["text"] if recipe.data.files else SOURCES))
    for name, source in recipe.data.finish.sources.items():
        if source.is_new and name in read:
            raise InputError(
                f"data.finish.sources.{name} brings other text under a name that is read before: choose another name, "
                "or leave out files and builtin to go on with the same text"
            )
        if not source.is_new and name not in read:
            raise InputError(
                f"data.finish.sources.{name} has neither files nor builtin, and no source of that name is read before: "
                f"give one, or name one of {', '.join(sorted(read))}"
            )
    return recipe.data.finish.sources


def text_sources(recipe: Recipe) -> list[TextSource]:
    """The mixture that pretraining reads, and the one at its end where the recipe has another for it."""
    sources, finish = _main_sources(recipe), _finish_sources(recipe)
    if recipe.data.finish is None:
        return sources
    part, total = recipe.data.finish.share_of_tokens, sum(source.share for source in finish.values())
    sources += [
        _split(name, 0.0, _documents(source), recipe.data.held_out) for name, source in finish.items() if source.is_new
    ]
    shares = {name: source.share / total for name, source in finish.items()}
    return [replace(source, finish=part, finish_share=shares.get(source.name, 0.0)) for source in sources]


def _main_sources(recipe: Recipe) -> list[TextSource]:
    """The world's seven sources, the user's files as one, or the user's sources."""
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


def _documents(source: SourceSettings | FinishSource) -> Iterator[Document]:
    return read_documents(source.files) if source.files is not None else standard_library()


def _split(name: str, share: float, found: Iterator[Document], held_out_share: float) -> TextSource:
    train, held_out = split_documents(list(found), held_out_share)
    return TextSource(name, share, train=lambda: iter(train), held_out=lambda: iter(held_out))
