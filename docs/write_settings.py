"""Writes the tables of settings in docs/recipes.md and docs/data.md from the fields in the code, so that they can't
differ.

.venv/bin/python docs/write_settings.py
"""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from gptwright.cleaning.settings import CleaningSettings, Slurm
from gptwright.corpus_settings import SourceSettings
from gptwright.practice_settings import GuardSettings
from gptwright.recipe import OptimizerSettings, Recipe, Section
from gptwright.reward_settings import RewardPart

PAGE = Path(__file__).parent / "recipes.md"
DATA_PAGE = Path(__file__).parent / "data.md"
REWARD_PARTS: tuple[type[Section], ...] = get_args(get_args(RewardPart)[0])
BEGIN, END = "<!-- settings: written by docs/write_settings.py -->\n", "<!-- /settings -->\n"


def with_tables(page: str) -> str:
    """The page of recipes with everything between its two markers written anew."""
    sections = {name: _section_of(field.annotation) for name, field in Recipe.model_fields.items()}
    tables = [_table(f"`{name}`", section) for name, section in sections.items() if section]
    tables.append(_table("A source, in `data.sources`", SourceSettings))
    tables.append(_table("The guard, in `ppo.guard` and `grpo.guard`", GuardSettings))
    tables += [_table(f"A part of a reward: `kind: {_kind(part)}`", part) for part in REWARD_PARTS]
    tables.append(_table("An optimizer, wherever a stage has one", OptimizerSettings))
    return _put_between(page, tables)


def with_cleaning_tables(page: str) -> str:
    """The same for the page of data: the settings of `gptwright data clean`."""
    sections = {name: _section_of(field.annotation) for name, field in CleaningSettings.model_fields.items()}
    tables = [_table("All of it", CleaningSettings)]
    tables += [_table(f"`{name}`", section) for name, section in sections.items() if section]
    return _put_between(page, [*tables, _table("`executor.slurm`", Slurm)])


def _kind(part: type[Section]) -> str:
    return str(get_args(part.model_fields["kind"].annotation)[0])


def _put_between(page: str, tables: list[str]) -> str:
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{''.join(tables)}{END}{after}"


def _table(title: str, section: type[Section]) -> str:
    rows = [f"### {title}\n", "| setting | default | meaning |", "| --- | --- | --- |"]
    meanings = _docstrings_of_fields(section)
    for name, field in section.model_fields.items():
        choices = ", ".join(
            f"`{choice}`" for choice in get_args(field.annotation) if get_origin(field.annotation) is Literal
        )
        meaning = ". ".join(
            part for part in (meanings.get(name, "").rstrip("."), choices and f"One of {choices}") if part
        )
        default = "needed" if field.is_required() else _default(field.get_default(call_default_factory=True))
        rows.append(f"| `{name}` | {default} | {meaning} |")
    return "\n".join(rows) + "\n\n"


def _section_of(annotation: Any) -> type[Section] | None:
    options = [annotation, *get_args(annotation)]
    return next((option for option in options if isinstance(option, type) and issubclass(option, Section)), None)


def _default(value: Any) -> str:
    if isinstance(value, Section):
        plain = type(value)().model_dump()
        changes = [f"`{name}: {_yaml(new)}`" for name, new in value.model_dump().items() if new != plain[name]]
        return "as below" + (f" with {', '.join(changes)}" if changes else "")
    if isinstance(value, dict):
        value = {name: _changes(each) if isinstance(each, Section) else each for name, each in value.items()}
    return f"`{_yaml(value)}`"


def _changes(section: Section) -> dict[str, Any]:
    """What makes it another section of its kind, as one would write it."""
    plain = {name: field.default for name, field in type(section).model_fields.items()}
    return {name: value for name, value in section.model_dump().items() if name == "kind" or value != plain[name]}


def _yaml(value: Any) -> str:
    return f"{value:_}" if type(value) is int else json.dumps(value).strip('"')


def _docstrings_of_fields(section: type[Section]) -> dict[str, str]:
    inherited = {}
    for base in section.__bases__:
        if issubclass(base, Section) and base is not Section:
            inherited |= _docstrings_of_fields(base)
    body = ast.parse(inspect.getsource(section)).body[0]
    assert isinstance(body, ast.ClassDef)
    return inherited | {
        field.target.id: " ".join(below.value.value.split())
        for field, below in zip(body.body, body.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    DATA_PAGE.write_text(with_cleaning_tables(DATA_PAGE.read_text(encoding="utf-8")), encoding="utf-8")
