"""`gptwright run`: the stages that are missing or stale, in order, each leaving one folder.

A stage is fresh when the fingerprint in its `lineage.json` equals the one computed now, from its settings, the
fingerprints of the stages it reads, the files it reads and the version of gptwright. Machine settings are left out,
and so is `micro_rows`: they change rounding, not results.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import yaml

from gptwright import __version__
from gptwright.data.atomic import write_bytes_atomically
from gptwright.errors import InputError, RunError
from gptwright.lanes import same_threads_everywhere
from gptwright.recipe import Recipe
from gptwright.train.checkpoint import file_checksum
from gptwright.train.distributed import ALONE, Ranks, others_alive
from gptwright.train.progress import clock, say


@dataclass(frozen=True)
class Stage:
    """One step of a run: `work(run)` makes `run.folder / name` (and returns when it is there, whole)."""

    name: str
    sections: tuple[str, ...]
    """Dotted names of the settings that its result depends on."""
    needs: tuple[str, ...]
    work: Callable[[Run], None]
    files: tuple[str, ...] = ()
    """Paths outside the run that it reads."""
    check: Callable[[], object] | None = None
    """Raises InputError for what this stage could not use, before the stages ahead of it spend hours."""
    leaves: tuple[str, ...] = ()
    """Files that it writes into the run's folder, beside its own."""
    ranks: Literal["first", "all", "one"] = "one"
    """Who does it under torchrun: rank 0 while the others wait, all ranks together, or nobody: it needs a process by
    itself.
    """


@dataclass(frozen=True)
class Run:
    """A recipe and the folder it is executed in."""

    recipe: Recipe
    folder: Path
    fingerprints: dict[str, str]
    ranks: Ranks = ALONE
    text: str = ""
    """The resolved recipe, written into the folder before anything else is; empty leaves what is there."""

    def lineage(self, stage: str, **figures: Any) -> dict[str, Any]:
        """What a stage's folder says about where it came from."""
        return {
            "stage": stage,
            "recipe": self.recipe.name,
            "seed": self.recipe.seed,
            "version": __version__,
            "fingerprint": self.fingerprints[stage],
            **figures,
        }


def open_run(recipe: Recipe, folder: Path, ranks: Ranks = ALONE) -> Run:
    """A run of the recipe, nothing of it written yet. Raises InputError if `folder` holds another recipe's run."""
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
    ranks.check_same({"gptwright": __version__, "recipe": hashlib.sha256(text.encode()).hexdigest()[:16]})
    ranks.of_first(lambda: _refuse_other_recipe(recipe, folder))
    return Run(recipe, folder, {}, ranks, text)


def _refuse_other_recipe(recipe: Recipe, folder: Path) -> None:
    existing = folder / "recipe.yaml"
    if existing.is_file():
        name = _recipe_name(existing)
        if name != recipe.name:
            raise InputError(f"{folder} holds a run of recipe {name!r}, not {recipe.name!r}: choose another --dir")


def _recipe_name(path: Path) -> str:
    try:
        return str(yaml.safe_load(path.read_text(encoding="utf-8"))["name"])
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError):
        raise InputError(f"{path} is damaged: delete it if the folder is that of this recipe's run") from None


def _needed(stages: list[Stage], name: str) -> list[Stage]:
    """The stage called `name` and those it needs, in order."""
    needs = {stage.name: stage.needs for stage in stages}
    found, left = set[str](), [name]
    while left:
        found.add(each := left.pop())
        left += needs[each]
    return [stage for stage in stages if stage.name in found]


def execute(run: Run, stages: list[Stage], *, until: str | None = None) -> None:
    """Run what is missing or stale: everything, or stage `until` and what it needs."""
    if until is not None and until not in {stage.name for stage in stages}:
        raise InputError(f"recipe {run.recipe.name!r} has no stage {until!r}: add its section, or -o '{until}={{}}'")
    ranks = run.ranks
    stages = _needed(stages, until) if until else stages
    for stage in stages:
        run.fingerprints[stage.name] = ranks.of_first(partial(fingerprint, run, stage))
    if ranks.size > 1:
        stages = _for_many(run, stages, until)
    for stage in stages:
        if stage.check and not ranks.of_first(partial(is_fresh, run, stage)):
            stage.check()
    changed = _changed_settings(run) if ranks.first else []
    if run.text:
        ranks.of_first(partial(write_bytes_atomically, run.folder / "recipe.yaml", run.text.encode()))
    same_threads_everywhere()
    for stage in stages:
        if ranks.of_first(partial(is_fresh, run, stage)):
            say(f"{stage.name:<12} is up to date")
        else:
            ranks.of_first(partial(_find_checkpoints, run, stage, changed))
            started = time.monotonic()
            if stage.ranks == "all":
                with others_alive():
                    stage.work(run)
            else:
                ranks.of_first(partial(stage.work, run))
            for folder in (_aside(run, stage), _aside(run, stage).with_suffix(".swapped")):
                ranks.of_first(partial(shutil.rmtree, folder, ignore_errors=True))
            say(f"{stage.name:<12} done in {clock(time.monotonic() - started)}")


