"""Tokens per second of the engine against llama.cpp on the same exported models, side by side, random weights.

    pip install llama-cpp-python gguf     # builds llama.cpp: about ten minutes
    python benchmarks/beside_llama_cpp.py [--sizes 1m,26m,124m] [--rounds 5]

Prompts, answers and what is counted are those of `decoding.py`: alone and 16 together, greedy, on all cores. The model
is written as GGUF in float32, bfloat16 and Q8_0, and both programs are quoted in each precision (ours has int8 with a
scale for each output, theirs one for each 32 weights). llama.cpp is called by its C interface: a step of all rows
is one `llama_decode`, and the likeliest token is found by numpy.
"""

from __future__ import annotations

import argparse
import ctypes
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import llama_cpp
import numpy as np
import torch
from decoding import CONTEXT, Work, our_model, our_work, prompts_of, rates
from record import write_result

from gptwright.allocator import keep_freed_memory
from gptwright.engine.native.decoder import Weights
from gptwright.model.transformer import LanguageModel

KINDS: dict[Weights, gguf.GGMLQuantizationType] = {
    "float32": gguf.GGMLQuantizationType.F32,
    "bfloat16": gguf.GGMLQuantizationType.BF16,
    "int8": gguf.GGMLQuantizationType.Q8_0,
}
NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def write_gguf(model: LanguageModel, kind: gguf.GGMLQuantizationType, path: Path) -> None:
    """A model of llama's architecture without a tokenizer. llama.cpp rotates neighbouring dimensions where we rotate
    halves, so rows of q and k are put in that order.
    """
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.hidden)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_tokenizer_model("none")

    def add(name: str, tensor: torch.Tensor) -> None:
        data = tensor.detach().float().numpy()
        stored = kind if data.ndim == 2 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(data, stored), raw_dtype=stored)

    add("token_embd", model.model.embed_tokens.weight)
    add("output", model.lm_head.weight)
    add("output_norm", model.model.norm.weight)
    for layer, block in enumerate(model.model.layers):
        weights = {name.removesuffix(".weight"): weight for name, weight in block.named_parameters()}
        for name, theirs in NAMES.items():
            weight = weights[name]
            if theirs in ("attn_q", "attn_k"):
                weight = weight.view(-1, 2, config.head_dim // 2, config.width).transpose(1, 2).flatten(0, 2)
            add(f"blk.{layer}.{theirs}", weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class LlamaCpp:
    """One model in llama.cpp, with room for so many rows."""

    def __init__(self, path: Path, vocabulary: int, rows: int, threads: int) -> None:
        self.vocabulary = vocabulary
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch, params.n_seq_max = CONTEXT * rows, 2048, 2048, rows
        params.n_threads = params.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        if not self.context:
            raise SystemExit(f"llama.cpp refuses {path.name}")

    def step(self, chunks: Sequence[tuple[int, int, list[int]]]) -> list[int]:
        """(row, position, new tokens) each -> the likeliest token after each."""
        batch, last = llama_cpp.llama_batch_init(sum(len(ids) for _, _, ids in chunks), 0, 1), []
        for row, start, ids in chunks:
            for i, token in enumerate(ids):
                at = batch.n_tokens
                batch.token[at], batch.pos[at], batch.n_seq_id[at] = token, start + i, 1
                batch.seq_id[at][0], batch.logits[at] = row, i == len(ids) - 1
                batch.n_tokens += 1
            last.append(batch.n_tokens - 1)
        if llama_cpp.llama_decode(self.context, batch):
            raise SystemExit("llama.cpp: llama_decode failed")
        found = [self._likeliest(place) for place in last]
        llama_cpp.llama_batch_free(batch)
        return found

    def _likeliest(self, place: int) -> int:
        logits = llama_cpp.llama_get_logits_ith(self.context, place)
        return int(
            np.ctypeslib.as_array(ctypes.cast(logits, ctypes.POINTER(ctypes.c_float)), (self.vocabulary,)).argmax()
        )

    def generate(self, prompts: list[list[int]], wanted: list[int]) -> list[list[int]]:
        """Greedy answers, all rows together; a row that has what it wants leaves."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        answers: list[list[int]] = [[] for _ in prompts]
        going, new = list(range(len(prompts))), [(row, 0, prompt) for row, prompt in enumerate(prompts)]
        while going:
            for row, token in zip(going, self.step(new), strict=True):
                answers[row].append(token)
            going = [row for row in going if len(answers[row]) < wanted[row]]
            new = [(row, len(prompts[row]) + len(answers[row]) - 1, answers[row][-1:]) for row in going]
        return answers


def measure(name: str, rounds: int, threads: int) -> dict[str, Any]:
    model, found = our_model(name), dict[str, Any]()
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("alone", "batch"):
            prompts, wanted = prompts_of(name, kind == "batch")
            ways: dict[str, Work] = {}
            for precision, quantization in KINDS.items():
                path = Path(folder) / f"{precision}.gguf"
                if not path.is_file():
                    write_gguf(model, quantization, path)
                theirs = LlamaCpp(path, model.config.vocab_size, len(prompts), threads)
                ways[f"llama.cpp, {precision}"] = partial(theirs.generate, prompts, wanted)
                ways[f"gptwright, {precision}"] = our_work(model, prompts, wanted, precision)
            same = ways["gptwright, float32"]() == ways["llama.cpp, float32"]()
            speeds = rates(ways, sum(wanted), rounds)
            ratios = {each: speeds[f"gptwright, {each}"] / speeds[f"llama.cpp, {each}"] for each in KINDS}
            found[kind] = {"tokens_per_second": speeds, "same_tokens": same, "ratios": ratios}
            told = ", ".join(f"{each} {ratio:.2f}" for each, ratio in ratios.items())
            print(name, kind, {way: round(speed) for way, speed in speeds.items()}, f"same {same}; times: {told}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1m,26m,124m")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    keep_freed_memory()
    llama_cpp.llama_backend_init()
    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    threads = torch.get_num_threads()
    sizes = {name: measure(name, arguments.rounds, threads) for name in arguments.sizes.split(",")}
    command = f"python benchmarks/beside_llama_cpp.py --sizes {arguments.sizes} --rounds {arguments.rounds}"
    write_result("llama_cpp", command, {"llama_cpp_python": llama_cpp.__version__, "sizes": sizes})


if __name__ == "__main__":
    main()
