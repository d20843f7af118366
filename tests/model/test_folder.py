"""A model folder: what was saved comes back, and a folder that cannot be used says why and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gptwright.errors import InputError
from gptwright.model import folder as folder_module
from gptwright.model.folder import load_language_model, load_scalar_model, save_model
from gptwright.model.transformer import LanguageModel, scalar_from

MakeModel = Callable[..., LanguageModel]


def edit_config(folder: Path, **changes: object) -> None:
    values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(values | changes), encoding="utf-8")


def same_bits(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    state, again = one.state_dict(), other.state_dict()
    return state.keys() == again.keys() and all(torch.equal(state[key], again[key]) for key in state)


@pytest.fixture
def saved(make_model: MakeModel, tmp_path: Path) -> Path:
    save_model(make_model(), tmp_path, eos=1, pad=0)
    return tmp_path


@pytest.mark.parametrize("family", ["qwen3", "qwen2", "llama"])
@pytest.mark.parametrize("tied", [True, False])
def test_language_model_comes_back_bit_for_bit(make_model: MakeModel, tmp_path: Path, family: str, tied: bool) -> None:
    model = make_model(family, tied)
    save_model(model, tmp_path, eos=1, pad=0)
    again = load_language_model(tmp_path)
    assert again.config == model.config
    assert same_bits(model, again)
    assert again.lm_head.weight is again.model.embed_tokens.weight or not tied


def test_reward_model_comes_back_with_its_bias(make_model: MakeModel, tokens: torch.Tensor, tmp_path: Path) -> None:
    model = scalar_from(make_model(), seed=1)
    model.bias.fill_(-0.3)
    save_model(model, tmp_path, eos=1, pad=0)
    again = load_scalar_model(tmp_path)
    assert torch.equal(model(tokens), again(tokens))
    assert not (tmp_path / "generation_config.json").exists()


@pytest.mark.parametrize("tied", [True, False])
def test_reward_model_comes_back_with_its_weights(
    make_model: MakeModel, tokens: torch.Tensor, tmp_path: Path, tied: bool
) -> None:
    model = scalar_from(make_model(tied=tied), seed=1, likelihood=0.1, repetition=-0.7)
    save_model(model, tmp_path, eos=1, pad=0)
    again = load_scalar_model(tmp_path)
    assert again.likelihood is not None and float(again.likelihood.detach()) == pytest.approx(0.1)
    assert again.repetition is not None and float(again.repetition.detach()) == pytest.approx(-0.7)
    assert torch.equal(model.output_matrix, again.output_matrix)
    assert torch.equal(model(tokens), again(tokens))
    assert {"likelihood", "repetition"}.isdisjoint(load_file(tmp_path / "model.safetensors"))


def test_shards_load_like_one_file(make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(tied=False)
    monkeypatch.setattr(folder_module, "MAX_SHARD_BYTES", 20_000)
    save_model(model, tmp_path, eos=1, pad=0)
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert all(shard.stat().st_size < 20_000 + 5_000 for shard in shards)  # the header comes on top
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text(encoding="utf-8"))
    assert index["metadata"]["total_size"] == 4 * model.config.parameter_count()
    assert same_bits(model, load_language_model(tmp_path))


def test_saving_again_leaves_no_stale_shard(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "MAX_SHARD_BYTES", 20_000)
        save_model(make_model(seed=1), tmp_path, eos=1, pad=0)
    newer = make_model(seed=2)
    save_model(newer, tmp_path, eos=1, pad=0)
    assert [file.name for file in tmp_path.glob("model*")] == ["model.safetensors"]
    assert same_bits(newer, load_language_model(tmp_path))


def test_half_precision_weights_of_others_load_as_float32(make_model: MakeModel, saved: Path) -> None:
    from_half = make_model().half().float()
    weights = {name: tensor.half() for name, tensor in make_model().state_dict().items() if name != "lm_head.weight"}
    folder_module.save_file(weights, saved / "model.safetensors")
    assert same_bits(load_language_model(saved), from_half)


def refusal(folder: Path, *, scalar: bool = False) -> str:
    with pytest.raises(InputError) as caught:
        (load_scalar_model if scalar else load_language_model)(folder)
    message = str(caught.value)
    assert str(folder) in message, "a refusal names the folder"
    return message


def test_folder_without_config(tmp_path: Path) -> None:
    message = refusal(tmp_path)
    assert "config.json is missing" in message
    assert "give a folder that a stage wrote" in message


@pytest.mark.parametrize("content", ['{"model_type": ', "[1, 2]", "\x00"])
def test_broken_config(saved: Path, content: str) -> None:
    (saved / "config.json").write_text(content, encoding="utf-8")
    message = refusal(saved)
    assert "JSON" in message
    assert "restore it or run the stage again" in message


def test_config_without_a_needed_key(saved: Path) -> None:
    (saved / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    assert "has no 'num_attention_heads': restore it or run the stage again" in refusal(saved)


def test_config_with_a_value_of_the_wrong_type(saved: Path) -> None:
    edit_config(saved, hidden_size="wide")
    assert "config.json cannot be used" in refusal(saved)


def test_unsupported_family(saved: Path) -> None:
    edit_config(saved, model_type="gpt_neox")
    assert "'gpt_neox' is not supported: use one of llama, qwen2, qwen3" in refusal(saved)


def test_damaged_weights(saved: Path) -> None:
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    message = refusal(saved)
    assert "model.safetensors is damaged" in message
    assert "restore it or run the stage again" in message


def test_missing_weights(saved: Path) -> None:
    (saved / "model.safetensors").unlink()
    assert "has no model.safetensors: copy the weights there or run the stage again" in refusal(saved)


def test_missing_shard(make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "MAX_SHARD_BYTES", 20_000)
    save_model(make_model(), tmp_path, eos=1, pad=0)
    next(tmp_path.glob("model-00002-*")).unlink()
    assert "has no model-00002-of-" in refusal(tmp_path)


def test_broken_index(saved: Path) -> None:
    (saved / "model.safetensors.index.json").write_text("{", encoding="utf-8")
    assert "index.json is not valid JSON" in refusal(saved)


def test_weights_of_another_depth(saved: Path) -> None:
    edit_config(saved, num_hidden_layers=4)
    message = refusal(saved)
    assert "model.layers.3." in message
    assert "put the two files of one model there" in message


def test_weights_of_another_width(saved: Path) -> None:
    edit_config(saved, intermediate_size=48)
    message = refusal(saved)
    assert "size mismatch" in message
    assert "put the two files of one model there" in message


def test_untied_model_needs_its_output_matrix(saved: Path) -> None:
    edit_config(saved, tie_word_embeddings=False)
    assert "missing ['lm_head.weight']" in refusal(saved)


def test_reward_model_given_as_language_model(make_model: MakeModel, tmp_path: Path) -> None:
    save_model(scalar_from(make_model(), seed=0), tmp_path, eos=1, pad=0)
    assert "is a reward model: it only scores, and cannot write text; give a language model" in refusal(tmp_path)


def test_language_model_given_as_reward_model(saved: Path) -> None:
    message = refusal(saved, scalar=True)
    assert "is a language model, not a reward model: give the folder that `reward` wrote" in message