def _for_many(run: Run, stages: list[Stage], until: str | None) -> list[Stage]:
    """The stages that several processes can do: those before the first that needs one by itself and is not there yet.

    Raises InputError when that one was asked for by name.
    """
    ranks, size = run.ranks, run.ranks.size
    alone = next(
        (
            place
            for place, stage in enumerate(stages)
            if stage.ranks == "one" and not ranks.of_first(partial(is_fresh, run, stage))
        ),
        len(stages),
    )
    if alone < len(stages):
        left = ", ".join(stage.name for stage in stages[alone:])
        if until:
            name = stages[alone].name
            remedy = "this command" if alone == len(stages) - 1 else f"the command that makes {name}"
            raise InputError(
                f"torchrun started {size} processes, and stage {name} runs in one: give {remedy} without torchrun"
            )
        say(f"torchrun     {size} ranks; {left} run in one process afterwards: the same command without torchrun")
    return stages[:alone]


def fingerprint(run: Run, stage: Stage) -> str:
    """16 hex characters over everything that the stage's result depends on."""
    parts: dict[str, Any] = {"version": __version__, "stage": stage.name, "seed": run.recipe.seed}
    parts["needs"] = [run.fingerprints[name] for name in stage.needs]
    for section in stage.sections:
        value: Any = run.recipe.model_dump(mode="json")
        for key in section.split("."):
            value = value[key]
        parts[section] = value | {"micro_rows": None} if section == "pretrain" else value
    parts["files"] = [_file_state(Path(name)) for name in stage.files]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _file_state(path: Path) -> list[Any]:
    """Name, size and time of a file, or of all in a folder; hashing terabytes would take longer than training."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return [[str(p), os.stat(p).st_size, os.stat(p).st_mtime_ns] for p in files if p.exists()]


def is_fresh(run: Run, stage: Stage) -> bool:
    """Whether the stage's output is there and was made from exactly this. Raises RunError when it is damaged."""
    folder = run.folder / stage.name
    if not (folder / "lineage.json").is_file() or not all((run.folder / name).is_file() for name in stage.leaves):
        return False
    made_from, written = _made_from(folder)
    for name, checksum in written.items() if made_from == run.fingerprints[stage.name] else ():
        if not (folder / name).is_file() or file_checksum(folder / name) != checksum:
            raise RunError(
                f"{folder / name} is not what stage {stage.name} wrote (damaged, changed or deleted): "
                f"{_restore(folder)}"
            )
    return made_from == run.fingerprints[stage.name]


def _made_from(folder: Path) -> tuple[str, dict[str, str]]:
    """A stage's fingerprint when it was made, and the checksums of its weights. Raises RunError where its lineage is
    damaged: weights beside it may have taken days.
    """
    try:
        lineage = json.loads((folder / "lineage.json").read_text(encoding="utf-8"))
        return str(lineage["fingerprint"]), dict(lineage.get("sha256", {}))
    except (ValueError, TypeError, KeyError):
        raise RunError(f"{folder / 'lineage.json'} is damaged: {_restore(folder)}") from None


def _restore(folder: Path) -> str:
    return f"restore it, or delete {folder} and give the same command again, which makes this stage anew"


def outdated(run: Run, stages: list[Stage]) -> list[str]:
    """Of a recipe's stages those that are there, but were made by other settings or from other stages."""
    found = []
    for stage in stages:
        run.fingerprints.setdefault(stage.name, fingerprint(run, stage))
        folder = run.folder / stage.name
        if (folder / "lineage.json").is_file() and _made_from(folder)[0] != run.fingerprints[stage.name]:
            found.append(stage.name)
    return found


def _find_checkpoints(run: Run, stage: Stage, changed: list[str]) -> None:
    """Checkpoints resume only the work they were made for. Those of other settings are set aside until the stage is
    done: whoever gives those settings again goes on from them.
    """
    checkpoints, aside = run.folder / "checkpoints" / stage.name, _aside(run, stage)
    mark, swapped = checkpoints / "fingerprint", aside.with_suffix(".swapped")
    if swapped.exists():  # a kill within the swap below: back to how it was, or on to its end
        swapped.rename(checkpoints if aside.exists() else aside)
    if _made_for(run, stage, checkpoints):
        return
    if _made_for(run, stage, aside):
        if checkpoints.exists():
            checkpoints.rename(swapped)
        aside.rename(checkpoints)
        if swapped.exists():
            swapped.rename(aside)
        return
    if any(checkpoints.glob("step-*")):
        shutil.rmtree(aside, ignore_errors=True)
        checkpoints.rename(aside)
        why = f"other settings ({', '.join(changed)})" if changed else "other settings or another gptwright"
        say(f"{stage.name:<12} begins anew: its checkpoint is of {why}; until the stage is done it is in {aside}")
    shutil.rmtree(checkpoints, ignore_errors=True)
    # Never rewritten: a full disk would empty it, and the checkpoints would pass for stale.
    write_bytes_atomically(mark, run.fingerprints[stage.name].encode())


def _aside(run: Run, stage: Stage) -> Path:
    return run.folder / "checkpoints" / f"{stage.name}.aside"


def _made_for(run: Run, stage: Stage, checkpoints: Path) -> bool:
    mark = checkpoints / "fingerprint"
    return mark.is_file() and mark.read_text() == run.fingerprints[stage.name]


def _changed_settings(run: Run) -> list[str]:
    """Dotted names of the settings that the folder's recipe, as it was, has otherwise or lacks."""
    try:
        before = yaml.safe_load((run.folder / "recipe.yaml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return []
    return [name for name, value in _flat(run.recipe.model_dump(mode="json")) if dict(_flat(before)).get(name) != value]


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _flat(part, f"{name}.{key}" if name else str(key))
    else:
        yield name, value
