"""Two ranks under torchrun practise as one process does: they share answers, gradients and decisions out."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from gptwright.errors import InputError
from gptwright.model.transformer import LanguageModel
from gptwright.practice_settings import PpoSettings
from gptwright.stages.practice import check_shares
from gptwright.train.distributed import Ranks

KINDS = ("ppo", "shared", "grpo", "reinforce", "sharded ppo", "sharded shared", "sharded grpo")
DYING = ("ppo", "sharded ppo")
Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def folder(babbler: LanguageModel, worker: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two ranks left behind."""
    folder = tmp_path_factory.mktemp("practice-ranks")
    state = {name: value for name, value in babbler.state_dict().items() if name != "lm_head.weight"}
    save_file(state, folder / "start.safetensors")
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        worker.__file__,
        folder,
    ]
    done = subprocess.run(
        [*map(str, command)], env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


def read(folder: Path, name: str) -> tuple[Weights, list[dict[str, float]]]:
    weights = load_file(folder / f"{name}-0.safetensors")
    return weights, json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def furthest(weights: Weights, others: Weights) -> float:
    return max(float((weights[name] - others[name]).abs().max()) for name in weights)


@pytest.mark.parametrize("kind", KINDS)
def test_two_ranks_equal_one(folder: Path, worker: Any, tmp_path: Path, kind: str) -> None:
    wanted, rows = worker.practised(tmp_path, folder / "start.safetensors", kind)
    weights, found = read(folder, kind)
    start = load_file(folder / "start.safetensors")
    assert furthest(wanted, start) > 1e-3  # something was learned
    assert furthest(weights, wanted) < 1e-5
    assert len(found) == len(rows) == 4 + 5  # rounds, and what was measured before, between and after
    for mine, theirs in zip(found, rows, strict=True):
        assert mine == pytest.approx(theirs, rel=2e-4, abs=2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_every_metric_of_a_round_is_defined(folder: Path, kind: str) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "ppo.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`.+?) \|", page, flags=re.MULTILINE)
    defined = set(re.findall(r"`([^`]+)`", " ".join(cells)))
    generic = tuple(name.removesuffix("NAME") for name in defined if name.endswith("/NAME"))
    logged = set().union(*read(folder, kind)[1]) - {"step", "measured", "advantage/flat"}  # the last: docs/grpo.md
    assert sorted(name for name in logged if name not in defined and not name.startswith(generic)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_both_ranks_hold_the_same_bits(folder: Path, kind: str) -> None:
    first, second = (load_file(folder / f"{kind}-{rank}.safetensors") for rank in (0, 1))
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.mark.parametrize("kind", DYING)
def test_two_ranks_killed_and_resumed_end_at_the_same_bits(folder: Path, kind: str) -> None:
    unbroken, rows = read(folder, kind)
    resumed, again = read(folder, f"resumed {kind}")
    assert [name for name in unbroken if not torch.equal(unbroken[name], resumed[name])] == []
    assert rows == again


@pytest.mark.parametrize("kind", DYING)
def test_one_process_goes_on_from_two_ranks(folder: Path, worker: Any, kind: str) -> None:
    weights, _ = worker.practised(folder / f"left {kind}", folder / "start.safetensors", kind)
    assert furthest(weights, read(folder, kind)[0]) < 1e-5


def test_a_rank_without_an_answer_is_refused() -> None:
    settings = PpoSettings(episodes=10, minibatches=4)  # 2, 3, 3 and 2
    check_shares(settings, 1, Ranks(size=2), "ppo")
    with pytest.raises(InputError, match=r"of 10 prompts a round .* one of 4 minibatches gets 2, .* 3 ranks"):
        check_shares(settings, 1, Ranks(size=3), "ppo")
