"""Puts the sections into the page and the page into the run directory: `write_report(Path("runs/quickstart"))`.

The page is one HTML file without script or outside request; the same run gives the same bytes.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from gptwright.report import evaluation_sections, training_sections
from gptwright.report.blocks import Section
from gptwright.report.extras import require
from gptwright.report.practice_sections import practice_sections
from gptwright.report.reward_section import reward_section
from gptwright.report.run_files import RunFiles, read_run

FILE_NAME = "report.html"


MADE_BY = {"sft": "sft", "reward": "reward", "ppo": "ppo"} | dict.fromkeys(
    ("stages", "use-cases", "win-rates", "panel", "diversity"), "evaluate"
)
"""Section of the page -> section of the recipe; without the one the other has nothing to show."""


def sections(run: RunFiles) -> tuple[Section, ...]:
    """All sections that the recipe asks for, in the order in which they are read."""
    every = (
        evaluation_sections.headline_section(run),
        evaluation_sections.stages_section(run),
        training_sections.corpus_section(run),
        training_sections.pretraining_section(run),
        training_sections.sft_section(run),
        reward_section(run),
        *practice_sections(run),
        evaluation_sections.use_case_section(run),
        evaluation_sections.win_rate_section(run),
        evaluation_sections.panel_section(run),
        evaluation_sections.diversity_section(run),
        evaluation_sections.definitions_section(),
    )
    return tuple(section for section in every if section.blocks or MADE_BY.get(section.slug, "") not in run.unasked)


def render_report(run_dir: Path) -> str:
    """The page of a run as HTML."""
    headline, *others = sections(read_run(run_dir))
    return render_page("gptwright report", headline, tuple(others))


def render_page(kind: str, headline: Section, others: tuple[Section, ...]) -> str:
    """Sections as one HTML page; `kind` stands above its title. Raises InputError without the extra `report`."""
    jinja2 = require("jinja2")
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    page: str = environment.get_template("page.html").render(kind=kind, headline=headline, sections=others)
    return page


def write_report(run_dir: Path) -> Path:
    """Writes report.html into the run directory, whole or not at all."""
    target = run_dir / FILE_NAME
    write_whole(target, render_report(run_dir).encode())
    return target


def write_whole(target: Path, content: bytes) -> None:
    """A file that is complete or not there."""
    handle, unfinished = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(unfinished).chmod(0o644)  # mkstemp lets only its maker read
        Path(unfinished).replace(target)
    finally:
        Path(unfinished).unlink(missing_ok=True)
