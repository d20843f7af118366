"""Memory of a step, counted on tensors without data."""

from __future__ import annotations

import itertools
import json
import platform
import subprocess
import sys
from dataclasses import asdict

import pytest
import torch

from gptwright.model.config import ModelConfig
from gptwright.plan import state_bytes
from gptwright.recipe import OptimizerSettings
from gptwright.train.fast_path import FastPath
from gptwright.train.memory import LiveBytes, working_bytes


def test_live_bytes_by_hand() -> None:
    """Three tensors of 400 bytes, never more than two of them at once; a view takes nothing."""
    known = torch.zeros(1000)
    with LiveBytes([known]) as live:
        assert known[:10].view(2, 5).numel() == 10
        first = torch.zeros(100)
        second = first + 1
        view = second[:50]
        del first
        third = view.new_zeros(100)
        assert (live.now, live.peak) == (800, 800)
        del second, view
        assert live.now == 400
        del third
    assert (live.now, live.peak) == (0, 800)


def test_logits_dominate_a_tiny_model_of_a_large_vocabulary() -> None:
    """4 x 64 tokens of 10,000 logits: logits, log-softmax and two gradients of 10.24 MB, not all at once."""
    config = ModelConfig(
        vocab_size=10_000, context=64, width=8, layers=1, heads=1, kv_heads=1, head_dim=8, hidden=16, qk_norm=False
    )
    logits = 4 * 64 * 10_000 * 4
    assert 2 * logits < working_bytes(config, 4, FastPath("cpu", "float32"), OptimizerSettings()) < 4.2 * logits


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_counting_few_layers_tells_what_many_take(precision: str) -> None:
    config = ModelConfig(
        vocab_size=64, context=32, width=32, layers=5, heads=2, kv_heads=2, head_dim=16, hidden=96, qk_norm=True
    )
    path = FastPath("cpu", precision)
    by_layers = [
        working_bytes(ModelConfig(**{**vars(config), "layers": n}), 4, path, OptimizerSettings()) for n in (2, 3, 4, 5)
    ]
    steps = {b - a for a, b in itertools.pairwise(by_layers)}
    assert len(steps) == 1


def test_where_little_is_read_the_optimizer_needs_most() -> None:
    config = ModelConfig(
        vocab_size=600,
        context=4,
        width=64,
        layers=4,
        heads=2,
        kv_heads=2,
        head_dim=32,
        hidden=128,
        qk_norm=False,
        tied=False,
    )
    adamw, muon = OptimizerSettings(muon=False), OptimizerSettings()
    on_cpu, on_card = FastPath("cpu", "float32"), FastPath("cuda", "float32")
    assert working_bytes(config, 1, on_cpu, adamw) == 2 * 4 * 600 * 64  # the largest parameter's root, and once divided
    assert working_bytes(config, 1, on_card, adamw) == 4 * config.parameter_count()
    assert working_bytes(config, 1, on_card, adamw, devices=4) == pytest.approx(config.parameter_count(), rel=0.5)
    # Muon's updates in float32, and for the largest shape a stack of them in float32 and another in bfloat16.
    matrices, largest = 4 * 4 * (4 * 64 * 64 + 3 * 64 * 128), 4 * 4 * 3 * 64 * 128
    assert matrices + largest <= working_bytes(config, 1, on_cpu, muon) <= matrices + 3 * largest


def test_gradients_are_not_counted_twice() -> None:
    """Where logits are at their peak, most gradients have no place yet; under several devices they are elsewhere."""
    config = ModelConfig(
        vocab_size=5000, context=64, width=64, layers=2, heads=2, kv_heads=2, head_dim=32, hidden=128, qk_norm=False
    )
    path, settings = FastPath("cpu", "float32"), OptimizerSettings()
    alone, shared = (working_bytes(config, 8, path, settings, devices=devices) for devices in (1, 2))
    assert 0 < shared - alone <= 4 * config.parameter_count()


PEAK_OF_THREE_STEPS = """
import json, sys
from pathlib import Path
from gptwright.allocator import return_freed_memory
assert return_freed_memory()
import torch
from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel
from gptwright.recipe import OptimizerSettings
from gptwright.train.fast_path import FastPath, pretraining_loss
from gptwright.train.optimizers import Optimizers
from gptwright.train.step import gradient_step

def peak_after_training(config, rows):
    model = LanguageModel(config)
    optimizers, loss_of = Optimizers(model, OptimizerSettings()), pretraining_loss(model, FastPath("cpu", "float32"))
    ids_BT = torch.zeros(rows, config.context, dtype=torch.long)
    for _ in range(3):
        gradient_step(optimizers, [lambda: loss_of(ids_BT, ids_BT)])
    # Not of getrusage, whose peak a process inherits from the one that started it.
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in status if line.startswith("VmHWM")))

tiny = ModelConfig(vocab_size=64, context=16, width=32, layers=1, heads=1, kv_heads=1, head_dim=32, hidden=96)
program = peak_after_training(tiny, 1)
print(peak_after_training(ModelConfig(**json.loads(sys.argv[1])), int(sys.argv[2])) - program)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked to return freed memory")
def test_a_training_holds_what_is_planned() -> None:
    """260 MB of resident memory, within the tenth that is asked of the plan."""
    config = ModelConfig(
        vocab_size=4096, context=256, width=192, layers=4, heads=4, kv_heads=4, head_dim=48, hidden=512
    )
    command = [sys.executable, "-c", PEAK_OF_THREE_STEPS, json.dumps(asdict(config)), "6"]
    held = int(subprocess.check_output(command))
    path, settings = FastPath("cpu", "float32"), OptimizerSettings()
    assert state_bytes(config, settings) + working_bytes(config, 6, path, settings) == pytest.approx(held, rel=0.1)
