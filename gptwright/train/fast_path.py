"""Which way of computing is fastest on this machine: found by a short measurement, remembered in the run's folder.

Precision, compilation and the attention kernel change speed by up to two times, and which wins depends on the
processor. The choice is stored, because a resumed run must compute the same bits as the one before it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from gptwright.errors import InputError
from gptwright.lanes import Lanes
from gptwright.losses.chunked import chunked_language_loss
from gptwright.losses.language import language_loss, token_logprobs, z_loss
from gptwright.losses.reduce import masked_sum
from gptwright.model.attention import AttentionKernel, causal_within, within_documents
from gptwright.model.config import ModelConfig
from gptwright.model.transformer import (
    BlockRunner,
    LanguageModel,
    ScalarModel,
    Transformer,
    initialise,
    recomputing,
    run_block,
    use_attention,
)
from gptwright.recipe import MachineSettings
from gptwright.train.machine import device_for
from gptwright.train.progress import say
from gptwright.train.step import accumulate

Function = TypeVar("Function", bound=Callable[..., Any])
M = TypeVar("M", LanguageModel, ScalarModel)

LOGITS_BYTES = 2**29
"""Logits in float32 above this size are computed in chunks of it."""
LANES_UP_TO = 50_000_000
"""Parameters of the largest model whose batches are halved; of larger ones, products fill all cores."""
EAGER_ROWS = 4
"""Rows, at most, that tell which precision is faster; the choice should not take long."""
BOTH_FROM_SECONDS = 800.0
"""A longer run on a CPU is worth compiling twice: the precision that was slower without may be faster with it."""
MEASURED_TOKENS = 16_384
"""Read at a time, at most, to measure a path: a batch of more goes through in parts where memory asks for it."""
MEASURED_WHOLE, MEASURED_LAYERS = 1_000_000_000, 2
"""Parameters above which so many layers are measured: the whole may not fit on one device before it is sharded."""
FEWEST_ROWS = 2
"""Fewer are filled up: for them torch.compile writes another program, which takes longer than they do."""
COMPILE_SECONDS = 40.0
"""What compiling is taken to cost before it is measured; shorter runs don't try."""


