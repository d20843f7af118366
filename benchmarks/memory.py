"""What `gptwright plan` says a training takes in memory, against what it takes: ten configurations that fit a laptop.

    python benchmarks/memory.py

Each is trained for three steps in a process of its own, eagerly. Measured is the peak of the resident memory above that
of the same process after training a tiny model, which is what the program and its libraries take: with freed memory
returned to the system, which is what the plan tells, and with freed memory kept, which is faster.
"""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from record import write_result

from gptwright.allocator import FREED_MEMORY
from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, initialise
from gptwright.plan import state_bytes
from gptwright.recipe import OptimizerSettings
from gptwright.train.fast_path import FastPath, pretraining_loss
from gptwright.train.memory import working_bytes
from gptwright.train.optimizers import Optimizers
from gptwright.train.step import gradient_step

STEPS = 3


@dataclass(frozen=True)
class Case:
    """A model, the rows it reads at once, and how."""

    vocab_size: int
    context: int
    width: int
    layers: int
    heads: int
    rows: int
    precision: str = "float32"
    recompute: bool = False
    muon: bool = True

    def config(self) -> ModelConfig:
        return ModelConfig(
            vocab_size=self.vocab_size, context=self.context, width=self.width, layers=self.layers, heads=self.heads,
            kv_heads=self.heads, head_dim=self.width // self.heads, hidden=(8 * self.width // 3 + 31) // 32 * 32,
        )  # fmt: skip


CASES = [
    Case(2048, 256, 256, 8, 4, 16),
    Case(2048, 512, 256, 8, 4, 16),
    Case(32_000, 256, 256, 4, 4, 8),
    Case(8192, 1024, 256, 6, 4, 4),
    Case(2048, 256, 512, 6, 8, 32, recompute=True),
    Case(2048, 256, 512, 6, 8, 16, precision="bfloat16"),
    Case(50_304, 256, 512, 4, 8, 8),
    Case(8192, 256, 768, 12, 12, 2, muon=False),
    Case(8192, 512, 384, 6, 6, 16, precision="bfloat16"),
    Case(16_384, 1024, 512, 8, 8, 4, recompute=True, muon=False),
]


def train(case: Case, config: ModelConfig) -> None:
    """A few steps on random tokens."""
    model = LanguageModel(config)
    initialise(model, seed=0)
    optimizers = Optimizers(model, OptimizerSettings(muon=case.muon))
    loss_of = pretraining_loss(model, FastPath("cpu", case.precision), recompute=case.recompute)
    for step in range(STEPS):
        ids_BT = torch.randint(config.vocab_size, (case.rows, config.context + 1))
        optimizers.set_rate(step, STEPS)
        gradient_step(optimizers, [lambda ids_BT=ids_BT: loss_of(ids_BT[:, :-1], ids_BT[:, 1:])])


def peak_bytes() -> int:
    """Not of getrusage, whose peak a process inherits from the one that started it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * int(next(line.split()[1] for line in status if line.startswith("VmHWM")))


def measured_bytes(case: Case, freed: str) -> int:
    """Run in a fresh process: its peak belongs to this case alone."""
    if not FREED_MEMORY[freed]():
        raise SystemExit("this benchmark needs Linux with glibc, and no MALLOC_ variables in the environment")
    train(case, Case(64, 16, 32, 1, 2, 1).config())
    program = peak_bytes()
    train(case, case.config())
    return peak_bytes() - program


def main() -> None:
    rows: list[dict[str, Any]] = []
    for case in CASES:
        config = case.config()
        settings, path = OptimizerSettings(muon=case.muon), FastPath("cpu", case.precision)
        planned = state_bytes(config, settings) + working_bytes(
            config, case.rows, path, settings, recompute=case.recompute
        )
        row: dict[str, Any] = {"case": str(case), "planned": planned}
        for freed in FREED_MEMORY:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                measured = pool.apply(measured_bytes, (case, freed))
            row[freed] = {"measured": measured, "ratio": planned / measured}
        rows.append(row)
        held = ", ".join(
            f"{row[freed]['measured'] / 1e6:.0f} ({row[freed]['ratio']:.3f}) {freed}" for freed in FREED_MEMORY
        )
        print(f"{planned / 1e6:7.0f} MB planned, held {held}: {case}", flush=True)
    worst = max(abs(row["return"]["ratio"] - 1) for row in rows)
    print(write_result("memory", "python benchmarks/memory.py", {"steps": STEPS, "cases": rows, "worst": worst}))


if __name__ == "__main__":
    main()
