"""The greedy tokens of `transformers.generate`, for every supported family: batched, alone, and without a cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from gptwright.engine.engine import Engine
from gptwright.engine.native import build
from gptwright.engine.params import SamplingParams
from gptwright.engine.request import Request
from gptwright.model.folder import save_model
from gptwright.model.transformer import LanguageModel

transformers = pytest.importorskip("transformers")
SHAPE = {"vocab_size": 97, "context": 96, "width": 32, "heads": 4, "kv_heads": 2, "head_dim": 8, "hidden": 48}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"qk_norm": False},
    "qwen2": {"qk_norm": False, "qkv_bias": True, "tied": False},
    "qwen3": {},
}
PROMPTS, NEW = 200, 12


def prompts() -> list[list[int]]:
    generator = torch.Generator().manual_seed(2)
    lengths = torch.randint(1, 80, (PROMPTS,), generator=generator).tolist()
    return [torch.randint(2, 97, (length,), generator=generator).tolist() for length in lengths]


def without_cache(model: LanguageModel, prompt: list[int], end: int) -> list[int]:
    ids = list(prompt)
    while len(ids) < len(prompt) + NEW and end not in ids[len(prompt) :]:
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("compiler", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_greedy_tokens(
    random_model: Any, family: str, compiler: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model(**SHAPE, **FAMILIES[family])
    end = without_cache(model, prompts()[0], end=-1)[NEW // 2]  # one that is said
    save_model(model, tmp_path, eos=end, pad=0)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert theirs.config.model_type == family
    config = transformers.GenerationConfig(max_new_tokens=NEW, do_sample=False, eos_token_id=end, pad_token_id=0)
    expected = []
    for prompt in prompts():
        ids = torch.tensor([prompt])
        found = theirs.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
        expected.append(found[0, len(prompt) :].tolist())
    if not compiler:
        monkeypatch.setattr("gptwright.engine.native.decoder.library", lambda: None)
    elif build.library() is None:
        pytest.skip("needs a C++ compiler")
    engine = Engine(model, stop_ids={end}, frozen=True)
    requests = [Request(prompt, SamplingParams(NEW, temperature=0)) for prompt in prompts()]
    assert [completion.ids for completion in engine.generate(requests)] == expected
    assert [engine.generate([request])[0].ids for request in requests] == expected
    assert [without_cache(model, prompt, end) for prompt in prompts()[:40]] == expected[:40]
    assert any(ids[-1] == end for ids in expected)
