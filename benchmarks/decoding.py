"""Tokens per second of the engine against `transformers` generate, side by side, on models with random weights.

    python benchmarks/decoding.py [--sizes 1m,26m,124m] [--rounds 5]

Alone: one prompt of 32 tokens, 64 more. Batch: 16 prompts of 8 to 68 tokens that want 16 to 106 tokens; theirs goes on
until the last has what it wants, and the tokens wanted count. Greedy, no stop tokens, on one thread and on all, in
float32 and in bfloat16; each program is quoted with the best of its four. Whether the tokens in float32 are the same is
told, and ours in int8, which is not counted.
Besides: what share of the memory's speed the weights are read at, and what following a JSON schema costs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from record import write_result

from gptwright.allocator import keep_freed_memory
from gptwright.engine.constraint import Grammar
from gptwright.engine.engine import Engine
from gptwright.engine.native.decoder import Weights
from gptwright.engine.params import SamplingParams
from gptwright.engine.request import Request
from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, initialise
from gptwright.tokenizer.bpe import train_characters

# layers, width, heads, hidden, vocabulary
SHAPES = {"1m": (4, 128, 4, 352, 4096), "26m": (7, 512, 8, 1408, 6400), "124m": (12, 768, 12, 2048, 50304)}
CONTEXT, PROMPT, NEW, BATCH, GUIDED = 256, 32, 64, 16, 8
MEMORY_BYTES = 2**29

Work = Callable[[], list[list[int]]]


def our_model(name: str) -> LanguageModel:
    layers, width, heads, hidden, vocabulary = SHAPES[name]
    config = ModelConfig(
        vocab_size=vocabulary, context=CONTEXT, width=width, layers=layers, heads=heads, kv_heads=heads,
        head_dim=width // heads, hidden=hidden, qk_norm=False, tied=True,
    )  # fmt: skip
    model = LanguageModel(config).eval()
    initialise(model, seed=0)
    with torch.no_grad():
        model.lm_head.weight.mul_(4)  # so that no two tokens are nearly as likely
    return model


def their_model(ours: LanguageModel, dtype: torch.dtype) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

    config = ours.config
    theirs = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocab_size, hidden_size=config.width, intermediate_size=config.hidden,
            num_hidden_layers=config.layers, num_attention_heads=config.heads, num_key_value_heads=config.kv_heads,
            max_position_embeddings=config.context, tie_word_embeddings=True,
            rms_norm_eps=config.norm_eps, bos_token_id=None, eos_token_id=None, pad_token_id=0,
        )
    )  # fmt: skip
    theirs.load_state_dict(ours.state_dict())
    return theirs.to(dtype).eval()


def prompts_of(name: str, batch: bool) -> tuple[list[list[int]], list[int]]:
    """Prompts, and how many tokens each wants."""
    generator = torch.Generator().manual_seed(1)
    lengths = [8 + 4 * i for i in range(BATCH)] if batch else [PROMPT]
    wanted = [16 + 6 * (i * 7 % BATCH) for i in range(BATCH)] if batch else [NEW]
    prompts = [torch.randint(1, SHAPES[name][-1], (length,), generator=generator).tolist() for length in lengths]
    return prompts, wanted


def our_work(model: LanguageModel, prompts: list[list[int]], wanted: list[int], weights: Weights) -> Work:
    engine = Engine(model, stop_ids=set(), frozen=True, weights=weights)
    params = [SamplingParams(count, temperature=0) for count in wanted]
    requests = [Request(prompt, each) for prompt, each in zip(prompts, params, strict=True)]
    return lambda: [completion.ids for completion in engine.generate(requests)]


def their_work(model: Any, prompts: list[list[int]], wanted: list[int]) -> Work:
    longest = max(map(len, prompts))
    ids_BT = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    seen_BT = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])

    @torch.inference_mode()
    def work() -> list[list[int]]:
        found = model.generate(ids_BT, attention_mask=seen_BT, max_new_tokens=max(wanted), do_sample=False)
        return [row[longest : longest + count].tolist() for row, count in zip(found, wanted, strict=True)]

    return work


def with_threads(count: int, work: Work) -> Work:
    def run() -> list[list[int]]:
        torch.set_num_threads(count)
        return work()

    return run


def rates(ways: dict[str, Work], tokens: int, rounds: int) -> dict[str, float]:
    """Median tokens per second of each way; they take turns."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, work in ways.items():
            started = time.perf_counter()
            work()
            if turn:  # the first one warms up
                taken[name].append(tokens / (time.perf_counter() - started))
    return {name: statistics.median(found) for name, found in taken.items()}


