"""A model on disk is a Hugging Face folder: `config.json`, `model.safetensors`, `generation_config.json`.

The tokenizer's files are written beside them by `tokenizer`. Weights are safetensors only: nothing is unpickled. A
reward model's bias stands in `config.json` as `reward_bias`, since transformers' classification head has none; without
it scores differ by that constant alone. Where the score counts the answer's log-likelihood or what it says again, their
weights stand there as `reward_likelihood` and `reward_repetition`; transformers' score is then the head's part alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from gptwright.errors import InputError
from gptwright.model.config import ModelConfig, from_hf, to_hf
from gptwright.model.transformer import LanguageModel, ScalarModel

MAX_SHARD_BYTES = 5_000_000_000
WEIGHTS = ("likelihood", "repetition")
"""Of a reward model: what else than the head its score counts."""


def save_model(
    model: LanguageModel | ScalarModel, folder: Path, *, eos: int, pad: int, ends: Sequence[int] = ()
) -> None:
    """Write weights in float32 and the configuration into an existing folder. Writing stops at `eos` and at any of
    `ends`, such as the end of a document.
    """
    scalar = isinstance(model, ScalarModel)
    config = to_hf(model.config, scalar=scalar, eos=eos, pad=pad)
    if isinstance(model, ScalarModel):
        config["reward_bias"] = float(model.bias)
        for name in WEIGHTS:
            weight = getattr(model, name)
            if weight is not None:
                config[f"reward_{name}"] = float(weight.detach())
    tensors = {name: value.detach().float().cpu().contiguous() for name, value in model.state_dict().items()}
    tensors = {name: tensor for name, tensor in tensors.items() if name not in WEIGHTS}
    if model.config.tied:
        tensors.pop("lm_head.weight", None)
    _save_sharded(tensors, folder)
    _write_json(folder / "config.json", config)
    if not scalar:
        generation = {
            "eos_token_id": [eos, *ends] if ends else eos,
            "pad_token_id": pad,
            "do_sample": True,
            "temperature": 1.0,
        }
        _write_json(folder / "generation_config.json", generation)


def only_scores(folder: Path) -> bool:
    """Whether it is a reward model. Raises InputError when the folder is no model of a supported family."""
    return _only_scores(_read_config(folder)[1])


def _only_scores(values: dict[str, Any]) -> bool:
    return any("SequenceClassification" in name for name in values.get("architectures") or [])


def read_end(folder: Path) -> int | None:
    """The token that ends what the model writes. Raises as `only_scores` does."""
    end: int | None = _read_config(folder)[1].get("eos_token_id")
    return end


def read_language_config(folder: Path) -> ModelConfig:
    """The shape of a language model. Raises InputError when the folder is none of a supported family."""
    config, values = _read_config(folder)
    if _only_scores(values):
        raise InputError(f"{folder} is a reward model: it only scores, and cannot write text; give a language model")
    return config


def load_language_model(folder: Path) -> LanguageModel:
    """Raises InputError when the folder is no language model of a supported family."""
    config = read_language_config(folder)
    model = LanguageModel(config)
    _load_into(model, folder, absent_is_fine={"lm_head.weight"} if config.tied else set())
    return model.eval()


def read_scalar_config(folder: Path) -> tuple[ModelConfig, dict[str, Any]]:
    """The shape of a reward model, and all that its config.json says. Raises InputError when the folder is none."""
    config, values = _read_config(folder)
    if not _only_scores(values):
        raise InputError(f"{folder} is a language model, not a reward model: give the folder that `reward` wrote")
    return config, values


def load_scalar_model(folder: Path) -> ScalarModel:
    """Raises InputError when the folder is no reward model."""
    config, values = read_scalar_config(folder)
    model = ScalarModel(config, *(values.get(f"reward_{name}") for name in WEIGHTS))
    _load_into(model, folder, absent_is_fine=set(WEIGHTS))
    model.bias.fill_(values.get("reward_bias", 0.0))
    return model.eval()


def _save_sharded(tensors: dict[str, torch.Tensor], folder: Path) -> None:
    for stale in folder.glob("model*.safetensors*"):  # an old index would win over new weights
        stale.unlink()
    shards: list[dict[str, torch.Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        if size and size + tensor.nbytes > MAX_SHARD_BYTES:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
    if len(shards) == 1:
        save_file(shards[0], folder / "model.safetensors", metadata={"format": "pt"})
        return
    weight_map: dict[str, str] = {}
    for index, shard in enumerate(shards, 1):
        file = f"model-{index:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(shard, file)
    total = sum(tensor.nbytes for tensor in tensors.values())
    _write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})


def _read_config(folder: Path) -> tuple[ModelConfig, dict[str, Any]]:
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"{folder} is no model folder: config.json is missing; give a folder that a stage wrote")
    values = _read_json(path)
    try:
        return from_hf(values), values
    except KeyError as error:
        raise InputError(f"{path} has no {error}: restore it or run the stage again") from error
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be used: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}): restore it or run the stage again") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no JSON object: restore it or run the stage again")
    return values


def _load_into(model: nn.Module, folder: Path, *, absent_is_fine: set[str]) -> None:
    index = folder / "model.safetensors.index.json"
    files = [folder / "model.safetensors"]
    if index.is_file():
        files = [folder / name for name in sorted(set(_read_json(index).get("weight_map", {}).values()))]
    tensors: dict[str, torch.Tensor] = {}
    for file in files:
        if not file.is_file():
            raise InputError(f"{folder} has no {file.name}: copy the weights there or run the stage again")
        try:
            # Older Llama folders hold the angles of RoPE, which follow from the configuration.
            tensors |= {k: v for k, v in load_file(file).items() if not k.endswith("rotary_emb.inv_freq")}
        except SafetensorError as error:
            raise InputError(f"{file} is damaged ({error}): restore it or run the stage again") from error
    expected = set(model.state_dict())
    missing, unexpected = expected - set(tensors) - absent_is_fine, set(tensors) - expected
    if missing or unexpected:
        raise InputError(
            f"{folder}: weights don't fit config.json (missing {sorted(missing)[:3]}, unexpected "
            f"{sorted(unexpected)[:3]}); put the two files of one model there or run the stage again"
        )
    try:
        model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise InputError(
            f"{folder}: weights don't fit config.json ({str(error).splitlines()[-1].strip()}); "
            "put the two files of one model there or run the stage again"
        ) from error


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
