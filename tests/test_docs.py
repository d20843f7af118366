"""What the pages say is so: settings, links, recipes named in commands, the commands themselves."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gptwright.recipe import Recipe, load_recipe

ROOT = Path(__file__).resolve().parent.parent
# docs/design.md also names commands and files that are still to come.
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(set((ROOT / "docs").glob("*.md")) - {ROOT / "docs/design.md"}),
]
RECIPES_PAGE = ROOT / "docs" / "recipes.md"


def code_of(page: Path) -> str:
    """Everything that stands in backquotes, one piece per line."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", text)])


def test_tables_of_settings_are_those_of_the_recipe() -> None:
    page = RECIPES_PAGE.read_text(encoding="utf-8")
    written = runpy.run_path(str(ROOT / "docs" / "write_settings.py"))["with_tables"](page)
    assert page == written, "run: .venv/bin/python docs/write_settings.py"


def test_tables_of_cleaning_are_those_of_its_settings() -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    written = runpy.run_path(str(ROOT / "docs" / "write_settings.py"))["with_cleaning_tables"](page)
    assert page == written, "run: .venv/bin/python docs/write_settings.py"


def test_example_recipe_is_valid() -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```", RECIPES_PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert Recipe.model_validate(yaml.safe_load(example)).name == "mine"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_recipes_and_overrides_in_commands_load(page: Path) -> None:
    for name, options in re.findall(r"gptwright run ([a-z]+)(?=\s|$)([^#\n]*)", code_of(page)):
        assert load_recipe(name, re.findall(r"-o (\S+)", options)).name == name


def test_commands_exist() -> None:
    named = {command for page in PAGES for command in re.findall(r"gptwright ([a-z][a-z-]*)\b(?!\.)", code_of(page))}
    call = [sys.executable, "-c", "from gptwright.cli.main import main; main()", "--help"]
    shown = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert named - set(re.findall(r"[a-z][a-z-]*", shown)) == set()