def measure(name: str, rounds: int, threads: int) -> dict[str, Any]:
    """Both programs, alone and in a batch."""
    model = our_model(name)
    theirs: dict[Weights, Any] = {
        "float32": their_model(model, torch.float32), "bfloat16": their_model(model, torch.bfloat16),
    }  # fmt: skip
    found: dict[str, Any] = {"parameters": model.config.parameter_count()}
    for kind in ("alone", "batch"):
        prompts, wanted = prompts_of(name, kind == "batch")
        ways: dict[str, Work] = {}
        for precision, their in theirs.items():
            our = our_work(model, prompts, wanted, precision)
            for count in sorted({1, threads}):
                told = f"{precision}, {count} thread{'s' * (count > 1)}"
                ways[f"transformers, {told}"] = with_threads(count, their_work(their, prompts, wanted))
                ways[f"gptwright, {told}"] = with_threads(count, our)
        for count in sorted({1, threads}):
            told = f"int8, {count} thread{'s' * (count > 1)}"
            ways[f"gptwright, {told}"] = with_threads(count, our_work(model, prompts, wanted, "int8"))
        same = ways["gptwright, float32, 1 thread"]() == ways["transformers, float32, 1 thread"]()
        speeds = rates(ways, sum(wanted), rounds)
        counted = {way: speed for way, speed in speeds.items() if "int8" not in way}
        best = {who: max(v for k, v in counted.items() if k.startswith(who)) for who in ("transformers", "gptwright")}
        ratio = best["gptwright"] / best["transformers"]
        found[kind] = {"tokens_per_second": speeds, "best": best, "same_tokens": same, "ratio": ratio}
        print(name, kind, {key: round(value) for key, value in speeds.items()}, f"{found[kind]['ratio']:.2f} times")
    weight_bytes = {"float32": 4, "bfloat16": 2, "int8": 1}
    alone = found["alone"]["tokens_per_second"]
    read = {
        precision: size * found["parameters"] * max(alone[k] for k in alone if k.startswith(f"gptwright, {precision}"))
        for precision, size in weight_bytes.items()
    }
    found["weights_read_gb_per_second"] = {precision: value / 1e9 for precision, value in read.items()}
    return found


def memory_speed(threads: int) -> float:
    """GB/s at which an array that no cache holds is read: the best of one thread and all."""
    data, speeds = torch.ones(MEMORY_BYTES // 4), []
    for count in (1, threads):
        torch.set_num_threads(count)
        for _ in range(5):
            started = time.perf_counter()
            data.sum()
            speeds.append(MEMORY_BYTES / (time.perf_counter() - started) / 1e9)
    return max(speeds)


def guided_cost(rounds: int, threads: int) -> dict[str, float]:
    """Tokens per second of eight answers, free and after a schema that forces little, on the 26M model."""
    tokenizer = train_characters([])
    layers, width, heads, hidden, _ = SHAPES["26m"]
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, context=CONTEXT, width=width, layers=layers, heads=heads, kv_heads=heads,
        head_dim=width // heads, hidden=hidden, qk_norm=False, tied=True,
    )  # fmt: skip
    model = LanguageModel(config).eval()
    initialise(model, seed=0)
    stops = {tokenizer.end_of_turn}
    engine = Engine(model, stop_ids=stops, tokenizer=tokenizer, frozen=True, weights="bfloat16")
    grammar = Grammar.json_schema({"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 200}})
    never_ends = {tokenizer.end_of_turn: -100.0}

    def work(wanted: Grammar | None) -> Work:
        params = [SamplingParams(150, seed=i, grammar=wanted, logit_bias=never_ends) for i in range(GUIDED)]
        requests = [Request(list(range(65, 65 + PROMPT)), each) for each in params]
        return lambda: [completion.ids for completion in engine.generate(requests)]

    torch.set_num_threads(threads)
    ways = {"free": work(None), "guided": work(grammar)}
    for name, way in ways.items():
        if sum(map(len, way())) != GUIDED * 150:
            raise SystemExit(f"an answer of the kind {name} ended early: the two cannot be compared")
    found = rates(ways, GUIDED * 150, rounds)
    return found | {"cost": 1 - found["guided"] / found["free"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1m,26m,124m")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    keep_freed_memory()
    threads = torch.get_num_threads()
    memory = memory_speed(threads)
    sizes = {name: measure(name, arguments.rounds, threads) for name in arguments.sizes.split(",")}
    for found in sizes.values():
        read = found["weights_read_gb_per_second"]
        found["share_of_memory_speed"] = {precision: value / memory for precision, value in read.items()}
    guided = guided_cost(arguments.rounds, threads)
    print(f"memory {memory:.1f} GB/s; a schema costs {guided['cost']:.1%}")
    command = f"python benchmarks/decoding.py --sizes {arguments.sizes} --rounds {arguments.rounds}"
    write_result("decoding", command, {"memory_gb_per_second": memory, "sizes": sizes, "guided": guided})


if __name__ == "__main__":
    main()
