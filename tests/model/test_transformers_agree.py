"""The saved folder is a Hugging Face folder: transformers reads it and computes the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from gptwright.model import folder as folder_module
from gptwright.model.folder import load_language_model, save_model
from gptwright.model.transformer import LanguageModel, scalar_from

transformers = pytest.importorskip("transformers")

MakeModel = Callable[..., LanguageModel]


@pytest.mark.parametrize("family", ["qwen3", "qwen2", "llama"])
@pytest.mark.parametrize("tied", [True, False])
def test_logits(make_model: MakeModel, tokens: torch.Tensor, tmp_path: Path, family: str, tied: bool) -> None:
    model = make_model(family, tied)
    save_model(model, tmp_path, eos=1, pad=0)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert type(theirs).__name__ == {"qwen3": "Qwen3", "qwen2": "Qwen2", "llama": "Llama"}[family] + "ForCausalLM"
    with torch.no_grad():
        assert_close(model(tokens), theirs(tokens).logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize("likelihood", [None, 0.1])
@pytest.mark.parametrize("family", ["qwen3", "qwen2", "llama"])
def test_reward_head_up_to_its_bias(
    make_model: MakeModel, tmp_path: Path, family: str, likelihood: float | None
) -> None:
    model = scalar_from(make_model(family), seed=1, likelihood=likelihood)
    model.bias.fill_(0.5)
    save_model(model, tmp_path, eos=1, pad=0)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    ids = torch.tensor([[5, 9, 30, 8], [7, 2, 0, 0]])  # transformers reads the last token that is not padding (0)
    with torch.no_grad():
        ours, scores = model(ids), theirs(ids).logits[:, 0]
    assert_close(torch.stack((ours[0, 3], ours[1, 1])) - theirs.config.reward_bias, scores, rtol=0, atol=1e-4)


def test_folder_that_transformers_wrote(make_model: MakeModel, tokens: torch.Tensor, tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    model = make_model("qwen2", tied=False)
    save_model(model, tmp_path / "ours", eos=1, pad=0)
    transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours").save_pretrained(tmp_path / "theirs")
    again = load_language_model(tmp_path / "theirs")
    assert again.config == model.config
    assert torch.equal(again(tokens), model(tokens))


def test_shards(make_model: MakeModel, tokens: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "MAX_SHARD_BYTES", 20_000)
    model = make_model()
    save_model(model, tmp_path, eos=1, pad=0)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        assert_close(model(tokens), theirs(tokens).logits, rtol=0, atol=1e-4)
