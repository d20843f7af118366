"""Where a run's pretraining text comes from: the built-in world, the user's files, or a mixture of named sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from gptwright.corpus_settings import FinishSource, Origin, SourceSettings
from gptwright.data.hub import read_hub
from gptwright.data.sources import find_files, read_documents, read_interleaved, standard_library
from gptwright.data.splitting import Part, split_stream
from gptwright.errors import InputError
from gptwright.recipe import Recipe
from gptwright.records import Document
from gptwright.stages.corpus import TextSource
from gptwright.world.documents import SOURCES, documents, mixed_documents

HELD_OUT_START = 1_000_000_000
"""Index of the world's first held-out document: training never gets this far."""

Reader = Callable[[], Iterator[Document]]


def input_files(recipe: Recipe) -> tuple[str, ...]:
    """The user's files that the corpus is made of; a change of one makes it stale."""
    finish = _finish_sources(recipe)
    named = [*(recipe.data.sources or {}).values(), *finish.values()]
    asked = [recipe.data.files, *(source.files for source in named)]
    copies = [source.hub for source in named if source.hub and Path(source.hub).exists()]
    return (*(str(file) for path in asked if path for file in find_files(path)), *copies)


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
    data, sources, finish = recipe.data, _main_sources(recipe), _finish_sources(recipe)
    if data.finish is None:
        return sources
    part, total = data.finish.share_of_tokens, sum(source.share for source in finish.values())
    sources += [
        _source(name, 0.0, source, held_out=data.held_out, world_seed=data.world_seed)
        for name, source in finish.items()
        if source.is_new
    ]
    shares = {name: source.share / total for name, source in finish.items()}
    return [replace(source, finish=part, finish_share=shares.get(source.name, 0.0)) for source in sources]


def _main_sources(recipe: Recipe) -> list[TextSource]:
    """The world's seven sources, the user's files as one, or the user's sources."""
    data = recipe.data
    if data.sources is not None:
        total = sum(source.share for source in data.sources.values())
        return [
            _source(name, source.share / total, source, held_out=data.held_out, world_seed=data.world_seed)
            for name, source in data.sources.items()
        ]
    if data.files is not None:
        whole = SourceSettings(files=data.files, share=1.0)
        return [_source("text", 1.0, whole, held_out=data.held_out, world_seed=data.world_seed)]
    return [
        TextSource(
            name,
            share,
            train=partial(documents, data.world_seed, name),
            held_out=partial(documents, data.world_seed, name, HELD_OUT_START),
        )
        for name, share in SOURCES.items()
    ]


def _source(name: str, share: float, source: Origin, *, held_out: float, world_seed: int) -> TextSource:
    if source.builtin == "world":
        return TextSource(
            name,
            share,
            train=partial(mixed_documents, world_seed),
            held_out=partial(mixed_documents, world_seed, HELD_OUT_START),
        )
    files = tuple(find_files(source.files)) if source.files is not None else ()
    if source.files is not None:
        whole: Reader = partial(read_documents, source.files, text_key=source.text_key)
        sample: Reader = partial(read_interleaved, source.files, text_key=source.text_key)
    else:
        whole = sample = _other_reader(source)
    return TextSource(
        name,
        share,
        train=lambda: _only("train", split_stream(sample(), held_out)),
        held_out=lambda: _only("held_out", split_stream(whole(), held_out)),
        both=lambda: split_stream(whole(), held_out),
        files=files,
    )


def _other_reader(source: Origin) -> Reader:
    if source.hub is None:
        return standard_library
    return partial(
        read_hub,
        source.hub,
        config=source.config,
        split=source.split,
        revision=source.revision,
        text_key=source.text_key,
    )


def _only(wanted: Part, documents: Iterator[tuple[Part, Document]]) -> Iterator[Document]:
    return (document for part, document in documents if part == wanted)
