"""Puts the sections into the page and the page into the run directory: `write_report(Path("runs/quickstart"))`.

The page is one HTML file without script or outside request; the same run gives the same bytes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gptwright.report import evaluation_sections, training_sections
from gptwright.report.blocks import Section
from gptwright.report.extras import require
from gptwright.report.run_files import RunFiles, read_run

FILE_NAME = "report.html"


def sections(run: RunFiles) -> tuple[Section, ...]:
    """All sections, in the order in which they are read."""
    return (
        evaluation_sections.headline_section(run),
        evaluation_sections.stages_section(run),
        training_sections.corpus_section(run),
        training_sections.pretraining_section(run),
        training_sections.sft_section(run),
        training_sections.reward_section(run),
        training_sections.ppo_section(run),
        evaluation_sections.use_case_section(run),
        evaluation_sections.win_rate_section(run),
        evaluation_sections.panel_section(run),
        evaluation_sections.diversity_section(run),
        evaluation_sections.definitions_section(),
    )


def render_report(run_dir: Path) -> str:
    """The page of a run as HTML."""
    headline, *others = sections(read_run(run_dir))
    return render_page(headline, others)


def render_page(headline: Section, others: Sequence[Section]) -> str:
    """Any page of this look, as HTML."""
    jinja2 = require("jinja2")
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    page: str = environment.get_template("page.html").render(headline=headline, sections=others)
    return page


def write_report(run_dir: Path) -> Path:
    """Writes report.html into the run directory, whole or not at all."""
    return write_page(run_dir / FILE_NAME, render_report(run_dir))


def write_page(target: Path, page: str) -> Path:
    """Writes a page, whole or not at all."""
    handle, unfinished = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(page)
        Path(unfinished).chmod(0o644)  # mkstemp lets only its maker read
        Path(unfinished).replace(target)
    finally:
        Path(unfinished).unlink(missing_ok=True)
    return target
