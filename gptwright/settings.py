"""What recipe sections are made of: counts and shares as people write them, frozen models, errors as one sentence."""

from __future__ import annotations

import difflib
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from gptwright.errors import InputError

_UNITS = {"k": 1_000, "m": 1_000_000, "b": 1_000_000_000, "g": 1_000_000_000}


def parse_count(value: Any) -> Any:
    """'20M' -> 20_000_000, '64k' -> 64_000, 1e6 -> 1_000_000; anything else is left to pydantic."""
    if isinstance(value, str) and value[-1:].lower() in _UNITS:
        try:
            return round(float(value[:-1]) * _UNITS[value[-1].lower()])
        except (ValueError, OverflowError):  # 'infk' overflows
            return value
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count = Annotated[int, BeforeValidator(parse_count), Field(ge=1)]
CountOrNone = Annotated[int, BeforeValidator(parse_count), Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, le=2**40)]
"""Every draw's own seed is one of these times a million and a little: together they must fit into 64 bits."""


class Section(BaseModel):
    """A part of a recipe: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _lay_over_defaults(cls, values: Any) -> Any:
        """One setting of an inner section leaves that section's other defaults as this section has them.

        Without it `ppo.policy.learning_rate: 1e-4` would also bring back Muon.
        """
        if not isinstance(values, dict):
            return values
        defaults = {name: cls.model_fields[name].default for name in values if name in cls.model_fields}
        return values | {
            name: default.model_dump() | values[name]
            for name, default in defaults.items()
            if isinstance(default, Section) and isinstance(values[name], dict)
        }

    def _refuse_changed(self, names: tuple[str, ...], reason: str) -> None:
        """Raises ValueError when one of these settings differs from its default although it has no effect."""
        for name in names:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} has no effect {reason}; remove one of the two")


class OptimizerSettings(Section):
    """How weights move: AdamW, with Muon for the matrices inside the blocks where asked."""

    learning_rate: Positive = 3e-3
    """Peak, of AdamW; Muon's update is scaled to the same size, so it takes the same number."""
    muon: bool = True
    muon_learning_rate: Positive | None = None
    """Peak, of Muon; null is learning_rate."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    weight_decay_final: Share = 1.0
    """Weight decay at the end as a share of that at the start; it changes linearly."""
    betas: tuple[Decay, Decay] = (0.9, 0.95)
    eps: Positive = 1e-8
    clip: Positive = 1.0
    """Largest norm of the whole gradient."""
    schedule: Literal["cosine", "stable_decay", "linear", "constant"] = "cosine"
    warmup: Share = 0.02
    """Share of the steps in which the rate rises from 0."""
    decay: Share = 0.3
    """With stable_decay: share of the steps, at the end, in which the rate falls."""
    final: Share = 0.1
    """The rate at the end, as a share of the peak."""

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> Self:
        if not self.muon:
            self._refuse_changed(("muon_learning_rate",), "with muon: false")
        if self.schedule != "stable_decay":
            self._refuse_changed(("decay",), f"with schedule: {self.schedule}")
        return self


def apply_override(values: dict[str, Any], override: str) -> None:
    """Lay 'pretrain.tokens=2M' over settings read from YAML. Raises InputError for anything that is no setting."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"override {override!r} must look like key=value, for example pretrain.tokens=2M")
    *parents, last = key.split(".")
    for parent in parents:
        if values.get(parent) is None:
            values[parent] = {}
        values = values[parent]
        if not isinstance(values, dict):
            raise InputError(f"override {override!r}: {parent} is a value, not a section")
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"override {override!r}: {text!r} is not valid YAML; quote it") from error


def read_named(name_or_path: str, shipped: Path, what: str) -> tuple[Path, dict[str, Any]]:
    """A YAML file and what it holds: one of the folder `shipped`, by name, or any other by its path. Raises InputError
    naming `what` it is, the file and the remedy.
    """
    path = Path(name_or_path)
    if not path.suffix:
        path = shipped / f"{name_or_path}.yaml"
        if not path.is_file():
            names = ", ".join(sorted(file.stem for file in shipped.glob("*.yaml")))
            raise InputError(f"no {what} is called {name_or_path!r}: use one of {names}, or a path to a .yaml file")
    if not path.is_file():
        raise InputError(f"{what} {path} does not exist: check the path")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{what} {path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"{what} {path} must be a mapping of settings such as 'name: mine'")
    return path, values


def explain(error: ValidationError, root: type[Section]) -> str:
    """The first problem of a validation error as one sentence, with the nearest known key for a misspelt one."""
    # A misspelt key is told before what is then missing.
    problems = error.errors()
    problem = next((each for each in problems if each["type"] == "extra_forbidden"), problems[0])
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = _fields_at(problem["loc"][:-1], root)
        near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"unknown key {key!r}: {remedy}"
    if problem["type"] == "missing":  # its input is the whole section
        return f"{key} is missing: add it"
    if problem["type"] == "union_tag_not_found":
        return f"{key} needs a kind: say which, such as kind: number"
    if problem["type"] == "union_tag_invalid":
        known = problem["ctx"]["expected_tags"].replace("'", "")
        return f"{key} has a kind that is not known, {problem['ctx']['tag']!r}: use one of {known}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{key}: {message}" if key else message
    return f"{key} = {problem['input']!r}: {message[0].lower()}{message[1:]}"


def _fields_at(location: tuple[int | str, ...], root: type[Section]) -> list[str]:
    """The settings of the section at a place in the recipe. A section of several kinds has its kind as one more part of
    the place.
    """
    section, kinds = root, list[type[Section]]()
    pending: Any = None  # a mapping of names to sections, whose name comes next
    for part in location:
        if isinstance(part, int):
            continue  # a place in a list, whose sections are all alike
        of_kind = [kind for kind in kinds if part in get_args(kind.model_fields["kind"].annotation)]
        if of_kind:
            section, kinds = of_kind[0], []
            continue
        options = _options(pending or section.model_fields[str(part)].annotation)
        pending = next((get_args(option)[1] for option in options if get_origin(option) is dict), None)
        found = [option for option in options if isinstance(option, type) and issubclass(option, Section)]
        section, kinds = (found[0] if found else section), found if len(found) > 1 else []
    return list(section.model_fields)


def _options(annotation: Any) -> tuple[Any, ...]:
    """What a value of this type may be."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is tuple:
        annotation = get_args(annotation)[0]
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
