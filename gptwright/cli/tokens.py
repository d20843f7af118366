"""Behind `gptwright tokenizer inspect`: figures, then a text coloured by token."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from gptwright.data.sources import read_documents
from gptwright.errors import InputError
from gptwright.pipeline.start import find_model
from gptwright.pipeline.text import text_sources
from gptwright.recipe import load_recipe
from gptwright.records import Document
from gptwright.tokenizer.inspection import Inspection, inspect, pieces
from gptwright.tokenizer.stats import TokenStats
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.world.documents import SOURCES, documents

SHOWN_CHARACTERS = 400
COLOURS = (44, 45, 42, 43, 46)
"""Background colours of a terminal, taken in turn."""


def inspect_tokenizer(model: str, files: str | None, max_bytes: int, *, as_json: bool) -> None:
    """Print the inspection of a model's tokenizer on a file, folder or glob, or on what its run read."""
    folder = _tokenizer_folder(model)
    tokenizer = Tokenizer.load(folder)
    try:
        found = list(_at_most(read_documents(files), max_bytes) if files else _of_the_run(folder.parent, max_bytes))
    except InputError as error:
        if files:
            raise
        raise InputError(
            f"what the run read is not at hand ({error}): give FILES to inspect its tokenizer on"
        ) from None
    result = inspect(tokenizer, found)
    if as_json:
        print(json.dumps(result.to_json()))
        return
    print(as_text(result))
    print(f"\n{painted(pieces(tokenizer, found[0].text[:SHOWN_CHARACTERS]), sys.stdout.isatty())}")


def _tokenizer_folder(model: str) -> Path:
    """A run's own tokenizer where a run is named."""
    run = Path(model) / "tokenizer"
    return run if run.is_dir() else find_model(model)


def _at_most(stream: Iterable[Document], max_bytes: int) -> Iterator[Document]:
    taken = 0
    for document in stream:
        yield document
        taken += len(document.text.encode())
        if taken >= max_bytes:
            return


def _of_the_run(run: Path, max_bytes: int) -> Iterator[Document]:
    """As much of every source, whatever its share, so that each figure is as exact. A folder that is no run's gets the
    built-in world's.
    """
    if (run / "recipe.yaml").is_file():
        own = text_sources(load_recipe(str(run / "recipe.yaml")))
        streams = {source.name: source.train() for source in own}
    else:
        streams = {name: documents(0, name) for name in SOURCES}
    for name, stream in streams.items():
        named = (replace(document, source=name) for document in stream)
        yield from _at_most(named, max_bytes // len(streams))


def as_text(result: Inspection) -> str:
    """The figures as people read them."""
    text_tokens = result.vocab_size - result.special
    lines = [f"{result.vocab_size:,} tokens, {result.special} of them special; fingerprint {result.fingerprint}", ""]
    lines += _table("source", result.sources)
    if result.languages:
        lines += ["", *_table("language", result.languages)]
    documents_read = sum(fit.texts for fit in result.sources.values())
    lines += [
        "",
        f"round trip   {documents_read - result.changed:,} of {documents_read:,} documents byte for byte",
    ]
    for name, count, examples in (
        ("never met", result.unused, result.unused_examples),
        ("rare", result.rare, result.rare_examples),
    ):
        lines.append(f"{name:<13}{count:,} of {text_tokens:,}: {' '.join(map(repr, examples))}".rstrip(": "))
    lines.extend(f"{name:<13}{'|'.join(cut)!r}" for name, cut in result.probes.items())
    return "\n".join(lines)


def _table(title: str, counted: dict[str, TokenStats]) -> list[str]:
    return [
        f"{title:<24}{'documents':>10}{'bytes':>12}{'tokens':>12}{'bytes/token':>13}{'words/token':>13}",
        *(
            f"{name[:23]:<24}{fit.texts:>10,}{fit.bytes:>12,}{fit.tokens:>12,}"
            f"{fit.bytes_per_token:>13.2f}{fit.words_per_token:>13.2f}"
            for name, fit in counted.items()
        ),
    ]


def painted(cut: list[str], colours: bool) -> str:
    """Each piece on another colour, or between bars where there is none."""
    if not colours:
        return "|".join(cut)
    shown = (piece.replace("\n", "\\n\x1b[0m\n") for piece in cut)
    return "".join(f"\x1b[{COLOURS[i % len(COLOURS)]};30m{piece}\x1b[0m" for i, piece in enumerate(shown))
