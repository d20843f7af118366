"""Rows reach TensorBoard and Weights & Biases (offline); a package that is missing is named with its remedy."""

from __future__ import annotations

import sys
from pathlib import Path

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


def test_wandb_gets_rows_under_a_name_that_a_resumed_run_has_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a stand-in: the real package starts a server process for every run."""
    made: list[dict[str, object]] = []
    logged: list[tuple[dict[str, float], int]] = []

    class Session:
        def log(self, row: dict[str, float], step: int) -> None:
            logged.append((row, step))

    class Wandb:
        @staticmethod
        def init(**settings: object) -> Session:
            made.append(settings)
            return Session()

    monkeypatch.setitem(sys.modules, "wandb", Wandb)  # type: ignore[arg-type]
    for _ in range(2):
        trackers_for(["wandb"], tmp_path, "base")[0]({"step": 7, "loss": 2.0})
    assert logged == [({"loss": 2.0}, 7)] * 2
    assert made[0] == made[1]
    assert made[0]["resume"] == "allow"


@pytest.mark.parametrize(("name", "module"), [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb")])
def test_a_missing_package_is_named_with_its_remedy(
    name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"{name}, which is not installed: .*-m pip install 'gptwright\[track\]'"):
        trackers_for([name], tmp_path, "base")
