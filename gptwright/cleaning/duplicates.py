"""Which documents are equal or nearly so, over all shards. datatrove finds the candidates; the first of each is kept.

datatrove's own clustering keeps whichever member of a cluster it likes, compares nobody, and does not say of what a
removed document is a copy. `KeepFirst` stands in its place.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gptwright.cleaning.settings import NearDuplicates
from gptwright.data.atomic import open_atomically

Place = tuple[int, int]
"""(shard, number of the document in it)."""
PAIR = struct.Struct("<4I")
MOST_PRIORITY = 65_535


def exact_config() -> Any:
    """Equal but for white space and case; of equals, the one in the first shard has priority."""
    from datatrove.pipeline.dedup.exact_dedup import ExactDedupConfig  # noqa: PLC0415

    return ExactDedupConfig(content_getter=_plain, document_priority=_priority)


def _plain(document: Any) -> str:
    return " ".join(document.text.lower().split())


def _priority(document: Any) -> int:
    return MOST_PRIORITY - int(document.metadata["rank"])


def minhash_config(settings: NearDuplicates, seed: int) -> Any:
    from datatrove.pipeline.dedup.minhash import MinhashConfig  # noqa: PLC0415
    from datatrove.utils.text import TextNormConfig  # noqa: PLC0415

    return MinhashConfig(
        n_grams=settings.n_grams,
        num_buckets=settings.buckets,
        hashes_per_bucket=settings.hashes,
        seed=seed + 1,
        # By default every number becomes 0, and all pages of sums are the same.
        norm_config=TextNormConfig(norm_numbers=False),
    )


@dataclass(frozen=True)
class KeepFirst:
    """From pairs that met in a bucket to a file per shard of what must go: rows (number, kept shard, kept number).

    Pairs too unlike each other are dropped by the share of all their hashes that are equal, an estimate of the Jaccard
    similarity with a standard error of at most 0.5 / sqrt(buckets * hashes). What then hangs together is one cluster.
    Memory grows with the documents that met one like them, not with the corpus.
    """

    signatures: Path
    pairs: Path
    removals: Path
    settings: NearDuplicates

    def __call__(self, data: object, rank: int, world_size: int) -> None:
        candidates = set(_read_pairs(self.pairs))
        needed = defaultdict(set)
        for place in (place for pair in candidates for place in pair):
            needed[place[0]].add(place[1])
        known: dict[Place, np.ndarray] = {}
        for shard, numbers in needed.items():
            known.update(self._signatures(shard, numbers))
        parents: dict[Place, Place] = {}
        for one, other in sorted(candidates):
            if np.mean(known[one] == known[other]) >= self.settings.similarity:
                _unite(parents, one, other)
        removed = defaultdict(list)
        for place in sorted(parents):
            first = _root(parents, place)
            if first != place:
                removed[place[0]].append((place[1], *first))
        for shard, rows in removed.items():
            with open_atomically(self.removals / f"{shard:05d}.npy") as file:
                np.save(file, np.array(rows, dtype=np.uint32))

    def _signatures(self, shard: int, numbers: set[int]) -> Iterator[tuple[Place, np.ndarray]]:
        """(place, all its hashes) of some documents of a shard."""
        hashes = self.settings.hashes
        row = np.dtype([("hashes", "<u8", (hashes,)), ("number", "<u4")])
        wanted = np.array(sorted(numbers), dtype=np.uint32)
        table = np.empty((len(wanted), self.settings.buckets, hashes), dtype=np.uint64)
        for bucket in range(self.settings.buckets):
            rows = np.fromfile(self.signatures / f"bucket_{bucket:03d}" / f"{shard:05d}.minhash.sig", dtype=row)
            rows = rows[np.isin(rows["number"], wanted)]
            table[np.searchsorted(wanted, rows["number"]), bucket] = rows["hashes"]
        for number, signature in zip(wanted.tolist(), table, strict=True):
            yield (shard, number), signature.ravel()


def _read_pairs(folder: Path) -> Iterator[tuple[Place, Place]]:
    """Pairs of places, the earlier first."""
    for file in sorted(folder.glob("*.dups")):
        for shard, number, other_shard, other_number in PAIR.iter_unpack(file.read_bytes()):
            one, other = sorted(((shard, number), (other_shard, other_number)))
            yield one, other


def _root(parents: dict[Place, Place], place: Place) -> Place:
    while parents.get(place, place) != place:
        parents[place] = parents[parents[place]]
        place = parents[place]
    return place


def _unite(parents: dict[Place, Place], one: Place, other: Place) -> None:
    """Into one cluster, whose root is its first member."""
    first, last = sorted((_root(parents, one), _root(parents, other)))
    parents[first] = first
    parents[last] = first


def read_removals(folder: Path, rank: int) -> dict[int, Place]:
    """Number of each document of a shard that must go, with the place of the one that is kept instead."""
    path = folder / f"{rank:05d}.npy"
    if not path.is_file():
        return {}
    return {number: (shard, kept) for number, shard, kept in np.load(path).tolist()}


def numbered(documents: Iterable[Any]) -> Iterator[Any]:
    """The documents, each with its number in the shard, which is what removals name."""
    for number, document in enumerate(documents):
        document.metadata["number"] = number
        yield document