@dataclass(frozen=True)
class FastPath:
    """A way of computing, and the speed that was measured for it in tokens/s (0 when it was given, not measured)."""

    device: str
    precision: str
    compiled: bool = False
    kernel: AttentionKernel = "fused"
    lanes: int = 1
    """Parts of a pretraining batch that are computed side by side, each with its share of the cores."""
    tokens_per_second: float = 0.0

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The context in which forward passes run: weights stay float32, matrix products use `precision`."""
        if self.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device, dtype=torch.bfloat16)

    def compiled_if_asked(self, function: Function, *, any_rows: bool = False) -> Function:
        """The function through torch.compile, or as it is. Every shape is compiled for itself; with `any_rows`, the
        first dimension of all tensors may change without compiling anew.
        """
        if not self.compiled:
            return function
        # As C++ alone a program is one file, not one for each loop, so that the compiler is done sooner; and it lets go
        # of the interpreter's lock, so that lanes do not wait for each other.
        options: dict[str, Any] | None = {"cpp_wrapper": True} if self.device == "cpu" else None
        compiled = torch.compile(function, dynamic=None if any_rows else False, options=options)
        if not any_rows:
            return cast(Function, compiled)

        def call(*arguments: object) -> object:
            for argument in arguments:
                if isinstance(argument, Tensor):
                    torch._dynamo.maybe_mark_dynamic(argument, 0)
            return compiled(*arguments)

        return cast(Function, call)

    def block_runner(self, recompute: bool = False, *, any_rows: bool = False) -> BlockRunner:
        """How blocks are computed. Compiled one by one: all blocks share one program, so that compiling takes as long
        for 96 layers as for one. The embedding stays outside: compiled, its backward adds with atomics on a CPU, in an
        order that changes from run to run.
        """
        run = self.compiled_if_asked(run_block, any_rows=any_rows)
        return recomputing(run) if recompute else run

    def eager(self) -> FastPath:
        """The same device without compiling; on a CPU in float32, since eager bfloat16 does not pay there."""
        return FastPath(self.device, self.precision if self.device == "cuda" else "float32")


def frozen(model: M, path: FastPath, settings: MachineSettings) -> M:
    """A model that will only be read: where asked for, its blocks' matrices are kept in bfloat16. Autocast rounds them
    so before every product; embedding and norms, which it does not round, stay as they are. So all numbers stay too.

    Raises InputError where nothing is computed in bfloat16.
    """
    if settings.frozen_bfloat16:
        if path.precision != "bfloat16":
            raise InputError(
                f"machine.frozen_bfloat16 is for models read in bfloat16, and this run computes in {path.precision}: "
                "set machine.precision=bfloat16, or leave it out"
            )
        for module in model.model.layers.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight.data = module.weight.data.bfloat16()
    return model


LossFunction = Callable[[Tensor, Tensor], Tensor]
PackedLossFunction = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
TreeTrunk = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def pretraining_loss(
    model: LanguageModel,
    path: FastPath,
    *,
    z_weight: float = 0.0,
    recompute: bool = False,
    opening: int | None = None,
) -> LossFunction:
    """(ids, targets) -> mean loss, computed the way `path` says; `z_weight` is that of `z_loss`.

    Given the token that opens a document, each sees itself alone; RoPE knows only distances, so that positions may go
    on over a row. With `recompute`, blocks keep their inputs alone. Logits that would take more than `LOGITS_BYTES`
    never exist whole.
    """
    use_attention(model, path.kernel)
    run = path.block_runner(recompute)

    def read(x_BTD: Tensor, target_BT: Tensor) -> Tensor:
        logits_BTV = model.lm_head(model.model.final(x_BTD))
        loss = language_loss(logits_BTV, target_BT)
        return loss + z_weight * z_loss(logits_BTV) if z_weight else loss

    whole, row_bytes = path.compiled_if_asked(read), 4 * model.config.vocab_size

    def loss(ids_BT: Tensor, target_BT: Tensor) -> Tensor:
        mask = None if opening is None else within_documents(ids_BT, opening)
        with path.autocast():
            x_BTD = model.model.blocks(model.model.embed_tokens(ids_BT), mask, run=run)
            if ids_BT.numel() * row_bytes <= LOGITS_BYTES:
                return whole(x_BTD, target_BT)
            hidden_ND, chunk = model.model.final(x_BTD).flatten(0, 1), max(1, LOGITS_BYTES // row_bytes)
            return chunked_language_loss(
                hidden_ND, model.lm_head.weight, target_BT.flatten(), chunk=chunk, z_weight=z_weight
            )

    return loss


def tree_trunk(trunk: Transformer, path: FastPath) -> TreeTrunk:
    """(ids, segments, parents, positions), (B, T) each -> final hidden states (B, T, D), computed the way `path` says.

    Tokens see earlier tokens of their own segment and of its parent: a prompt stands once in front of its answers, and
    each answer gets the same hidden states as behind the prompt by itself.
    """
    blocks = _tree_blocks(trunk, path)

    def hidden(ids_BT: Tensor, segment_BT: Tensor, parent_BT: Tensor, position_BT: Tensor) -> Tensor:
        with path.autocast():
            return trunk.final(blocks(ids_BT, segment_BT, parent_BT, position_BT))

    return hidden


def _tree_blocks(trunk: Transformer, path: FastPath) -> TreeTrunk:
    """`tree_trunk` without the last norm. One program serves SFT, reward model and PPO, with any number of rows."""
    use_attention(trunk, path.kernel)
    run = path.block_runner(any_rows=True)

    def blocks(ids_BT: Tensor, segment_BT: Tensor, parent_BT: Tensor, position_BT: Tensor) -> Tensor:
        rows = len(ids_BT)
        if path.compiled and rows < FEWEST_ROWS:
            more = (0, 0, 0, FEWEST_ROWS - rows)
            return blocks(*(F.pad(field, more) for field in (ids_BT, segment_BT, parent_BT, position_BT)))[:rows]
        mask = causal_within(segment_BT) | (parent_BT[:, None, :, None] == segment_BT[:, None, None, :])
        if path.compiled:
            tell_of_compiling("packed rows")
        with path.autocast():
            return trunk.blocks(trunk.embed_tokens(ids_BT), mask, position_BT, run)

    return blocks


def without_parents(blocks: TreeTrunk, ids_BT: Tensor, segment_BT: Tensor) -> Tensor:
    """What `blocks` gives for segments that see themselves alone, such as plain text or whole conversations.

    Positions go on over a whole row: RoPE knows only distances, so a conversation behind another one gets the same
    hidden states as by itself.
    """
    position_BT = torch.arange(ids_BT.shape[1], device=ids_BT.device).expand_as(ids_BT)
    return blocks(ids_BT, segment_BT, torch.full_like(ids_BT, -2), position_BT.contiguous())


def packed_loss(model: LanguageModel, path: FastPath) -> PackedLossFunction:
    """(ids, targets, weights, segments), (B, T) each -> sum of weight * loss, computed the way `path` says."""
    blocks = _tree_blocks(model.model, path)

    def read(x_BTD: Tensor, target_BT: Tensor, weight_BT: Tensor) -> Tensor:
        nll_BT = -token_logprobs(model.lm_head(model.model.final(x_BTD)), target_BT)
        return masked_sum(nll_BT * weight_BT, weight_BT > 0)

    whole = path.compiled_if_asked(read, any_rows=True)

    def loss(ids_BT: Tensor, target_BT: Tensor, weight_BT: Tensor, segment_BT: Tensor) -> Tensor:
        with path.autocast():
            return whole(without_parents(blocks, ids_BT, segment_BT), target_BT, weight_BT)

    return loss


def choose(
    folder: Path, config: ModelConfig, settings: MachineSettings, *, rows: int, tokens: int, for_all: bool = False
) -> FastPath:
    """The path stored in `folder`, or else the fastest one measured now, which is then stored.

    A stored path that the settings now rule out is measured anew: whoever asks for another precision gets it. So is one
    that was found for another model, or for a run too short to compile where this one is longer. One that was
    found `for_all` holds for every model. Raises InputError where the device that is asked for is not there.
    """
    device_for(settings.device)
    stored = folder / "fast_path.json"
    measured_for = None if for_all else {"parameters": config.parameter_count(), "context": config.context}
    if stored.is_file():
        told = json.loads(stored.read_text(encoding="utf-8"))
        known, read = told.pop("model", None), told.pop("tokens", tokens)
        path = FastPath(**told)
        may_compile = settings.compile == "auto" and not path.compiled and tokens > 2 * read
        if known in (None, measured_for) and not may_compile and _allowed(path, settings):
            return path
    path = _choose(config, settings, rows=rows, tokens=tokens)
    partial = folder / "fast_path.json.partial"  # a kill while writing must not leave half a file
    text = json.dumps(asdict(path) | {"model": measured_for, "tokens": tokens}, indent=2) + "\n"
    partial.write_text(text, encoding="utf-8")
    partial.replace(stored)
    return path


def _allowed(path: FastPath, settings: MachineSettings) -> bool:
    return (
        settings.device in ("auto", path.device)
        and (path.device != "cuda" or torch.cuda.is_available())  # the folder may come from another machine
        and settings.precision in ("auto", path.precision)
        and settings.compile in ("auto", "always" if path.compiled else "never")
    )


def _choose(config: ModelConfig, settings: MachineSettings, *, rows: int, tokens: int) -> FastPath:
    device = device_for(settings.device)
    precisions = ["float32", "bfloat16"] if settings.precision == "auto" else [settings.precision]
    eager = [FastPath(device, precision) for precision in precisions]
    if len(eager) == 1 and settings.compile == "never":
        return eager[0]
    large = config.parameter_count() > MEASURED_WHOLE
    shape = replace(config, layers=min(config.layers, MEASURED_LAYERS)) if large else config

    def measured(path: FastPath, rows: int, steps: int = 4) -> FastPath:
        found = _measured(path, shape, rows, steps, settings.recompute)
        share = shape.flops_per_token(config.context) / config.flops_per_token(config.context)
        return replace(found, tokens_per_second=found.tokens_per_second * share)

    if len(eager) > 1 or settings.compile == "auto":
        eager = [measured(path, min(rows, EAGER_ROWS), steps=2) for path in eager]
    eager.sort(key=lambda path: -path.tokens_per_second)
    best = eager[0]
    worth_trying = settings.compile == "always" or (
        settings.compile == "auto"
        and compiler_present()
        and tokens / max(best.tokens_per_second, 1.0) > 3 * COMPILE_SECONDS
    )
    if worth_trying:
        tell_of_compiling("pretraining")
        kernel: AttentionKernel = "matmul" if device == "cpu" else "fused"
        lanes = lanes_for(device, config, rows)
        first, *others = [FastPath(device, path.precision, True, kernel, lanes) for path in eager]
        rows = max(min(rows, lanes), min(rows, MEASURED_TOKENS // config.context // lanes * lanes))
        compiled = measured(first, rows)
        if device == "cpu" and tokens / max(compiled.tokens_per_second, 1.0) > BOTH_FROM_SECONDS:
            compiled = max([compiled, *(measured(path, rows) for path in others)], key=lambda p: p.tokens_per_second)
        if settings.compile == "always" or compiled.tokens_per_second > best.tokens_per_second:
            best = compiled
    say(
        f"fast path    {best.precision}, {'compiled' if best.compiled else 'eager'}, {best.kernel} attention"
        f"{', two halves side by side' if best.lanes == 2 else ''}: "
        f"{best.tokens_per_second:,.0f} tokens/s"
    )
    return best


@cache
def tell_of_compiling(what: str) -> None:
    """Once for each program of a process: nothing else happens meanwhile."""
    say(f"compiling    {what}: a minute or two, the first time on a machine")


def lanes_for(device: str, config: ModelConfig, rows: int) -> int:
    """Two for a small model on a CPU: its operations are too small for many cores. More would each hold gradients."""
    small = config.parameter_count() <= LANES_UP_TO
    return 2 if device == "cpu" and small and rows % 2 == 0 and torch.get_num_threads() > 1 else 1


def compiler_present() -> bool:
    """torch.compile on CPU needs a C++ compiler at hand."""
    return any(shutil.which(name) for name in (("cl",) if sys.platform == "win32" else ("g++", "clang++", "c++")))


def _measured(path: FastPath, config: ModelConfig, rows: int, steps: int, recompute: bool) -> FastPath:
    """Median speed of a few forward and backward passes on random tokens, after one to warm up; 0 where the device has
    too little memory for them.
    """
    model = LanguageModel(config)
    initialise(model, seed=0)
    model.to(path.device)
    loss_of, parameters = pretraining_loss(model, path, recompute=recompute), list(model.parameters())
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(config.vocab_size, (rows, config.context + 1), generator=generator).to(path.device)
    parts = [partial(loss_of, part[:, :-1], part[:, 1:]) for part in ids.chunk(path.lanes)]
    seconds = []
    with Lanes(path.lanes) as lanes:
        for _ in range(steps + 1):
            started = time.perf_counter()
            try:
                accumulate(parts, parameters, lanes)
            except torch.OutOfMemoryError:
                return path
            if path.device == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
    median = sorted(seconds[1:])[steps // 2]
    return replace(path, tokens_per_second=rows * config.context / median)
