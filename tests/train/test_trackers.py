"""Rows reach TensorBoard and Weights & Biases (offline); a package that is missing is named with its remedy."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gptwright.errors import InputError
from gptwright.train.runlog import RunLog
from gptwright.train.trackers import trackers_for


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_gets_every_number_and_a_resumed_run_replaces_what_it_repeats(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for losses in ({1: 3.0, 2: 2.5, 3: 9.9}, {3: 2.0, 4: 1.5}):  # the second process resumes at step 3
        log = RunLog(tmp_path / "log", trackers_for(["tensorboard"], tmp_path, "base"))
        for step, loss in losses.items():
            log.metrics({"step": step, "loss": loss})
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard" / "base"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 3.0), (2, 2.5), (3, 2.0), (4, 1.5)]


class Wandb:
    """A stand-in: the real package starts a server process for every run. As there (0.31), `init` gives back the run
    that is open unless it is told to finish it.
    """

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []
        self.logged: list[tuple[str, dict[str, float], int]] = []
        self.open: SimpleNamespace | None = None

    def init(self, **settings: Any) -> SimpleNamespace:
        self.made.append(settings)
        if self.open is None or settings.get("reinit") == "finish_previous":
            name = settings["name"]
            self.open = SimpleNamespace(log=lambda row, step: self.logged.append((name, row, step)))
        return self.open


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Wandb:
    made = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", made)  # type: ignore[arg-type]
    return made


def test_wandb_gets_rows_under_a_name_that_a_resumed_run_has_too(tmp_path: Path, wandb: Wandb) -> None:
    for _ in range(2):
        trackers_for(["wandb"], tmp_path, "base")[0]({"step": 7, "loss": 2.0})
    assert wandb.logged == [(f"{tmp_path.name}/base", {"loss": 2.0}, 7)] * 2
    assert wandb.made[0] == wandb.made[1]
    assert wandb.made[0]["resume"] == "allow"


def test_each_stage_of_one_process_is_a_wandb_run_of_its_own(tmp_path: Path, wandb: Wandb) -> None:
    for step, stage in ((9, "base"), (1, "sft")):  # wandb drops steps that go back
        trackers_for(["wandb"], tmp_path, stage)[0]({"step": step})
    assert wandb.logged == [(f"{tmp_path.name}/base", {}, 9), (f"{tmp_path.name}/sft", {}, 1)]
    assert wandb.made[0]["id"] != wandb.made[1]["id"]


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_missing_package_is_named_with_its_remedy(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=rf"{name}, which is not installed: .*-m pip install 'gptwright\[track\]'"):
        trackers_for([name], tmp_path, "base")
