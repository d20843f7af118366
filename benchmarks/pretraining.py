"""The pretraining step against the loop that one would write by hand around transformers, side by side.

    python benchmarks/pretraining.py [--threads 2] [--sizes 1m,3m,10m]

Theirs is a Llama of transformers of the same shape, eager, in float32, with AdamW; ours is what the stage does:
compiled block by block, two halves of the batch side by side, bfloat16 products over float32 weights, Muon and AdamW.
Context 256, 16 rows a step, vocabulary 4,096, random tokens. Each has a process of its own, and they take turns; rounds
that others disturbed don't count. The limit is the best bfloat16 matrix product measured on the machine.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import torch
from quiet import timed
from record import write_result
from torch import Tensor, nn
from torch.nn import functional as F

from gptwright.allocator import keep_freed_memory
from gptwright.lanes import Lanes
from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, initialise
from gptwright.recipe import OptimizerSettings
from gptwright.train.fast_path import FastPath, lanes_for, pretraining_loss
from gptwright.train.optimizers import Optimizers
from gptwright.train.speed import matmul_limit
from gptwright.train.step import gradient_step

# layers, width, heads, hidden
SHAPES = {"1m": (3, 128, 4, 344), "3m": (5, 192, 6, 512), "10m": (7, 320, 10, 864)}
VOCABULARY, CONTEXT, ROWS = 4096, 256, 16
ROUNDS, STEPS, WARMUP_STEPS = 7, 6, 3
MAX_DISTURBED_ROUNDS = 40
PATH = FastPath("cpu", "bfloat16", True, "matmul")

Step = Callable[[Tensor], object]


def config_of(name: str) -> ModelConfig:
    layers, width, heads, hidden = SHAPES[name]
    return ModelConfig(
        vocab_size=VOCABULARY, context=CONTEXT, width=width, layers=layers, heads=heads, kv_heads=heads,
        head_dim=width // heads, hidden=hidden, qk_norm=False, tied=True,
    )  # fmt: skip


def their_step(config: ModelConfig) -> Step:
    """The plain loop; its attention is torch's fused kernel, as transformers chooses."""
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

    model: nn.Module = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocab_size, hidden_size=config.width, intermediate_size=config.hidden,
            num_hidden_layers=config.layers, num_attention_heads=config.heads, num_key_value_heads=config.kv_heads,
            max_position_embeddings=config.context, tie_word_embeddings=True, use_cache=False,
        )
    )  # fmt: skip
    assert sum(p.numel() for p in model.parameters()) == config.parameter_count()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)

    def step(ids_BT: Tensor) -> None:
        logits_BTV = model(ids_BT[:, :-1]).logits
        F.cross_entropy(logits_BTV.flatten(0, 1), ids_BT[:, 1:].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def our_step(config: ModelConfig, *, muon: bool, path: FastPath = PATH) -> Step:
    model = LanguageModel(config)
    initialise(model, seed=0)
    optimizers = Optimizers(model, OptimizerSettings(learning_rate=1e-3, muon=muon))
    path = replace(path, lanes=lanes_for(path.device, config, ROWS))
    loss_of, lanes = pretraining_loss(model, path), Lanes(path.lanes)

    def step(ids_BT: Tensor) -> None:
        parts = ids_BT.chunk(path.lanes)
        losses = [lambda part=part: loss_of(part[:, :-1], part[:, 1:]) / len(parts) for part in parts]
        gradient_step(optimizers, losses, lanes=lanes)

    return step


WAYS: dict[str, Callable[[ModelConfig], Step]] = {
    "transformers, eager float32": their_step,
    "gptwright": lambda config: our_step(config, muon=True),
    "gptwright, AdamW alone": lambda config: our_step(config, muon=False),
}


def work(pipe: Connection, way: str, name: str, threads: int) -> None:
    """A process that times a block of steps whenever it is asked to, and the machine's limit when asked for that."""
    torch.set_num_threads(threads)
    if way != "transformers, eager float32":
        keep_freed_memory()  # as the program does when it starts
    step, generator = WAYS[way](config_of(name)), torch.Generator().manual_seed(0)
    batches = torch.randint(VOCABULARY, (STEPS, ROWS, CONTEXT + 1), generator=generator)

    def block(count: int) -> None:
        for ids_BT in batches[:count]:
            step(ids_BT)

    block(WARMUP_STEPS)
    pipe.send("ready")
    while (wanted := pipe.recv()) != "end":
        pipe.send(matmul_limit(PATH) if wanted == "limit" else timed(lambda: block(STEPS)))


def measure(name: str, threads: int) -> dict[str, Any]:
    """Median tokens per second of each way, and what share of the limit that is."""
    config, context = config_of(name), multiprocessing.get_context("spawn")
    workers = {}
    for way in WAYS:
        ours, theirs = context.Pipe()
        context.Process(target=work, args=(theirs, way, name, threads), daemon=True).start()
        workers[way] = ours
        ours.recv()  # one after the other: they would disturb each other

    def ask(way: str, what: str) -> Any:
        workers[way].send(what)
        return workers[way].recv()

    kept: dict[str, list[float]] = {way: [] for way in WAYS}
    limits: list[float] = []
    disturbed = 0
    while len(limits) < ROUNDS:
        taken = {way: ask(way, "time") for way in WAYS}
        if all(time.quiet for time in taken.values()):
            limits.append(ask("gptwright", "limit"))
            for way, time in taken.items():
                kept[way].append(STEPS * ROWS * CONTEXT / time.seconds)
        else:
            disturbed += 1
            if disturbed > MAX_DISTURBED_ROUNDS:
                raise RuntimeError("other processes keep this machine busy: run the benchmark again when it is idle")
    for pipe in workers.values():
        pipe.send("end")
    return summary(config, kept, max(limits)) | {"rounds_disturbed_by_others": disturbed}


def summary(config: ModelConfig, kept: dict[str, list[float]], limit: float) -> dict[str, Any]:
    flops, medians = config.flops_per_token(CONTEXT), {way: statistics.median(rates) for way, rates in kept.items()}
    return {
        "parameters": config.parameter_count(),
        "tokens_per_second": {way: round(rate) for way, rate in medians.items()},
        "range": {way: [round(min(rates)), round(max(rates))] for way, rates in kept.items()},
        "times_transformers": {way: rate / medians["transformers, eager float32"] for way, rate in medians.items()},
        "share_of_limit": {way: rate * flops / limit for way, rate in medians.items()},
        "limit_gflops": limit / 1e9,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=",".join(SHAPES))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    unknown = [name for name in options.sizes.split(",") if name not in SHAPES]
    if unknown:
        parser.error(f"no size is called {unknown[0]!r}: use {', '.join(SHAPES)}")
    sizes = {}
    for name in options.sizes.split(","):
        sizes[name] = measure(name, options.threads)
        print(name, sizes[name], flush=True)
    figures = {"context": CONTEXT, "rows": ROWS, "vocabulary": VOCABULARY, "rounds": ROUNDS, "sizes": sizes}
    print(write_result("pretraining", f"python benchmarks/pretraining.py --sizes {options.sizes}", figures))


if __name__ == "__main__":
    main()
