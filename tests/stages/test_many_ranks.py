"""Two ranks under torchrun take the steps of one process, replicated and sharded, and each goes on from the other's
checkpoint.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from gptwright.errors import InputError, RunError
from gptwright.recipe import PretrainSettings
from gptwright.stages.pretrain import rows_of_rank
from gptwright.train.distributed import Ranks, StragglerWatch, others_alive, straggler

WORKER = Path(__file__).with_name("ranks_worker.py")
SHARDS = ("never", "always")
Weights = dict[str, torch.Tensor]
Trained = tuple[Weights, list[float]]


@pytest.fixture(scope="module")
def worker() -> Any:
    return SimpleNamespace(**runpy.run_path(str(WORKER)))


@pytest.fixture(scope="module")
def folder(worker: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two ranks left behind; they found a killed training of one process there."""
    folder = tmp_path_factory.mktemp("ranks")
    worker.train(folder / "from-one", dies=True)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", WORKER, folder]
    done = subprocess.run(
        [*map(str, command)], env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def alone(worker: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Trained]:
    """The same training in one process."""
    return lambda **how: worker.train(tmp_path_factory.mktemp("alone"), **how)


def read(folder: Path, name: str) -> Trained:
    return load_file(folder / f"{name}.safetensors"), json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def furthest(weights: Weights, others: Weights) -> float:
    return max(float((weights[name] - others[name]).abs().max()) for name in weights)


@pytest.mark.parametrize("shard", SHARDS)
def test_two_ranks_equal_one(folder: Path, alone: Callable[..., Trained], shard: str) -> None:
    wanted, losses = alone()
    weights, found = read(folder, f"adamw-{shard}")
    assert furthest(weights, wanted) < 1e-5
    assert found == pytest.approx(losses, rel=1e-5)


@pytest.mark.parametrize("shard", SHARDS)
def test_what_one_process_finds_two_ranks_find_of_untied_weights_and_their_average(
    folder: Path, worker: Any, tmp_path: Path, shard: str
) -> None:
    """Weights that rank 0 alone had at first; held-out figures; samples, which sharded ranks draw together."""
    weights, losses = read(folder, f"untied-micro-{shard}")
    wanted, _ = worker.train(tmp_path, tied=False, ema=0.5, prompts=("the",))
    assert furthest(weights, wanted) < 1e-5
    assert len(losses) == 2 * 6
    logs = tmp_path / "checkpoints/base/log", folder / f"untied-micro-{shard}/checkpoints/base/log"
    samples = [(log / "samples.jsonl").read_text(encoding="utf-8") for log in logs]
    assert samples[0] == samples[1] and samples[0].count("\n") == 4
    rows = [map(json.loads, (log / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) for log in logs]
    held_out = [[row for row in each if "loss" not in row] for each in rows]
    assert len(held_out[0]) == len(held_out[1]) == 2
    for one, two in zip(*held_out, strict=True):
        assert two == pytest.approx(one, rel=1e-5)


@pytest.mark.parametrize("shard", SHARDS)
def test_muon_on_two_ranks_follows_one(folder: Path, alone: Callable[..., Trained], shard: str) -> None:
    # It orthogonalises in bfloat16, which turns a last digit into 1 part in 256.
    wanted, losses = alone(muon=True)
    weights, found = read(folder, f"muon-{shard}")
    assert found == pytest.approx(losses, rel=5e-3)
    apart = sum(float((weights[name] - wanted[name]).square().sum()) for name in weights)
    size = sum(float(wanted[name].square().sum()) for name in weights)
    assert (apart / size) ** 0.5 < 0.02


def test_sharded_bfloat16_follows_one(folder: Path, alone: Callable[..., Trained]) -> None:
    _, found = read(folder, "bfloat16")
    assert found == pytest.approx(alone(precision="bfloat16")[1], rel=5e-3)


@pytest.mark.parametrize("shard", SHARDS)
def test_two_ranks_killed_and_resumed_end_at_the_same_bits(folder: Path, shard: str) -> None:
    unbroken, losses = read(folder, f"adamw-{shard}")
    resumed, again = read(folder, f"resumed-{shard}")
    assert [name for name in unbroken if not torch.equal(unbroken[name], resumed[name])] == []
    assert losses == again


@pytest.mark.parametrize("shard", SHARDS)
def test_one_process_goes_on_from_two_ranks(
    folder: Path, worker: Any, alone: Callable[..., Trained], shard: str
) -> None:
    steps = sorted(path.name for path in (folder / f"alone-{shard}/checkpoints/base").glob("step-*"))
    assert steps == ["step-00000002", "step-00000003"]
    weights, losses = worker.train(folder / f"alone-{shard}")
    wanted = alone()
    assert furthest(weights, wanted[0]) < 1e-5
    assert losses == pytest.approx(wanted[1], rel=1e-5)


@pytest.mark.parametrize("shard", SHARDS)
def test_two_ranks_go_on_from_one_process(folder: Path, alone: Callable[..., Trained], shard: str) -> None:
    weights, losses = read(folder, f"from-one-{shard}")
    wanted = alone()
    assert furthest(weights, wanted[0]) < 1e-5
    assert losses == pytest.approx(wanted[1], rel=1e-5)


def test_only_the_first_rank_writes_logs(folder: Path) -> None:
    rows = (folder / "untied-micro-always/checkpoints/base/log/samples.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(row)["step"] for row in rows] == [0, 1, 2, 6]  # 0, 1, 3, 10, 30 and 100% of 6 steps


def test_what_ranks_tell_each_other(folder: Path) -> None:
    first, second = (json.loads((folder / f"seen-{rank}.json").read_text(encoding="utf-8")) for rank in (0, 1))
    for seen in (first, second):
        assert seen["of_first"] == "by rank 0"
        assert seen["gather"] == [10, 11]
        assert seen["sum"] == [[3.0, 3.0], [[30.0, 30.0, 30.0]]]
    assert first["failure"].startswith("ZeroDivisionError")
    assert second["failure"] == "RunError: rank 0 has failed and says why"
    assert first["mismatch"] == "RunError: the corpus of rank 1 is not rank 0's (of-1 and of-0)"
    assert second["mismatch"].startswith("InputError: its corpus is not rank 0's (of-1 and of-0): start all ranks")


def test_a_batch_is_shared_out_evenly_or_refused() -> None:
    assert rows_of_rank(PretrainSettings(batch_rows=12, micro_rows=2), 3) == 4
    with pytest.raises(InputError, match=r"batch_rows \(12\) must be a multiple of the number of ranks, 5"):
        rows_of_rank(PretrainSettings(batch_rows=12), 5)
    with pytest.raises(InputError, match=r"micro_rows \(4\) must divide the 6 rows that each of 2 ranks"):
        rows_of_rank(PretrainSettings(batch_rows=12, micro_rows=4), 2)


def test_a_rank_ends_when_its_torchrun_was_killed() -> None:
    with pytest.raises(RunError, match="torchrun has ended"):
        Ranks(rank=0, size=2, parent=os.getpid()).gather(1)  # no process is its own parent


def test_only_a_lost_connection_is_told_as_one() -> None:
    with pytest.raises(RunError, match="another rank has ended or does not answer"), others_alive():
        raise RuntimeError("[pair.cc:537] Read error [127.0.0.1]:41600: Connection reset by peer")
    with pytest.raises(RuntimeError, match="shapes differ"), others_alive():
        raise RuntimeError("shapes differ")


def test_a_straggler_is_named() -> None:
    assert straggler([1.0, 1.0, 1.19, 1.0]) is None
    assert straggler([0.5, 0.5, 1.5]) == (
        "rank 2 is slow: 1.500 s of its own work a step where the median rank takes 0.500 s, and all others wait for it"
    )
    assert (straggler([1.0, 2.0]) or "").startswith("rank 1")  # of two ranks the faster is the median


def test_a_straggler_is_told_now_and_then_by_its_mean() -> None:
    watch = StragglerWatch(every=2)
    assert watch.see([1.0, 3.0]) is None
    assert watch.see([3.0, 1.0]) is None  # 2 and 2 on average
    assert watch.see([1.0, 1.0]) is None
    assert (watch.see([1.0, 2.0]) or "").startswith("rank 1 is slow: 1.500 s")
