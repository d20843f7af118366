"""The parts in which a corpus is cleaned: each is read by one task, and the input alone decides which parts there are.

Files are put together until a part is worth a task's start; a file is never divided, so one huge file keeps one core
busy, and so does a data set of the hub. Documents travel as datatrove's, between stages as .jsonl.gz.
"""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gptwright.cleaning.settings import CleaningSettings, CleaningSource
from gptwright.data.hub import read_hub
from gptwright.data.jsonl import write_jsonl
from gptwright.data.sources import find_files, read_found, standard_library
from gptwright.errors import InputError
from gptwright.records import Document, to_json
from gptwright.world.documents import SOURCES, documents

SMALLEST_BYTES, LARGEST_BYTES = 1_000_000, 64_000_000
PARTS = 16
"""Into about so many shards a source is divided, unless they would be smaller or larger than that."""
WORLD_DOCUMENTS = 5_000
"""Documents of the built-in world in a shard."""
MOST_SHARDS = 60_000
"""A shard's number must fit the 16 bits in which datatrove keeps a document's priority."""


@dataclass(frozen=True)
class Shard:
    """Files of one source, a data set of the hub, the standard library, or `count` documents of a world's source from
    number `start` on.
    """

    source: str
    prose: bool
    files: tuple[str, ...] = ()
    hub: str | None = None
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    text_key: str = "text"
    world: str = ""
    start: int = 0
    count: int = 0
    seed: int = 0

    def read(self) -> Iterator[Document]:
        """Its documents, none of them blank."""
        if self.world:
            return itertools.islice(documents(self.seed, self.world, self.start), self.count)
        if self.files:
            return read_found([Path(file) for file in self.files], text_key=self.text_key)
        if self.hub is not None:
            return read_hub(
                self.hub, config=self.config, split=self.split, revision=self.revision, text_key=self.text_key
            )
        return standard_library()


def plan_shards(settings: CleaningSettings) -> list[Shard]:
    """All shards, in the order of the sources. Raises InputError for a source without files."""
    shards = [shard for name, source in settings.sources.items() for shard in _shards_of(name, source, settings.seed)]
    if len(shards) > MOST_SHARDS:
        raise InputError(
            f"the sources make {len(shards):,} shards, where {MOST_SHARDS:,} is the most: join small files into larger"
        )
    return shards


def _shards_of(name: str, source: CleaningSource, seed: int) -> Iterator[Shard]:
    prose = source.is_prose
    if source.files is not None:
        for files in _groups(find_files(source.files)):
            yield Shard(name, prose, files=tuple(map(str, files)), text_key=source.text_key)
    elif source.hub is not None:
        given = {key: getattr(source, key) for key in ("hub", "config", "split", "revision", "text_key")}
        yield Shard(name, prose, **given)
    elif source.builtin == "python":
        yield Shard(name, prose)
    else:
        for world, share in SOURCES.items():
            wanted = max(1, round(source.documents * share))
            for start in range(0, wanted, WORLD_DOCUMENTS):
                count = min(WORLD_DOCUMENTS, wanted - start)
                yield Shard(f"{name}_{world}", prose, world=world, start=start, count=count, seed=seed)


def _groups(files: list[Path]) -> Iterator[list[Path]]:
    """[3 MB, 0.4 MB, 0.7 MB] -> [3 MB], [0.4 MB, 0.7 MB]"""
    sizes = [file.stat().st_size for file in files]
    wanted = min(LARGEST_BYTES, max(SMALLEST_BYTES, sum(sizes) // PARTS))
    group: list[Path] = []
    taken = 0
    for file, size in zip(files, sizes, strict=True):
        group.append(file)
        taken += size
        if taken >= wanted:
            yield group
            group, taken = [], 0
    if group:
        yield group


def read_kept(path: Path, rank: int, heartbeat: Callable[[], None]) -> Iterator[Any]:
    """The datatrove documents of a file that `write_kept` wrote, each with the shard that it belongs to."""
    from datatrove.data import Document as TroveDocument  # noqa: PLC0415

    with gzip.open(path, "rb") as file:
        for line in file:
            row = json.loads(line)
            heartbeat()
            told = {"source": row["source"], "language": row.get("language", ""), "rank": rank}
            yield TroveDocument(row["text"], row["id"], metadata=told)


def write_kept(path: Path, kept: Iterable[Any]) -> int:
    """One row a document, with the keys text, source and id, and language where it is known; the file appears only when
    whole. Returns their number.
    """
    documents = (Document(d.text, d.metadata["source"], d.id, d.metadata["language"]) for d in kept)
    return write_jsonl(path, map(to_json, documents))
