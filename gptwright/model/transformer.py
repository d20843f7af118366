"""The decoder: embedding, blocks, final norm; and the two models built on it.

`LanguageModel` gives next-token logits. `ScalarModel` gives one number per position: a reward model reads it at the
reward token, a value model at every token.

Shapes: B batch, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from gptwright.model.attention import Attention, AttentionKernel
from gptwright.model.cache import KVCache, LayerCache
from gptwright.model.config import ModelConfig
from gptwright.model.rope import rope_table


class SwiGLU(nn.Module):
    """Gated feed-forward block (Shazeer, arXiv:2002.05202)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.hidden, bias=False)
        self.up_proj = nn.Linear(config.width, config.hidden, bias=False)
        self.down_proj = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))
        return out


class Block(nn.Module):
    """Pre-norm attention and feed-forward, each added to the residual stream."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.width, eps=config.norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.width, eps=config.norm_eps)
        self.mlp = SwiGLU(config)

    def forward(self, x_BTD: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None, cache: LayerCache | None) -> Tensor:
        x_BTD = x_BTD + self.self_attn(self.input_layernorm(x_BTD), cos, sin, mask, cache)
        return x_BTD + self.mlp(self.post_attention_layernorm(x_BTD))


BlockRunner = Callable[[Block, Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""(block, x (B, T, D), cos, sin, mask) -> (B, T, D)."""


