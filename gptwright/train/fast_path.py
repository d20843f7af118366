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
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from gptwright.losses.language import language_loss, token_logprobs
from gptwright.losses.reduce import masked_sum
from gptwright.model.attention import AttentionKernel
from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, Transformer, initialise, use_attention
from gptwright.recipe import MachineSettings
from gptwright.train.progress import say

COMPILE_SECONDS = 40.0
"""What compiling is taken to cost before it is measured; shorter runs don't try."""


@dataclass(frozen=True)
class FastPath:
    """A way of computing, and the speed that was measured for it in tokens/s (0 when it was given, not measured)."""

    device: str
    precision: str
    compiled: bool = False
    kernel: AttentionKernel = "fused"
    tokens_per_second: float = 0.0

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The context in which forward passes run: weights stay float32, matrix products use `precision`."""
        if self.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device, dtype=torch.bfloat16)

    def eager(self) -> FastPath:
        """The same device without compiling; on a CPU in float32, since eager bfloat16 does not pay there."""
        return FastPath(self.device, self.precision if self.device == "cuda" else "float32")


LossFunction = Callable[[Tensor, Tensor], Tensor]
PackedLossFunction = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
TreeTrunk = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def pretraining_loss(model: LanguageModel, path: FastPath) -> LossFunction:
    """(ids, targets) -> mean loss, computed the way `path` says."""
    use_attention(model, path.kernel)

    def after_embedding(x_BTD: Tensor, target_BT: Tensor) -> Tensor:
        return language_loss(model.lm_head(model.model.blocks(x_BTD)), target_BT)

    tail = torch.compile(after_embedding) if path.compiled else after_embedding

    def loss(ids_BT: Tensor, target_BT: Tensor) -> Tensor:
        with path.autocast():
            return tail(model.model.embed_tokens(ids_BT), target_BT)

    return loss


def tree_trunk(trunk: Transformer, path: FastPath) -> TreeTrunk:
    """(ids, segments, parents, positions), (B, T) each -> final hidden states (B, T, D), computed the way `path` says.

    Tokens see earlier tokens of their own segment and of its parent: a prompt stands once in front of its answers, and
    each answer gets the same hidden states as behind the prompt by itself.
    """
    use_attention(trunk, path.kernel)

    def after_embedding(x_BTD: Tensor, segment_BT: Tensor, parent_BT: Tensor, position_BT: Tensor) -> Tensor:
        mask = _segment_mask(segment_BT) | (parent_BT[:, None, :, None] == segment_BT[:, None, None, :])
        return trunk.blocks(x_BTD, mask, position_BT)

    tail = torch.compile(after_embedding) if path.compiled else after_embedding

    def hidden(ids_BT: Tensor, segment_BT: Tensor, parent_BT: Tensor, position_BT: Tensor) -> Tensor:
        with path.autocast():
            return tail(trunk.embed_tokens(ids_BT), segment_BT, parent_BT, position_BT)

    return hidden


def _segment_mask(segment_BT: Tensor) -> Tensor:
    """Who may look at whom (B, 1, T, T): earlier tokens of the same segment."""
    tokens = segment_BT.shape[1]
    causal = torch.ones(tokens, tokens, dtype=torch.bool, device=segment_BT.device).tril()
    return causal & (segment_BT[:, None, :, None] == segment_BT[:, None, None, :])


def packed_loss(model: LanguageModel, path: FastPath) -> PackedLossFunction:
    """(ids, targets, weights, segments), (B, T) each -> sum of weight * loss, computed the way `path` says.

    Tokens see earlier tokens of their own segment alone. RoPE knows only distances, so a conversation packed behind
    another one gets the same hidden states as by itself.
    """
    use_attention(model, path.kernel)

    def after_embedding(x_BTD: Tensor, target_BT: Tensor, weight_BT: Tensor, segment_BT: Tensor) -> Tensor:
        hidden_BTD = model.model.blocks(x_BTD, _segment_mask(segment_BT))
        nll_BT = -token_logprobs(model.lm_head(hidden_BTD), target_BT)
        return masked_sum(nll_BT * weight_BT, weight_BT > 0)

    tail = torch.compile(after_embedding) if path.compiled else after_embedding

    def loss(ids_BT: Tensor, target_BT: Tensor, weight_BT: Tensor, segment_BT: Tensor) -> Tensor:
        with path.autocast():
            return tail(model.model.embed_tokens(ids_BT), target_BT, weight_BT, segment_BT)

    return loss


def choose(folder: Path, config: ModelConfig, settings: MachineSettings, *, rows: int, tokens: int) -> FastPath:
    """The path stored in `folder`, or else the fastest one measured now, which is then stored.

    A stored path that the settings now rule out is measured anew: whoever asks for another precision gets it.
    """
    stored = folder / "fast_path.json"
    if stored.is_file():
        path = FastPath(**json.loads(stored.read_text(encoding="utf-8")))
        if _allowed(path, settings):
            return path
    path = _choose(config, settings, rows=rows, tokens=tokens)
    partial = folder / "fast_path.json.partial"  # a kill while writing must not leave half a file
    partial.write_text(json.dumps(asdict(path), indent=2) + "\n", encoding="utf-8")
    partial.replace(stored)
    return path


def _allowed(path: FastPath, settings: MachineSettings) -> bool:
    return (
        settings.device in ("auto", path.device)
        and settings.precision in ("auto", path.precision)
        and settings.compile in ("auto", "always" if path.compiled else "never")
    )


def _choose(config: ModelConfig, settings: MachineSettings, *, rows: int, tokens: int) -> FastPath:
    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    precisions = ["float32", "bfloat16"] if settings.precision == "auto" else [settings.precision]
    eager = [FastPath(device, precision) for precision in precisions]
    if len(eager) == 1 and settings.compile == "never":
        return eager[0]
    measured = (
        [_measured(path, config, rows) for path in eager] if len(eager) > 1 or settings.compile == "auto" else eager
    )
    best = max(measured, key=lambda path: path.tokens_per_second)
    worth_trying = settings.compile == "always" or (
        settings.compile == "auto"
        and compiler_present()
        and tokens / max(best.tokens_per_second, 1.0) > 3 * COMPILE_SECONDS
    )
    if worth_trying:
        kernel: AttentionKernel = "matmul" if device == "cpu" else "fused"
        compiled = _measured(FastPath(device, best.precision, True, kernel), config, rows)
        if settings.compile == "always" or compiled.tokens_per_second > best.tokens_per_second:
            best = compiled
    say(
        f"fast path    {best.precision}, {'compiled' if best.compiled else 'eager'}, {best.kernel} attention: "
        f"{best.tokens_per_second:,.0f} tokens/s"
    )
    return best


def compiler_present() -> bool:
    """torch.compile on CPU needs a C++ compiler at hand."""
    return any(shutil.which(name) for name in (("cl",) if sys.platform == "win32" else ("g++", "clang++", "c++")))


def _measured(path: FastPath, config: ModelConfig, rows: int, steps: int = 4) -> FastPath:
    """Median speed of a few forward and backward passes on random tokens, after one to warm up."""
    model = LanguageModel(config)
    initialise(model, seed=0)
    model.to(path.device)
    loss_of = pretraining_loss(model, path)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(config.vocab_size, (rows, config.context + 1), generator=generator).to(path.device)
    seconds = []
    for _ in range(steps + 1):
        started = time.perf_counter()
        loss_of(ids[:, :-1], ids[:, 1:]).backward()
        if path.device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    median = sorted(seconds[1:])[steps // 2]
    return FastPath(path.device, path.precision, path.compiled, path.kernel, rows * config.context / median)
