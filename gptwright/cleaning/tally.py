"""What happened to the documents of a shard, and why: counts, seconds, and a few examples for people to look at.

The examples are those with the smallest hashes, so they are a sample by chance, the same in every run, and those of a
source are found by joining its shards' own.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gptwright.data.atomic import write_bytes_atomically

EXAMPLES = 10
EXCERPT = 600
"""Characters of a document that an example shows."""
EDGE = 100
"""More of them that are kept until personal data is taken out of it, lest a piece be cut and not be known."""


@dataclass
class Count:
    """Documents (or lines, or pieces) and their characters."""

    number: int = 0
    characters: int = 0

    def add(self, characters: int, number: int = 1) -> None:
        self.number += number
        self.characters += characters


@dataclass
class Work:
    """What one step looked at, and how long that took."""

    documents: int = 0
    bytes: int = 0
    seconds: float = 0.0


def _counts() -> defaultdict[str, Count]:
    return defaultdict(Count)


@dataclass
class Tally:
    """Of one shard, or of several of one source joined."""

    source: str
    seed: int
    read: Count = field(default_factory=Count)
    written: Count = field(default_factory=Count)
    removed: defaultdict[str, Count] = field(default_factory=_counts)
    """Whole documents, by reason."""
    trimmed: defaultdict[str, Count] = field(default_factory=_counts)
    """Lines of documents that stayed, by reason."""
    redacted: defaultdict[str, Count] = field(default_factory=_counts)
    """Pieces of personal data, by kind."""
    steps: defaultdict[str, Work] = field(default_factory=lambda: defaultdict(Work))
    examples: defaultdict[str, list[tuple[str, dict[str, Any]]]] = field(default_factory=lambda: defaultdict(list))
    """By reason: (hash, example)."""

    def remove(self, reason: str, document: Any, **more: Any) -> None:
        """One document goes, for this reason."""
        self.removed[reason].add(len(document.text))
        self.show(reason, document.id, document.text, **more)

    def show(self, reason: str, id: str, text: str, **more: Any) -> None:
        """Keep an example, if it is among those with the smallest hashes."""
        hashed = hashlib.sha256(f"{self.seed} {reason} {self.source} {id} {text[:200]}".encode()).hexdigest()[:16]
        known = self.examples[reason]
        if len(known) < EXAMPLES or hashed < known[-1][0]:
            known.append((hashed, {"id": id, "text": text[: EXCERPT + EDGE], **more}))
            known.sort(key=lambda pair: pair[0])
            del known[EXAMPLES:]

    def timed(self, step: str, documents: Iterable[Any], judge: Callable[[Any], bool]) -> Iterator[Any]:
        """The documents for which `judge` says yes, while documents, bytes and seconds are counted."""
        work = self.steps[step]
        for document in documents:
            work.documents += 1
            work.bytes += len(document.text.encode())
            started = time.perf_counter()
            stays = judge(document)
            work.seconds += time.perf_counter() - started
            if stays:
                yield document

    def join(self, other: Tally) -> None:
        """Add what another tally of the same source holds."""
        for mine, theirs in ((self.read, other.read), (self.written, other.written)):
            mine.add(theirs.characters, theirs.number)
        for name in ("removed", "trimmed", "redacted"):
            for reason, count in getattr(other, name).items():
                getattr(self, name)[reason].add(count.characters, count.number)
        for step, work in other.steps.items():
            total = self.steps[step]
            total.documents, total.bytes = total.documents + work.documents, total.bytes + work.bytes
            total.seconds += work.seconds
        for reason, examples in other.examples.items():
            joined = sorted([*self.examples[reason], *examples], key=lambda pair: pair[0])
            self.examples[reason] = joined[:EXAMPLES]

    def save(self, path: Path) -> None:
        value = vars(self) | {"read": vars(self.read), "written": vars(self.written)}
        for name in ("removed", "trimmed", "redacted", "steps"):
            value[name] = {key: vars(count) for key, count in getattr(self, name).items()}
        write_bytes_atomically(path, json.dumps(value, ensure_ascii=False).encode())

    @classmethod
    def load(cls, path: Path) -> Tally:
        value = json.loads(path.read_text(encoding="utf-8"))
        tally = cls(value["source"], value["seed"], Count(**value["read"]), Count(**value["written"]))
        for name in ("removed", "trimmed", "redacted"):
            getattr(tally, name).update({key: Count(**count) for key, count in value[name].items()})
        tally.steps.update({key: Work(**work) for key, work in value["steps"].items()})
        tally.examples.update({key: [(h, e) for h, e in pairs] for key, pairs in value["examples"].items()})
        return tally
