"""The shape of a model, and its translation to and from a Hugging Face `config.json`.

The family is Qwen3/Llama: RMSNorm, RoPE, SwiGLU, grouped-query attention. Which of the three published
architectures a configuration is follows from two switches, as in transformers:

    qk_norm            Qwen3ForCausalLM
    qkv_bias           Qwen2ForCausalLM
    neither            LlamaForCausalLM
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gptwright.model.rope import RopeScaling, scaling_from_hf, scaling_to_hf


@dataclass(frozen=True)
class ModelConfig:
    """Everything that decides the tensors of a model. Raises ValueError when the parts don't fit."""

    vocab_size: int
    context: int
    """Longest sequence in tokens."""
    width: int
    """Size of the residual stream."""
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    """Inner size of the SwiGLU block."""
    rope_theta: float = 10_000.0
    rope_scaling: RopeScaling | None = None
    norm_eps: float = 1e-6
    qk_norm: bool = True
    qkv_bias: bool = False
    tied: bool = True
    """The output head reads with the embedding matrix."""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context", "width", "layers", "heads", "kv_heads", "head_dim", "hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name} is {getattr(self, name)}: it must be at least 1")
        if self.heads % self.kv_heads:
            raise ValueError(f"model.heads ({self.heads}) must be a multiple of model.kv_heads ({self.kv_heads})")
        if self.head_dim % 2:
            raise ValueError(f"model.head_dim is {self.head_dim}: RoPE turns pairs, so it must be even")
        if self.qk_norm and self.qkv_bias:
            raise ValueError("model.qk_norm and model.qkv_bias exclude each other: no published architecture has both")

    @property
    def family(self) -> str:
        """'qwen3', 'qwen2' or 'llama'."""
        if self.qk_norm:
            return "qwen3"
        return "qwen2" if self.qkv_bias else "llama"

    def parameter_count(self) -> int:
        """Parameters of the language model, tied embeddings counted once."""
        query, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = self.width * (2 * query + 2 * kv)
        if self.qk_norm:
            attention += 2 * self.head_dim
        if self.qkv_bias:
            attention += query + 2 * kv
        block = attention + 3 * self.width * self.hidden + 2 * self.width
        embeddings = self.vocab_size * self.width * (1 if self.tied else 2)
        return self.layers * block + self.width + embeddings

    def flops_per_token(self, context: int) -> float:
        """Training FLOPs per token, forward and backward: 6 per matmul weight plus causal attention.

        Attention: scores and mixing are 2 * 2 * (T/2) * heads * head_dim per layer forward, three times that with
        the backward pass (PaLM, arXiv:2204.02311, appendix B, with the causal half counted).
        """
        query, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        block = self.width * (2 * query + 2 * kv) + 3 * self.width * self.hidden
        matmul = self.layers * block + self.vocab_size * self.width
        return 6.0 * matmul + 6.0 * self.layers * query * context


_CLASS_PREFIX = {"qwen3": "Qwen3", "qwen2": "Qwen2", "llama": "Llama"}


def to_hf(config: ModelConfig, *, scalar: bool, eos: int, pad: int) -> dict[str, Any]:
    """The `config.json` of transformers 5; `scalar` for reward and value models (one-label classification)."""
    values: dict[str, Any] = {
        "architectures": [_CLASS_PREFIX[config.family] + ("ForSequenceClassification" if scalar else "ForCausalLM")],
        "model_type": config.family,
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.hidden,
        "rope_theta": config.rope_theta,
        "rope_parameters": {**scaling_to_hf(config.rope_scaling), "rope_theta": config.rope_theta},
        "rms_norm_eps": config.norm_eps,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": config.tied,
        "use_sliding_window": False,
        "initializer_range": 0.02,
        "dtype": "float32",
        "eos_token_id": eos,
        "pad_token_id": pad,
        "bos_token_id": None,
    }
    if scalar:
        values |= {"num_labels": 1, "id2label": {"0": "reward"}, "label2id": {"reward": 0}}
    return values


def from_hf(values: dict[str, Any]) -> ModelConfig:
    """Read a `config.json`; raises ValueError naming what is not of the supported families."""
    family = values.get("model_type")
    if family not in _CLASS_PREFIX:
        raise ValueError(f"model_type {family!r} is not supported: use one of {', '.join(sorted(_CLASS_PREFIX))}")
    if values.get("hidden_act", "silu") != "silu":
        raise ValueError(f"hidden_act {values['hidden_act']!r} is not supported: only 'silu' is")
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    if rope.get("partial_rotary_factor", values.get("partial_rotary_factor")) not in (None, 1):
        raise ValueError("partial_rotary_factor is not supported: RoPE turns whole heads here")
    if values.get("use_sliding_window"):
        raise ValueError("sliding-window attention is not supported: only full attention is")
    heads = values["num_attention_heads"]
    return ModelConfig(
        vocab_size=values["vocab_size"],
        context=values["max_position_embeddings"],
        width=values["hidden_size"],
        layers=values["num_hidden_layers"],
        heads=heads,
        kv_heads=values.get("num_key_value_heads") or heads,
        head_dim=values.get("head_dim") or values["hidden_size"] // heads,
        hidden=values["intermediate_size"],
        rope_theta=float(rope.get("rope_theta", values.get("rope_theta", 10_000.0))),
        rope_scaling=scaling_from_hf(rope, values["max_position_embeddings"]),
        norm_eps=values.get("rms_norm_eps", 1e-6),
        qk_norm=family == "qwen3",
        qkv_bias=family == "qwen2",
        tied=values.get("tie_word_embeddings", False),
    )
