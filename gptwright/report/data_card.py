"""The data card of a corpus: card.json, and card.html where the extra `report` is installed.

One row a source: share, epochs, bytes, documents, tokens, licence; what is held out; what cleaning removed and why.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gptwright.report import wording
from gptwright.report.blocks import Section, Table, Tile, Tiles
from gptwright.report.page import render_page

Card = Mapping[str, Any]


def write_data_card(folder: Path, card: Card) -> None:
    """Both files, or card.json alone where jinja2 is missing."""
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    if importlib.util.find_spec("jinja2"):
        page = render_page("gptwright data card", _headline(card), _sections(card))
        (folder / "card.html").write_text(page, encoding="utf-8")


def _headline(card: Card) -> Section:
    sources = card["sources"]
    tiles = Tiles(
        (
            Tile("sources", f"{len(sources)}", ""),
            Tile("text", f"{wording.count(_sum(sources, 'bytes'))} bytes", f"{_sum(sources, 'documents'):,} documents"),
            Tile(
                "tokens", wording.count(_sum(sources, "tokens")), f"vocabulary of {card['tokenizer']['vocab_size']:,}"
            ),
            Tile("tokens read", wording.count(card["tokens_read"]), f"in rows of {card['context']:,}"),
        )
    )
    intro = "What the base model reads: where each source comes from, how much of it there is and how often it is read."
    return Section("card", card["recipe"], intro, (tiles,))


def _sections(card: Card) -> tuple[Section, ...]:
    sources = card["sources"]
    amounts = Table(
        "By source. Share: of the tokens that are read. Epochs: how often the whole source is read.",
        ("source", "share", "epochs", "bytes", "documents", "tokens"),
        tuple(
            (source["name"], wording.percent(source["share"]), f"{source['epochs']:.2f}", *_amounts(source))
            for source in sources
        ),
    )
    origins = Table(
        "Where it comes from, and under which terms.",
        ("source", "origin", "licence"),
        tuple((source["name"], source["origin"], source["licence"] or "not stated") for source in sources),
        prose=True,
    )
    held_out = Table(
        f"Never trained on, for validation: {wording.percent(card['held_out_share'])} of the text was asked for.",
        ("source", "bytes", "documents", "tokens"),
        tuple((source["name"], *_amounts(source["held_out"])) for source in sources),
    )
    return (
        Section("sources", "Sources", "The text that training draws from.", (amounts, origins)),
        Section("held-out", "Held-out text", "Documents, or the end of one, that training never sees.", (held_out,)),
        _cleaning(sources),
    )


def _cleaning(sources: list[Card]) -> Section:
    cleaned = [(source["name"], source["cleaning"]) for source in sources if source["cleaning"]]
    intro = "What gptwright data clean took away before the text was read here, and why."
    if not cleaned:
        missing = "No source was cleaned by gptwright data clean: what else was removed from it is not known here."
        return Section("cleaning", "Cleaning", intro, (), (missing,))
    counts = Table(
        "Documents before and after cleaning.",
        ("source", "before", "after", "kept"),
        tuple(
            (
                name,
                f"{entry['documents_in']:,}",
                f"{entry['documents_out']:,}",
                wording.percent(entry["documents_out"] / max(1, entry["documents_in"])),
            )
            for name, entry in cleaned
        ),
    )
    reasons = Table(
        "Documents removed, by reason.",
        ("reason", "source", "documents"),
        tuple((reason, name, f"{count:,}") for name, entry in cleaned for reason, count in entry["removed"].items()),
    )
    return Section("cleaning", "Cleaning", intro, (counts, reasons))


def _amounts(counts: Card) -> tuple[str, str, str]:
    return f"{counts['bytes']:,}", f"{counts['documents']:,}", f"{counts['tokens']:,}"


def _sum(sources: list[Card], key: str) -> int:
    return sum(source[key] for source in sources)
