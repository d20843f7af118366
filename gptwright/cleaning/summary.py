"""cleaning.json: per source what came in, what went and why, what was changed, what came out, and examples of each.

{"sources": {NAME: {"documents_in", "documents_out", "characters_in", "characters_out", "removed": {REASON: count},
                    "removed_characters", "trimmed", "redacted", "examples": {REASON: [{"id", "text", ...}]}}},
 "steps": {STEP: {"documents", "bytes", "seconds"}},
 "settings": {...}}
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gptwright.cleaning.personal_data import kinds_of, redact
from gptwright.cleaning.settings import CleaningSettings
from gptwright.cleaning.tally import EDGE, EXCERPT, Tally
from gptwright.data.atomic import write_bytes_atomically
from gptwright.errors import InputError

FILE_NAME = "cleaning.json"


def write_summary(
    out: Path,
    tallies: Iterable[Path],
    documents_of: Callable[[int], Iterable[Any]],
    settings: CleaningSettings,
    fingerprint: str,
) -> None:
    """Joins the tallies of all tasks. `documents_of` gives a shard's documents as near-duplicates were numbered.

    Raises InputError for a source without text.
    """
    sources: dict[str, Tally] = {}
    for path in tallies:
        tally = Tally.load(path)
        sources.setdefault(tally.source, Tally(tally.source, tally.seed)).join(tally)
    for name, tally in sources.items():
        if not tally.read.number:
            raise InputError(f"source {name} holds no text: give files with text in them, or remove it")
    _tell_what_was_kept(sources, documents_of)
    _cut_to_show(sources, settings)
    steps = Tally("", 0)
    for tally in sources.values():
        steps.join(tally)
    value = {
        "sources": {name: _as_json(tally) for name, tally in sources.items()},
        "steps": {name: vars(work) for name, work in steps.steps.items()},
        "settings": settings.model_dump(mode="json", exclude={"executor"}),
        "fingerprint": fingerprint,
    }
    content = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    write_bytes_atomically(out / FILE_NAME, content.encode())


def _as_json(tally: Tally) -> dict[str, Any]:
    most_first = sorted(tally.removed.items(), key=lambda item: (-item[1].number, item[0]))
    return {
        "documents_in": tally.read.number,
        "documents_out": tally.written.number,
        "characters_in": tally.read.characters,
        "characters_out": tally.written.characters,
        "removed": {reason: count.number for reason, count in most_first},
        "removed_characters": {reason: count.characters for reason, count in most_first},
        "trimmed": {reason: vars(count) for reason, count in sorted(tally.trimmed.items())},
        "redacted": {kind: count.number for kind, count in sorted(tally.redacted.items())},
        "examples": {reason: [example for _, example in rows] for reason, rows in sorted(tally.examples.items())},
    }


def _cut_to_show(sources: dict[str, Tally], settings: CleaningSettings) -> None:
    """Examples at the length that is shown, without the personal data that the corpus must not have."""
    kinds = kinds_of(settings.personal_data) if settings.personal_data else ()
    for tally in sources.values():
        for _, example in (pair for pairs in tally.examples.values() for pair in pairs):
            for shown in (example, example.get("kept")):
                if isinstance(shown, dict):
                    shown["text"] = redact(shown["text"], kinds)[:EXCERPT]


def _tell_what_was_kept(sources: dict[str, Tally], documents_of: Callable[[int], Iterable[Any]]) -> None:
    """Beside each example of a near-duplicate, the document that was kept in its place."""
    waiting: defaultdict[int, defaultdict[int, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for tally in sources.values():
        for _, example in tally.examples.get("duplicate/near", ()):
            rank, number = example["kept"]
            waiting[rank][number].append(example)
    for rank, by_number in waiting.items():
        for number, document in enumerate(documents_of(rank)):
            for example in by_number.get(number, ()):
                example["kept"] = {
                    "id": document.id,
                    "source": document.metadata["source"],
                    "text": document.text[: EXCERPT + EDGE],
                }
