"""The pretraining step against the loop that one would write by hand around transformers, side by side.

    python benchmarks/pretraining.py [--threads 2] [--sizes 1m,3m,10m]

Theirs is a Llama of transformers of the same shape, eager, in float32, with AdamW; ours is what the stage does:
compiled block by block, bfloat16 products over float32 weights, Muon and AdamW. Context 256, 16 rows a step, vocabulary
4,096, random tokens. The two alternate in one process, and rounds that other processes disturbed don't count. The limit
is the best bfloat16 matrix product measured on the machine.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import torch
from quiet import timed
from record import write_result
from torch import Tensor, nn
from torch.nn import functional as F

from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, initialise
from gptwright.recipe import OptimizerSettings
from gptwright.train.fast_path import FastPath, pretraining_loss
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


def our_step(config: ModelConfig, *, muon: bool) -> Step:
    model = LanguageModel(config)
    initialise(model, seed=0)
    optimizers = Optimizers(model, OptimizerSettings(learning_rate=1e-3, muon=muon))
    loss_of = pretraining_loss(model, PATH)
    return lambda ids_BT: gradient_step(optimizers, [lambda: loss_of(ids_BT[:, :-1], ids_BT[:, 1:])])


def measure(name: str) -> dict[str, Any]:
    """Median tokens per second of each way, and what share of the limit that is."""
    config, generator = config_of(name), torch.Generator().manual_seed(0)
    batches = torch.randint(VOCABULARY, (STEPS, ROWS, CONTEXT + 1), generator=generator)
    steps = {
        "transformers, eager float32": their_step(config),
        "gptwright": our_step(config, muon=True),
        "gptwright, AdamW alone": our_step(config, muon=False),
    }

    def block(step: Step, count: int) -> None:
        for ids_BT in batches[:count]:
            step(ids_BT)

    for step in steps.values():
        block(step, WARMUP_STEPS)
    kept: dict[str, list[float]] = {way: [] for way in steps}
    limits, disturbed = [], 0
    while len(limits) < ROUNDS:
        taken = {way: timed(lambda step=step: block(step, STEPS)) for way, step in steps.items()}
        if all(time.quiet for time in taken.values()):
            limits.append(matmul_limit(PATH))
            for way, time in taken.items():
                kept[way].append(STEPS * ROWS * CONTEXT / time.seconds)
        else:
            disturbed += 1
            if disturbed > MAX_DISTURBED_ROUNDS:
                raise RuntimeError("other processes keep this machine busy: run the benchmark again when it is idle")
    limit, flops = max(limits), config.flops_per_token(CONTEXT)
    medians = {way: statistics.median(rates) for way, rates in kept.items()}
    return {
        "parameters": config.parameter_count(),
        "tokens_per_second": {way: round(rate) for way, rate in medians.items()},
        "range": {way: [round(min(rates)), round(max(rates))] for way, rates in kept.items()},
        "times_transformers": {way: rate / medians["transformers, eager float32"] for way, rate in medians.items()},
        "share_of_limit": {way: rate * flops / limit for way, rate in medians.items()},
        "limit_gflops": limit / 1e9,
        "rounds_disturbed_by_others": disturbed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=",".join(SHAPES))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    unknown = [name for name in options.sizes.split(",") if name not in SHAPES]
    if unknown:
        parser.error(f"no size is called {unknown[0]!r}: use {', '.join(SHAPES)}")
    torch.set_num_threads(options.threads)
    sizes = {}
    for name in options.sizes.split(","):
        sizes[name] = measure(name)
        print(name, sizes[name], flush=True)
    figures = {"context": CONTEXT, "rows": ROWS, "vocabulary": VOCABULARY, "rounds": ROUNDS, "sizes": sizes}
    print(write_result("pretraining", f"python benchmarks/pretraining.py --sizes {options.sizes}", figures))


if __name__ == "__main__":
    main()