def run_block(block: Block, x_BTD: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
    """One block without a cache: what torch.compile sees, once for all blocks of a model."""
    out: Tensor = block(x_BTD, cos, sin, mask, None)
    return out


def recomputing(run: BlockRunner) -> BlockRunner:
    """Keep a block's input alone and compute what the backward pass needs a second time (Chen et al.,
    arXiv:1604.06174).
    """

    def rerun(block: Block, x_BTD: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        out: Tensor = checkpoint(run, block, x_BTD, cos, sin, mask, use_reentrant=False, preserve_rng_state=False)
        return out

    return rerun


class Transformer(nn.Module):
    """Token ids (B, T) to final hidden states (B, T, D)."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.width)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, eps=config.norm_eps)
        cos, sin = rope_table(config.context, config.head_dim, config.rope_theta, config.rope_scaling)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, ids_BT: Tensor, cache: KVCache | None = None) -> Tensor:
        """Without a cache, rows start at position 0; with one, where their cached tokens end (its `lengths_B`, which is
        the caller's to move). Padding stands on the right, where causality hides it.
        """
        x_BTD = self.embed_tokens(ids_BT)
        if cache is None:
            return self.final(self.blocks(x_BTD))
        tokens = ids_BT.shape[1]
        positions_BT = cache.lengths_B[:, None] + torch.arange(tokens, device=ids_BT.device)
        cache.reserve(int(positions_BT.max()) + 1)
        mask_B1TS = torch.arange(cache.capacity, device=ids_BT.device) <= positions_BT[:, None, :, None]
        turned_BT = positions_BT.clamp(max=self.config.context - 1)  # padding may stand behind the context
        cos, sin = self.cos[turned_BT][:, None], self.sin[turned_BT][:, None]
        for index, block in enumerate(self.layers):
            x_BTD = block(x_BTD, cos, sin, mask_B1TS, cache.layer(index, positions_BT))
        return self.final(x_BTD)

    def blocks(
        self,
        x_BTD: Tensor,
        mask: Tensor | None = None,
        position_BT: Tensor | None = None,
        run: BlockRunner = run_block,
    ) -> Tensor:
        """Embedded tokens through all blocks; `final` comes after. Without a mask, causal; without positions, 0 to T-1.

        `run` says how a block is computed: compiled, recomputed.
        """
        tokens = x_BTD.shape[1]
        cos, sin = self.cos[:tokens], self.sin[:tokens]
        if position_BT is not None:
            cos, sin = self.cos[position_BT][:, None], self.sin[position_BT][:, None]
        for block in self.layers:
            x_BTD = run(block, x_BTD, cos, sin, mask)  # type: ignore[arg-type]
        return x_BTD

    def final(self, x_BTD: Tensor) -> Tensor:
        """The last norm: what the output matrix and every head read."""
        out: Tensor = self.norm(x_BTD)
        return out


class LanguageModel(nn.Module):
    """Next-token prediction: logits (B, T, V) = hidden states times the output matrix."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Transformer(config)
        self.lm_head = nn.Linear(config.width, config.vocab_size, bias=False)
        if config.tied:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(self, ids_BT: Tensor, cache: KVCache | None = None) -> Tensor:
        logits_BTV: Tensor = self.lm_head(self.model(ids_BT, cache))
        return logits_BTV


class ScalarModel(nn.Module):
    """One number per position (B, T): (w . hidden + bias), the head of reward and value models.

    `bias` is not trained: it is set so that reference demonstrations average 0 (Ouyang et al. 2022, section 3.5).
    `likelihood` is the weight that a reward model gives to the log-likelihood of the answer, in score per nat; with it
    the trunk keeps its output matrix. `repetition` is that of each thing said again.
    """

    bias: Tensor
    likelihood: nn.Parameter | None
    repetition: nn.Parameter | None

    def __init__(self, config: ModelConfig, likelihood: float | None = None, repetition: float | None = None) -> None:
        super().__init__()
        self.config = config
        self.model = Transformer(config)
        self.score = nn.Linear(config.width, 1, bias=False)
        self.register_buffer("bias", torch.zeros(()), persistent=False)
        self.likelihood = None if likelihood is None else nn.Parameter(torch.tensor(likelihood))
        self.repetition = None if repetition is None else nn.Parameter(torch.tensor(repetition))
        if self.likelihood is not None and not config.tied:
            self.lm_head = nn.Linear(config.width, config.vocab_size, bias=False)

    @property
    def output_matrix(self) -> Tensor:
        """What predicts the next token from a hidden state (V, D)."""
        return self.model.embed_tokens.weight if self.config.tied else self.lm_head.weight

    def forward(self, ids_BT: Tensor) -> Tensor:
        return self.read(self.model(ids_BT))

    def read(self, hidden_BTD: Tensor) -> Tensor:
        """The number at each position's final hidden state (B, T)."""
        value_BT: Tensor = self.score(hidden_BTD).float().squeeze(-1)
        return value_BT + self.bias


def initialise(model: LanguageModel, seed: int) -> None:
    """Random weights: N(0, 1/sqrt(fan_in)) matrices, the two writers of each block scaled by 1/sqrt(2 * layers).

    The scaling keeps the residual stream's variance from growing with depth (GPT-2, Radford et al. 2019, section 2.3).
    """
    generator = torch.Generator().manual_seed(seed)
    depth_scale = 1 / math.sqrt(2 * model.config.layers)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() < 2:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
                continue
            std = 0.02 if "embed_tokens" in name or "lm_head" in name else parameter.shape[1] ** -0.5
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                std *= depth_scale
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)


def without_weights(config: ModelConfig) -> LanguageModel:
    """The model's shape alone, on the meta device: it takes no memory."""
    with torch.device("meta"):
        return LanguageModel(config)


def allocated(config: ModelConfig, device: str) -> LanguageModel:
    """A model whose weights have a place but no values yet; memory of a CPU is taken when they are written."""
    model = without_weights(config).to_empty(device=device)
    if config.tied:
        model.lm_head.weight = model.model.embed_tokens.weight
    table = rope_table(config.context, config.head_dim, config.rope_theta, config.rope_scaling)
    for own, values in zip((model.model.cos, model.model.sin), table, strict=True):
        own.copy_(values)
    return model


def is_sharded(model: nn.Module) -> bool:
    """Whether other processes hold parts of its weights (FSDP)."""
    return any(hasattr(parameter, "to_local") for parameter in model.parameters())


def scalar_from(
    language: LanguageModel, seed: int, likelihood: float | None = None, repetition: float | None = None
) -> ScalarModel:
    """A reward model with a copy of `language` as trunk; head N(0, 1/sqrt(D+1)) (Stiennon et al., arXiv:2009.01325)."""
    scalar = ScalarModel(language.config, likelihood, repetition)
    scalar.model.load_state_dict(language.model.state_dict())
    if likelihood is not None and not language.config.tied:
        scalar.lm_head.load_state_dict(language.lm_head.state_dict())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        std = 1 / math.sqrt(language.config.width + 1)
        scalar.score.weight.copy_(torch.randn(scalar.score.weight.shape, generator=generator) * std)
    return scalar


def use_attention(model: nn.Module, kernel: AttentionKernel) -> None:
    """Switch every attention of `model` to one kernel."""
    for module in model.modules():
        if isinstance(module, Attention):
            module.kernel = kernel
