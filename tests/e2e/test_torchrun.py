"""Pretraining under torchrun through the real command: killed, gone on with, and refused where it must be."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds torchrun's processes in /proc")

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
PATIENCE_SECONDS = 200
# gpt2-124m with one layer, on a text of this repository's size.
STAND_IN = [
    "model.layers=1", "model.width=48", "model.context=32", "tokenizer.vocab_size=300", "tokenizer.sample_bytes=20k",
    "data.held_out=0.1", "pretrain.batch_rows=8", "pretrain.micro_rows=2", "pretrain.tokens=6400",
    "pretrain.evaluations=2", "machine.precision=float32", "machine.compile=never", "machine.device=cpu",
    "machine.checkpoint_seconds=0",
]  # fmt: skip
STEPS = 6400 // (8 * 32)
# Each rank is a command of its own, as on two machines.
TWO_COMMANDS = """
import os, sys
from gptwright.cli.main import main
rank = os.environ["RANK"]
sys.argv = ["gptwright", "pretrain", *[part.replace("RANK", rank) for part in sys.argv[1:]]]
main()
"""


def stand_in(text: Path, run: Path, *more: str) -> list[str]:
    options = [f"data.files={text}", *STAND_IN, *more]
    return ["gpt2-124m", "--dir", str(run), *[part for option in options for part in ("-o", option)]]


def pretrain_on_two(folder: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = [*TORCHRUN, "-m", "gptwright", "pretrain", *arguments]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)


def children(process: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def steps_of(metrics: Path) -> list[int]:
    rows = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    return [row["step"] for row in rows if "loss" in row]


def test_gpu_benchmark_says_that_there_is_no_gpu() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    script = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu.sh"
    environment = ENVIRONMENT | {"PYTHON": sys.executable}
    done = subprocess.run(["bash", str(script)], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("gpu.sh: this machine has no CUDA device that torch can use")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    file = tmp_path / "text.txt"
    file.write_text("".join(f"{n} and {n} are {2 * n}. The half of {2 * n} is {n}.\n" for n in range(900)))
    return file


def test_killed_on_two_ranks_and_finished_on_two(tmp_path: Path, text: Path, cli: Any) -> None:
    run = tmp_path / "run"
    command = [*TORCHRUN, "-m", "gptwright", "pretrain", *stand_in(text, run, "machine.shard=always")]
    process = subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not list(run.glob("checkpoints/base/step-*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    for each in (*children(process.pid), process.pid):
        os.kill(each, signal.SIGKILL)
    process.wait()
    before = steps_of(run / "checkpoints/base/log/metrics.jsonl")
    assert 1 <= len(before) < STEPS
    done = pretrain_on_two(tmp_path, stand_in(text, run))  # not sharded this time: the checkpoint does not mind
    assert done.returncode == 0, done.stderr
    assert steps_of(run / "base/metrics.jsonl") == list(range(1, STEPS + 1))
    assert not list(run.glob("checkpoints/base/step-*"))
    lineage = json.loads((run / "base/lineage.json").read_text(encoding="utf-8"))
    assert (lineage["stage"], lineage["tokens"]) == ("base", 6400)
    assert lineage["validation_loss"] < 5.5  # ln 300 is 5.7
    # What follows reads the folder as it reads every other, and one process finds nothing left to do.
    finished = cli("run", *stand_in(text, run))
    assert finished.returncode == 0, finished.stderr
    assert "base         is up to date" in finished.stderr


def test_practice_goes_on_from_what_one_process_made(run_copy: Path, tiny: Path, tmp_path: Path) -> None:
    def rounds() -> list[dict[str, float]]:
        rows = [json.loads(line) for line in (run_copy / "ppo/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        return [{key: row[key] for key in ("step", "reward/score", "length/mean")} for row in rows if "episodes" in row]

    def practise() -> subprocess.CompletedProcess[str]:
        command = [*TORCHRUN, "-m", "gptwright", "ppo", str(tiny), "--dir", str(run_copy)]
        return subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)

    wanted = rounds()
    shutil.rmtree(run_copy / "ppo")
    done = practise()
    assert done.returncode == 0, done.stderr
    assert "reward       is up to date" in done.stderr
    found = rounds()
    assert found[0] == pytest.approx(wanted[0], rel=1e-4)  # before any update the same answers
    assert len(found) == len(wanted)
    shutil.rmtree(run_copy / "reward")
    refused = practise()
    assert refused.returncode != 0
    assert "torchrun started 2 processes, and stage reward runs in one" in refused.stderr


def test_ranks_with_other_recipes_are_refused_by_name(tmp_path: Path, text: Path) -> None:
    script = tmp_path / "two_commands.py"
    script.write_text(TWO_COMMANDS)
    arguments = stand_in(text, tmp_path / "run", "seed=RANK")
    done = subprocess.run(
        [*TORCHRUN, str(script), *arguments], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "gptwright: rank 1: its recipe is not rank 0's" in done.stderr
    assert not (tmp_path / "run").exists()


def test_the_failure_of_one_rank_names_it_and_ends_all(tmp_path: Path, text: Path) -> None:
    script = tmp_path / "two_commands.py"
    script.write_text(TWO_COMMANDS)
    # There is a recipe for rank 0 alone, which waits for the other one.
    (tmp_path / "recipe-0.yaml").write_text("name: mine\n")
    done = subprocess.run(
        [*TORCHRUN, str(script), "recipe-RANK.yaml"], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "gptwright: rank 1: recipe recipe-1.yaml does not exist: check the path" in done.stderr
    assert not (tmp_path / "runs").exists()
