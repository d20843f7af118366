"""Tokens per second and MFU of the pretraining step, by model size and context: what the stage does, on random tokens.

    python benchmarks/throughput.py                                             one GPU
    torchrun --nproc_per_node 8 benchmarks/throughput.py                        eight
    python benchmarks/throughput.py --float8                                    the blocks' products in float8
    python benchmarks/throughput.py --device cpu --models tiny --contexts 64    a check that the script works

A step is 65,536 tokens on each device, as for half a million on eight, through Muon and AdamW, compiled, in bfloat16
with float32 weights. MFU stands there twice: of the best matrix product measured on the device, and of the maker's peak
for dense bfloat16, where the device is known.
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial
from typing import Any

import torch
from record import write_result

from gptwright.errors import InputError
from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, initialise
from gptwright.plan import MACHINES
from gptwright.recipe import OptimizerSettings
from gptwright.train.distributed import Ranks, joined
from gptwright.train.fast_path import FastPath, pretraining_loss
from gptwright.train.float8 import use_float8
from gptwright.train.optimizers import Optimizers
from gptwright.train.parallel import DataParallel
from gptwright.train.speed import matmul_limit
from gptwright.train.step import gradient_step

# layers, width, heads, hidden, vocabulary
SHAPES = {
    "tiny": (2, 64, 2, 176, 512),
    "124m": (12, 768, 12, 2048, 50_304),
    "1b": (18, 2048, 16, 5472, 50_304),
}
STEP_TOKENS = {"cuda": 65_536, "cpu": 512}
WARMUP_STEPS, STEPS = 3, 10


def model_of(name: str, context: int, device: str) -> LanguageModel:
    layers, width, heads, hidden, vocab = SHAPES[name]
    model = LanguageModel(
        ModelConfig(
            vocab_size=vocab, context=context, width=width, layers=layers, heads=heads, kv_heads=heads,
            head_dim=width // heads, hidden=hidden, qk_norm=True, tied=True,
        )
    )  # fmt: skip
    initialise(model, seed=0)
    return model.to(device)


def measure(name: str, context: int, path: FastPath, ranks: Ranks, options: argparse.Namespace) -> dict[str, Any]:
    """The median step of one model: tokens/s over all devices, MFU of one."""
    model = model_of(name, context, path.device)
    if options.float8:
        use_float8(model, path.device)
    parallel = DataParallel(model, partial(pretraining_loss, path=path), ranks, device=path.device, shard=options.shard)
    optimizers = Optimizers(parallel.learner, OptimizerSettings(learning_rate=6e-4))
    rows = max(1, STEP_TOKENS[path.device] // context)
    micro = min(rows, max(1, options.micro_tokens // context))
    generator = torch.Generator().manual_seed(ranks.rank)
    ids = torch.randint(model.config.vocab_size, (rows, context + 1), generator=generator).to(path.device)
    pieces = [ids[start : start + micro] for start in range(0, rows, micro)]
    seconds = []
    for _ in range(WARMUP_STEPS + STEPS):
        started = time.perf_counter()
        parallel.begin_step()
        losses = [
            lambda piece=piece: parallel.loss_of(piece[:, :-1], piece[:, 1:]) * (len(piece) / rows / ranks.size)
            for piece in pieces
        ]
        gradient_step(optimizers, losses, parallel.combine)
        if path.device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    rate = ranks.size * rows * context / statistics.median(seconds[WARMUP_STEPS:])
    flops = rate * model.config.flops_per_token(context) / ranks.size
    peak = peak_of(path.device)
    return {
        "model": name,
        "parameters": model.config.parameter_count(),
        "context": context,
        "rows_per_forward_pass": micro,
        "tokens_per_second": round(rate),
        "mfu_of_measured_limit": flops / matmul_limit(path),
        "mfu_of_makers_peak": flops / peak if peak else None,
        "sharded": parallel.sharded,
        "gigabytes": torch.cuda.max_memory_allocated() / 1e9 if path.device == "cuda" else None,
    }


def peak_of(device: str) -> float | None:
    """The maker's dense bfloat16 peak in FLOP/s, by the name that the driver gives."""
    name = torch.cuda.get_device_name().lower() if device == "cuda" else ""
    return next((machine.flops for kind, machine in MACHINES.items() if kind in name), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="124m,1b", help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--contexts", default="1024,2048")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--micro-tokens", type=int, default=16_384, help="tokens of one forward pass")
    parser.add_argument("--shard", choices=("auto", "never", "always"), default="auto")
    parser.add_argument("--eager", action="store_true", help="without torch.compile")
    parser.add_argument("--float8", action="store_true", help="as machine.float8=true does; MFU stays that of bfloat16")
    options = parser.parse_args()
    unknown = [name for name in options.models.split(",") if name not in SHAPES]
    if unknown:
        parser.error(f"no model is called {unknown[0]!r}: use {', '.join(SHAPES)}")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("this machine has no CUDA device that torch can use: see gptwright doctor, or add --device cpu")
    try:
        with joined(options.device) as ranks:
            run(ranks, options)
    except InputError as error:
        parser.error(str(error))


def run(ranks: Ranks, options: argparse.Namespace) -> None:
    kernel = "fused" if options.device == "cuda" else "matmul"
    path = FastPath(options.device, "bfloat16", not options.eager, kernel)
    rows = []
    for name in options.models.split(","):
        for context in map(int, options.contexts.split(",")):
            if options.device == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            rows.append(measure(name, context, path, ranks, options))
            if ranks.first:
                print(rows[-1], flush=True)
    if ranks.first and options.device == "cuda":
        device = {"name": torch.cuda.get_device_name(), "count": ranks.size, "cuda": torch.version.cuda}
        figures = {"device": device, "steps": STEPS, "step_tokens_per_device": STEP_TOKENS["cuda"], "rows": rows}
        name = f"throughput_{ranks.size}_gpu{'_float8' if options.float8 else ''}"
        print(write_result(name, "bash benchmarks/gpu.sh", figures))


if __name__ == "__main__":
    main()
