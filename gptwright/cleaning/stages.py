"""The stages of a cleaning, each a list of steps that a datatrove executor runs once per task.

filter      read a shard, judge each document alone, keep the rest as .jsonl.gz           a task per shard
exact       hash each document; find equal ones                                           a task per shard; one
near        MinHash signatures; pairs that meet; clusters                                 per shard; per bucket; one
write       drop the duplicates, redact personal data, write the documents                a task per shard
summary     join what the tasks counted                                                   one task

All state is in files, so a killed cleaning goes on with the tasks that are not finished.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gptwright.cleaning.contamination import load_contamination
from gptwright.cleaning.duplicates import (
    KeepFirst,
    exact_config,
    minhash_config,
    numbered,
    read_removals,
)
from gptwright.cleaning.heartbeat import Heartbeat
from gptwright.cleaning.personal_data import PLACEHOLDERS, find_personal_data, kinds_of, replace
from gptwright.cleaning.rules import rules_for
from gptwright.cleaning.settings import CleaningSettings, PersonalData
from gptwright.cleaning.shards import Shard, read_kept, write_kept
from gptwright.cleaning.summary import write_summary
from gptwright.cleaning.tally import Tally

BUFFERED = 4096
"""Hashes of each shard that are read at a time where all shards are compared: 60 kB."""
MOST_FILES = 65_536
"""That a step may open; there are at most as many shards."""
SHOWN_AROUND = 60
"""Characters before and after a piece of personal data that an example shows."""


@dataclass(frozen=True)
class Stage:
    """One executor's work."""

    name: str
    steps: tuple[Any, ...]
    tasks: int


@dataclass(frozen=True)
class Places:
    """Where a cleaning keeps what; `work` is not needed once it is done."""

    out: Path

    @property
    def work(self) -> Path:
        return self.out / "work"

    @property
    def documents(self) -> Path:
        return self.out / "documents"

    def kept(self, rank: int) -> Path:
        return self.work / "kept" / f"{rank:05d}.jsonl.gz"

    def tally(self, stage: str, rank: int) -> Path:
        return self.work / "tally" / stage / f"{rank:05d}.json"


@dataclass(frozen=True)
class FilterShard:
    """Read a shard and keep what passes the rules."""

    settings: CleaningSettings
    shards: tuple[Shard, ...]
    places: Places

    def __call__(self, data: object, rank: int, world_size: int) -> None:
        shard = self.shards[rank]
        tally = Tally(shard.source, self.settings.seed)
        contamination = load_contamination(self.settings.decontaminate) if self.settings.decontaminate else None
        documents = self._read(shard, rank, tally)
        rules = rules_for(self.settings, prose=shard.prose, contamination=contamination, tally=tally)
        for name, rule in rules.items():
            documents = tally.timed(name, documents, _remover(rule, tally))
        write_kept(self.places.kept(rank), documents)
        tally.save(self.places.tally("filter", rank))

    def _read(self, shard: Shard, rank: int, tally: Tally) -> Iterator[Any]:
        from datatrove.data import Document as TroveDocument  # noqa: PLC0415

        heartbeat = Heartbeat(self.places.work, "filter", rank)
        for document in shard.read():
            heartbeat.beat()
            tally.read.add(len(document.text))
            told = {"source": shard.source, "language": document.language}
            yield TroveDocument(document.text, document.id, metadata=told)


def _remover(rule: Callable[[Any], str | None], tally: Tally) -> Callable[[Any], bool]:
    def judge(document: Any) -> bool:
        reason = rule(document)
        if reason:
            tally.remove(reason, document, **document.metadata.pop("example", {}))
        return reason is None

    return judge


@dataclass(frozen=True)
class ReadKept:
    """The documents that the filter kept, as the first step of a datatrove pipeline."""

    places: Places
    stage: str

    def __call__(self, data: object, rank: int, world_size: int) -> Iterator[Any]:
        return read_kept(self.places.kept(rank), rank, Heartbeat(self.places.work, self.stage, rank).beat)


@dataclass
class Excluded:
    """Takes the place of datatrove's writer of removed documents: they are counted, not kept."""

    tally: Tally
    reason: str

    def __enter__(self) -> Excluded:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def write(self, document: Any, rank: int = 0) -> None:
        self.tally.remove(self.reason, document)


@dataclass(frozen=True)
class WriteShard:
    """Drop a shard's duplicates, replace its personal data, and write it among the finished documents."""

    settings: CleaningSettings
    shards: tuple[Shard, ...]
    places: Places

    def __call__(self, data: Iterable[Any], rank: int, world_size: int) -> None:
        tally = Tally(self.shards[rank].source, self.settings.seed)
        documents = data
        if self.settings.exact_duplicates:
            documents = exact_filter(self.places, Excluded(tally, "duplicate/exact"))(documents, rank, world_size)
        if self.settings.near_duplicates:
            removals = read_removals(self.places.work / "near" / "removals", rank)

            def is_first(document: Any) -> bool:
                kept = removals.get(document.metadata["number"])
                if kept:
                    tally.remove("duplicate/near", document, kept=kept)
                return kept is None

            documents = filter(is_first, numbered(documents))
        if self.settings.personal_data:
            documents = tally.timed("personal_data", documents, redactor(self.settings.personal_data, tally))
        path = self.places.documents / tally.source / f"{rank:05d}.jsonl.gz"
        if not write_kept(path, _counted(documents, tally)):
            path.unlink()
        tally.save(self.places.tally("write", rank))


