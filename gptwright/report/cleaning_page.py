"""cleaning.html: what a cleaning removed and why, with examples, from its cleaning.json. Needs the extra `report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gptwright.report.blocks import Answer, Card, Cards, Definitions, Section, Table, Tile, Tiles
from gptwright.report.page import render_page, write_whole

FILE_NAME = "cleaning.html"

MEANINGS: tuple[tuple[str, str], ...] = (
    ("contamination/", "holds a run of words of that evaluation"),
    ("language/uncertain", "in a wanted language, but the detector was not sure enough"),
    ("language/", "in another language, by its code"),
    ("gopher_repetition/", "the same lines, paragraphs or runs of words again and again"),
    ("gopher_quality/short_doc", "too few words"),
    ("gopher_quality/long_doc", "too many words"),
    ("gopher_quality/below_avg_threshold", "words too short on average"),
    ("gopher_quality/above_avg_threshold", "words too long on average"),
    ("gopher_quality/below_alpha_threshold", "too many words without a letter"),
    ("gopher_quality/enough_stop_words", "too few of the, be, to, of, and, that, have, with"),
    ("gopher_quality/", "too many of these signs for its words or lines"),
    ("c4/too_few_sentences", "too few sentences after its bad lines went"),
    ("c4/lorem_ipsum", "text that holds a place for other text"),
    ("c4/curly_bracket", "a curly bracket, so probably code"),
    ("c4/line_", "single lines that went from documents that stayed"),
    ("fineweb/line_punct_ratio", "too few lines end in punctuation"),
    ("fineweb/short_line_ratio", "too many short lines"),
    ("fineweb/char_dup_ratio", "too much of it in lines that stood before"),
    ("fineweb/list_ratio", "too many line breaks for its words"),
    ("duplicate/exact", "equal to an earlier document but for white space and case"),
    ("duplicate/near", "about the same as an earlier document (MinHash)"),
    ("personal_data/", "replaced in documents that stayed; the examples show what stood around it"),
)


def meaning(reason: str) -> str:
    """What a reason of cleaning.json says: "language/de" -> "in another language, by its code"."""
    return next((words for beginning, words in MEANINGS if reason.startswith(beginning)), "")


def write_cleaning_page(folder: Path) -> Path:
    """Draws the page of the cleaning.json in a folder. Raises InputError when jinja2 is missing."""
    summary = json.loads((folder / "cleaning.json").read_text(encoding="utf-8"))
    page = render_page("gptwright data clean", _headline(summary), tuple(_sections(summary)))
    write_whole(folder / FILE_NAME, page.encode())
    return folder / FILE_NAME


def _headline(summary: dict[str, Any]) -> Section:
    sources = summary["sources"].values()
    total = {key: sum(source[key] for source in sources) for key in ("documents_in", "documents_out")}
    characters = [sum(source[key] for source in sources) for key in ("characters_in", "characters_out")]
    redacted = sum(sum(source["redacted"].values()) for source in sources)
    tiles = (
        Tile("documents", f"{total['documents_out']:,}", f"of {total['documents_in']:,}"),
        Tile("characters", f"{characters[1] / max(1, characters[0]):.1%}", f"of {characters[0]:,} kept"),
        Tile("personal data", f"{redacted:,}", "pieces replaced"),
    )
    intro = "What was taken out before training, and why. The rules are settings; judge them by their examples."
    return Section("cleaning", "Corpus cleaning", intro, (Tiles(tiles),))


def _sections(summary: dict[str, Any]) -> list[Section]:
    sources: dict[str, Any] = summary["sources"]
    return [_sources(sources), _reasons(sources), _speed(summary["steps"]), *_examples(sources), _definitions(sources)]


def _sources(sources: dict[str, Any]) -> Section:
    rows = tuple(
        (
            name,
            f"{source['documents_in']:,}",
            f"{source['documents_out']:,}",
            f"{source['characters_in']:,}",
            f"{source['characters_out']:,}",
            f"{source['characters_out'] / max(1, source['characters_in']):.1%}",
        )
        for name, source in sources.items()
    )
    head = ("", "documents in", "documents out", "characters in", "characters out", "kept")
    return Section("sources", "Sources", "What came in and what is left.", (Table("By source", head, rows),))


def _counts(source: dict[str, Any]) -> dict[str, int]:
    """Of one source: documents, lines and pieces, by reason."""
    lines = {reason: count["number"] for reason, count in source["trimmed"].items()}
    pieces = {f"personal_data/{kind}": count for kind, count in source["redacted"].items()}
    return source["removed"] | lines | pieces


def _reasons(sources: dict[str, Any]) -> Section:
    counts = {name: _counts(source) for name, source in sources.items()}
    reasons = sorted({reason for source in counts.values() for reason in source})
    rows = tuple(
        (reason, *(f"{counts[name][reason]:,}" if reason in counts[name] else "" for name in counts))
        for reason in reasons
    )
    caption = "Documents removed; c4/line_ counts lines, and personal_data pieces, of documents that stayed"
    intro = "Each document is counted once, under the first rule that it failed."
    return Section("reasons", "Reasons", intro, (Table(caption, ("", *counts), rows),))


def _speed(steps: dict[str, Any]) -> Section:
    rows = tuple(
        (
            name,
            f"{work['documents']:,}",
            f"{work['documents'] / work['seconds']:,.0f}" if work["seconds"] else "",
            f"{work['bytes'] / 1e6 / work['seconds']:,.2f}" if work["seconds"] else "",
        )
        for name, work in steps.items()
    )
    head = ("", "documents", "documents/s", "MB/s")
    intro = "What each rule looked at, and how fast one core was at it."
    return Section("speed", "Speed", intro, (Table("By step", head, rows),))


def _examples(sources: dict[str, Any]) -> list[Section]:
    """A section a source, with a few examples of each reason, drawn by chance."""
    sections = []
    for name, source in sources.items():
        cards = tuple(
            Card(f"{reason}: {meaning(reason)}", row["text"], _beside(row))
            for reason, rows in source["examples"].items()
            for row in rows
        )
        if cards:
            intro = "The beginning of each document, drawn by chance."
            sections.append(Section(f"examples-{name}", f"Examples: {name}", intro, (Cards(cards),)))
    return sections


def _beside(row: dict[str, Any]) -> tuple[Answer, ...]:
    """What an example is shown with: the document kept in its place, or the words that were found."""
    if "kept" in row:
        return (Answer(f"kept instead: {row['kept']['source']}", row["kept"]["text"], row["kept"]["id"], ""),)
    if "found" in row:
        return (Answer("found", row["found"], row["id"], ""),)
    return ()


def _definitions(sources: dict[str, Any]) -> Section:
    reasons = sorted({reason for source in sources.values() for reason in _counts(source)})
    terms = tuple((reason, meaning(reason)) for reason in reasons)
    return Section("definitions", "Definitions", "What each reason says.", (Definitions(terms),))
