"""Checkpoints: whole or not there, two kept, and never loaded when damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gptwright.errors import RunError
from gptwright.train.checkpoint import Checkpoints

NewProcess = Callable[..., Any]


@pytest.fixture
def folder(new_process: NewProcess, tmp_path: Path) -> Path:
    """A job's folder with the checkpoints of steps 5 and 6."""
    new_process().killed(die_after_step=6)
    return tmp_path / "run"


def steps(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "log")


def test_the_last_two_are_kept(folder: Path) -> None:
    assert steps(folder) == ["step-00000005", "step-00000006"]


def test_a_half_written_checkpoint_is_removed_and_not_taken_for_one(new_process: NewProcess, folder: Path) -> None:
    (folder / "writing-00000007").mkdir()
    (folder / "writing-00000007" / "state.json").write_text('{"step": 7}', encoding="utf-8")
    state = Checkpoints(folder).load_last(new_process("other").trainee)
    assert state is not None
    assert state["step"] == 6
    assert steps(folder) == ["step-00000005", "step-00000006"]


def test_nothing_there_is_none(new_process: NewProcess, tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "empty").load_last(new_process().trainee) is None


def test_everything_comes_back(new_process: NewProcess, tmp_path: Path) -> None:
    job = new_process("one")
    job.run()
    other = new_process("two")
    other.trainee.counters["beta"] = 55.0
    Checkpoints(tmp_path / "one").load_last(other.trainee)
    bits, again = job.bits(), other.bits()
    assert bits.keys() == again.keys()
    assert all(torch.equal(bits[key], again[key]) for key in bits)
    assert other.trainee.counters == job.trainee.counters


def test_tied_weights_are_stored_once_and_stay_tied(new_process: NewProcess) -> None:
    job = new_process()
    job.run()
    stored = [key for key in job.trainee.tensors() if key.startswith("model:")]
    assert "model:lm_head.weight" not in stored
    assert "model:model.embed_tokens.weight" in stored
    again = new_process()
    again.run()
    assert again.model.lm_head.weight is again.model.model.embed_tokens.weight


def flip_a_byte(folder: Path) -> None:
    file = folder / "state.safetensors"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


def cut_state_json(folder: Path) -> None:
    (folder / "state.json").write_text('{"step": 6, "cou', encoding="utf-8")


def lose_weights(folder: Path) -> None:
    (folder / "state.safetensors").unlink()


@pytest.mark.parametrize("damage", [flip_a_byte, cut_state_json, lose_weights])
def test_damage_is_an_error_that_names_the_checkpoint_and_the_one_before(
    new_process: NewProcess, folder: Path, damage: Callable[[Path], None]
) -> None:
    damage(folder / "step-00000006")
    job = new_process()
    before = job.bits()
    with pytest.raises(RunError) as caught:
        job.run()
    assert f"{folder / 'step-00000006'} is damaged" in str(caught.value)
    assert "delete that folder to resume from step-00000005" in str(caught.value)
    assert all(torch.equal(before[key], job.bits()[key]) for key in before), "nothing was loaded"


def test_damage_to_the_only_checkpoint_says_start_again(new_process: NewProcess, tmp_path: Path) -> None:
    new_process().killed(die_after_step=1)
    flip_a_byte(tmp_path / "run" / "step-00000001")
    with pytest.raises(RunError, match="to start this stage again"):
        new_process().run()
