"""Behind `gptwright data clean`: settings from the command line, then what was removed as a table or as JSON."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from gptwright.cleaning.run import clean
from gptwright.cleaning.settings import load_settings
from gptwright.cli.disk import report_full_disk
from gptwright.errors import InputError, pip_install
from gptwright.report.cleaning_page import FILE_NAME, write_cleaning_page
from gptwright.train.progress import say

SHOWN_REASONS = 6


def clean_corpus(out: Path, sources: list[str], settings: Path | None, overrides: list[str], *, as_json: bool) -> None:
    """Clean what SOURCE arguments and the settings name, and say what went."""
    given = {}
    for source in sources:
        name, equals, origin = source.partition("=")
        if not equals or not name or not origin:
            raise InputError(f"source {source!r} must look like NAME=PATH, for example books=books/*.txt")
        given[name] = origin
    loaded = load_settings(settings, given, overrides)
    with report_full_disk(out):
        result = clean(loaded, out, draw_page)
    if result is None:
        return
    if as_json:
        sys.stdout.write(json.dumps({key: result[key] for key in ("sources", "steps")}) + "\n")
        return
    sys.stdout.write(as_text(result["sources"]) + "\n")
    say(f"documents: {out / 'documents'}; what went and why: {out / FILE_NAME}")


def draw_page(folder: Path) -> None:
    """cleaning.html, where the extra `report` is installed; hours of cleaning don't end in an error without it."""
    if importlib.util.find_spec("jinja2") is None:
        say(f"no {FILE_NAME}: it needs jinja2, which is not installed: {pip_install('report')}")
    else:
        write_cleaning_page(folder)


def as_text(sources: dict[str, Any]) -> str:
    """The counts as people read them."""
    lines = [f"{'source':<20}{'documents':>11}{'kept':>10}{'characters':>14}{'kept':>8}  removed for"]
    for name, source in sources.items():
        reasons = [f"{reason} {count:,}" for reason, count in list(source["removed"].items())[:SHOWN_REASONS]]
        more = len(source["removed"]) - len(reasons)
        told = ", ".join(reasons) + (f", {more} more" if more > 0 else "")
        lines.append(
            f"{name[:19]:<20}{source['documents_in']:>11,}{source['documents_out']:>10,}{source['characters_in']:>14,}"
            f"{source['characters_out'] / max(1, source['characters_in']):>8.1%}  {told}".rstrip()
        )
    return "\n".join(lines)