def _counted(documents: Iterable[Any], tally: Tally) -> Iterator[Any]:
    for document in documents:
        tally.written.add(len(document.text))
        yield document


def redactor(settings: PersonalData, tally: Tally) -> Callable[[Any], bool]:
    """Replaces the personal data of a document and counts it; every document stays."""
    kinds = kinds_of(settings)

    def redact(document: Any) -> bool:
        found = find_personal_data(document.text, kinds)
        document.text = replace(document.text, found)
        moved = 0
        for kind, start, end in found:
            tally.redacted[kind].add(end - start)
            # From the new text, so that no example keeps what the corpus must not.
            place, length = start + moved, len(PLACEHOLDERS[kind])
            around = document.text[max(0, place - SHOWN_AROUND) : place + length + SHOWN_AROUND]
            tally.show(f"personal_data/{kind}", f"{document.id}:{start}", around)
            moved += length - (end - start)
        return True

    return redact


def exact_filter(places: Places, writer: Excluded | None = None) -> Any:
    from datatrove.pipeline.dedup.exact_dedup import ExactDedupFilter  # noqa: PLC0415

    return ExactDedupFilter(str(places.work / "exact" / "duplicates"), exact_config(), writer)


@dataclass(frozen=True)
class Summarize:
    """Joins the tallies of all tasks into cleaning.json, and draws the page from it."""

    settings: CleaningSettings
    shards: tuple[Shard, ...]
    places: Places
    fingerprint: str
    draw: Callable[[Path], None]

    def __call__(self, data: object, rank: int, world_size: int) -> None:
        ranks = range(len(self.shards))
        tallies = [self.places.tally(stage, number) for stage in ("filter", "write") for number in ranks]
        write_summary(self.places.out, tallies, self._documents_of, self.settings, self.fingerprint)
        self.draw(self.places.out)

    def _documents_of(self, rank: int) -> Iterator[Any]:
        """Of one shard, without its exact duplicates."""
        documents = ReadKept(self.places, "summary")(None, rank, len(self.shards))
        if self.settings.exact_duplicates:
            return iter(exact_filter(self.places)(documents, rank, len(self.shards)))
        return documents


def stages_of(
    settings: CleaningSettings,
    shards: tuple[Shard, ...],
    places: Places,
    *,
    fingerprint: str,
    draw: Callable[[Path], None],
) -> list[Stage]:
    """All stages in their order; each needs those before it."""
    stages = [Stage("filter", (FilterShard(settings, shards, places),), len(shards))]
    if settings.exact_duplicates:
        stages += _exact_stages(places, len(shards))
    if settings.near_duplicates:
        stages += _near_stages(settings, places, len(shards))
    write = (ReadKept(places, "write"), WriteShard(settings, shards, places))
    summarize = Summarize(settings, shards, places, fingerprint, draw)
    return [*stages, Stage("write", write, len(shards)), Stage("summary", (summarize,), 1)]


def many_files(data: Any = None, rank: int = 0, world_size: int = 1) -> Any:
    """A step before those that read all shards' hashes at once: a program may open more files only once it asks to."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows has no such limit
        import resource  # noqa: PLC0415

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    return data


def _exact_stages(places: Places, shards: int) -> list[Stage]:
    from datatrove.pipeline.dedup.exact_dedup import ExactDedupSignature, ExactFindDedups  # noqa: PLC0415

    folder = places.work / "exact"
    hashes, duplicates = str(folder / "hashes"), str(folder / "duplicates")
    return [
        Stage("exact_hash", (ReadKept(places, "exact_hash"), ExactDedupSignature(hashes, exact_config())), shards),
        Stage(
            "exact_find", (many_files, ExactFindDedups(hashes, duplicates, exact_config(), lines_to_buffer=BUFFERED)), 1
        ),
    ]


def _near_stages(settings: CleaningSettings, places: Places, shards: int) -> list[Stage]:
    from datatrove.pipeline.dedup.minhash import MinhashDedupBuckets  # noqa: PLC0415

    from gptwright.cleaning.signatures import BookSignature  # noqa: PLC0415
    from gptwright.cleaning.words import WORDS  # noqa: PLC0415

    assert settings.near_duplicates  # the caller asked
    near = settings.near_duplicates
    folder = places.work / "near"
    config = minhash_config(near, settings.seed)
    signatures, pairs = folder / "signatures", folder / "pairs"
    read = [ReadKept(places, "near_hash"), *([exact_filter(places)] if settings.exact_duplicates else [])]
    keep = KeepFirst(signatures, pairs, folder / "removals", near)
    return [
        Stage("near_hash", (*read, BookSignature(str(signatures), config, language=WORDS)), shards),
        Stage("near_meet", (many_files, MinhashDedupBuckets(str(signatures), str(pairs), config=config)), near.buckets),
        Stage("near_keep", (keep,), 1),
    ]
