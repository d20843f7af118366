"""What a corpus is made of, for card.json: each source with its origin, its licence, and what cleaning took away."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gptwright.corpus_settings import Origin, SourceSettings
from gptwright.data.rows import plain_name
from gptwright.data.sources import find_files
from gptwright.errors import InputError
from gptwright.recipe import Recipe

CLEANING_FILE = "cleaning.json"
"""What `gptwright data clean` leaves beside the files that it writes."""
_BUILTIN = {
    "python": ("the standard library of Python", "Python Software Foundation License"),
    "world": ("the built-in world, written by gptwright", "Apache-2.0, as gptwright"),
}


Cleaned = Mapping[str, dict[str, Any]]
"""By source, what cleaning took away; without those that were not cleaned."""


def what_was_cleaned(recipe: Recipe) -> Cleaned:
    """From the cleaning.json beside each source's files. Raises InputError for a damaged one."""
    found = {}
    for name, source in _asked(recipe).items():
        cleaned = _cleaning(name, source.files) if source.files is not None else None
        if cleaned is not None:
            found[name] = cleaned
    return found


def data_card(recipe: Recipe, manifest: Mapping[str, Any], vocab_size: int, cleaned: Cleaned) -> dict[str, Any]:
    """The card of the corpus that `manifest` describes."""
    world = SourceSettings(builtin="world", share=1.0)
    asked = dict.fromkeys((entry["name"] for entry in manifest["sources"]), world) | _asked(recipe)
    return {
        "recipe": recipe.name,
        "tokens_read": recipe.pretrain.tokens,
        "context": recipe.model.context,
        "held_out_share": recipe.data.held_out,
        "tokenizer": {"fingerprint": manifest["tokenizer"], "vocab_size": vocab_size},
        "sources": [_card_of(entry, asked[entry["name"]], cleaned.get(entry["name"])) for entry in manifest["sources"]],
    }


def _asked(recipe: Recipe) -> dict[str, Origin]:
    """The sources that a recipe names; none are the built-in world's."""
    data = recipe.data
    asked: dict[str, Origin] = {}
    if data.sources is not None:
        asked |= data.sources
    elif data.files is not None:
        asked["text"] = SourceSettings(files=data.files, share=1.0)
    if data.finish is not None:
        asked |= {name: source for name, source in data.finish.sources.items() if source.is_new}
    return asked


def _card_of(entry: Mapping[str, Any], source: Origin, cleaned: dict[str, Any] | None) -> dict[str, Any]:
    origin, licence = _origin(source)
    return {
        "name": entry["name"],
        "origin": origin,
        "licence": licence,
        **{key: entry[key] for key in ("share", "epochs", "bytes", "documents", "tokens")},
        "held_out": {key: entry[f"held_out_{key}"] for key in ("bytes", "documents", "tokens")},
        "cleaning": cleaned,
    }


def _origin(source: Origin) -> tuple[str, str | None]:
    if source.builtin is not None:
        origin, licence = _BUILTIN[source.builtin]
        return origin, source.licence or licence
    if source.hub is None:
        return str(source.files), source.licence
    parts = [f"config {source.config}" if source.config else "", f"split {source.split}"]
    parts.append(f"revision {source.revision}" if source.revision else "")
    return f"{source.hub} ({', '.join(part for part in parts if part)})", source.licence


def _cleaning(source: str, files: str) -> dict[str, Any] | None:
    """Sums over the cleaned files that were read: documents in and out, and how many were removed for each reason."""
    found: dict[tuple[Path, str], Mapping[str, Any]] = {}
    for file in find_files(files):
        for folder in file.parents[:3]:
            if not (folder / CLEANING_FILE).is_file():
                continue
            entries = _read(folder / CLEANING_FILE)
            # books.jsonl.gz beside it, a folder books/ of several, or documents/books/ as `data clean` leaves them
            name = plain_name(file) if folder == file.parent else file.parent.name
            name = name if name in entries else source
            if name in entries:
                found[folder, name] = entries[name]
            break
    if not found:
        return None
    removed: dict[str, int] = {}
    for entry in found.values():
        for reason, count in entry["removed"].items():
            removed[reason] = removed.get(reason, 0) + count
    totals = {key: sum(entry[key] for entry in found.values()) for key in ("documents_in", "documents_out")}
    return {**totals, "removed": dict(sorted(removed.items(), key=lambda item: (-item[1], item[0])))}


def _read(path: Path) -> dict[str, Mapping[str, Any]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["sources"]
        for entry in entries.values():
            int(entry["documents_in"]), int(entry["documents_out"]), sum(entry["removed"].values())
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path} is damaged ({type(error).__name__}: {error}): clean the files again, or delete it"
        ) from None
    return dict(entries)
