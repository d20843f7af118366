"""The decoding step in C++ gives what the model gives, and the same bits in any batch."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from gptwright.engine import engine as engine_module
from gptwright.engine.engine import Engine
from gptwright.engine.native import build
from gptwright.engine.native import team as team_module
from gptwright.engine.native.decoder import FORMATS, Decoder, Weights
from gptwright.engine.params import SamplingParams
from gptwright.engine.request import Request
from gptwright.model.cache import KVCache
from gptwright.model.transformer import LanguageModel

pytestmark = pytest.mark.skipif(not any(map(shutil.which, build.COMPILERS)), reason="needs a C++ compiler")

SMALL = {"vocab_size": 64, "context": 64}
SHAPES: dict[str, dict[str, Any]] = {
    "qwen3": SMALL | {"width": 32, "heads": 4, "kv_heads": 2, "head_dim": 16, "hidden": 48},
    "qwen2, odd sizes": SMALL | {
        "width": 33, "heads": 3, "kv_heads": 1, "head_dim": 10, "hidden": 41, "qk_norm": False, "qkv_bias": True,
        "tied": False, "vocab_size": 61,
    },
    "llama, heads of 64": SMALL | {
        "width": 64, "heads": 2, "kv_heads": 2, "head_dim": 64, "hidden": 80, "qk_norm": False,
    },
}  # fmt: skip


def decoder_of(model: LanguageModel, weights: Weights = "float32") -> Decoder:
    decoder = Decoder.of(model, weights=weights)
    assert decoder is not None, "the compiler failed: run it by hand on gptwright/engine/native/decode.cpp"
    return decoder


def empty(model: LanguageModel, rows: int) -> KVCache:
    return KVCache(model.config, rows, device=torch.device("cpu"), dtype=torch.float32)


def logits_of(decoder: Decoder, model: LanguageModel, ids_BT: torch.Tensor) -> torch.Tensor:
    """Logits (T, B, V) of reading token by token."""
    cache, found = empty(model, len(ids_BT)), []
    for ids_B in ids_BT.T:
        found.append(decoder.step([[token] for token in ids_B.tolist()], cache))
    return torch.stack(found)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(("weights", "tolerance"), [("float32", 3e-5), ("bfloat16", 0.3), ("int8", 0.6)])
@torch.inference_mode()
def test_logits_are_those_of_the_model(
    random_model: Any, shape: dict[str, Any], weights: Weights, tolerance: float
) -> None:
    model = random_model(**shape)
    ids_BT = torch.randint(0, model.config.vocab_size, (7, 40), generator=torch.Generator().manual_seed(2))
    expected = model(ids_BT).transpose(0, 1)
    found = logits_of(decoder_of(model, weights=weights), model, ids_BT)
    assert expected.std() > 1
    assert (found - expected).abs().max() < tolerance


@pytest.mark.parametrize("weights", FORMATS)
@torch.inference_mode()
def test_a_row_has_the_same_bits_in_any_batch_by_any_team(
    random_model: Any, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model(**SHAPES["qwen2, odd sizes"])
    ids_BT = torch.randint(0, 61, (23, 20), generator=torch.Generator().manual_seed(3))
    expected = logits_of(decoder_of(model, weights=weights), model, ids_BT)
    monkeypatch.setattr(team_module, "WORTH_A_TEAM", 0)
    for team in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda team=team: team)
        decoder = decoder_of(model, weights=weights)
        for rows in (slice(0, 23), slice(0, 1), slice(3, 5), slice(7, 14), slice(15, 23)):
            assert torch.equal(logits_of(decoder, model, ids_BT[rows]), expected[:, rows])


@torch.inference_mode()
def test_rows_of_different_lengths_go_on_from_a_prompt_read_by_torch(random_model: Any) -> None:
    model = random_model(**SHAPES["qwen3"])
    ids_BT = torch.randint(0, 64, (3, 30), generator=torch.Generator().manual_seed(4))
    lengths_B, cache = torch.tensor([5, 29, 12]), empty(model, 3)
    model(ids_BT, cache)
    cache.lengths_B = lengths_B.clone()
    next_ids = ids_BT.gather(1, lengths_B[:, None]).tolist()
    found = decoder_of(model).step(next_ids, cache)
    expected = torch.stack(
        [model(ids[None, : length + 1])[0, -1] for ids, length in zip(ids_BT, lengths_B, strict=True)]
    )
    assert torch.allclose(found, expected, atol=3e-5)


@pytest.mark.parametrize("weights", FORMATS)
@torch.inference_mode()
def test_several_tokens_at_once_give_the_bits_of_one_after_the_other(
    random_model: Any, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model(**SHAPES["qwen2, odd sizes"])
    monkeypatch.setattr(team_module, "WORTH_A_TEAM", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    decoder = decoder_of(model, weights=weights)
    ids_BT = torch.randint(0, 61, (12, 20), generator=torch.Generator().manual_seed(5))
    expected, cache, at = logits_of(decoder, model, ids_BT), empty(model, 12), [0] * 12
    generator = torch.Generator().manual_seed(6)
    while min(at) < 20:
        counts = torch.randint(0, 6, (12,), generator=generator).tolist()
        chunks = [ids_BT[row, at[row] : at[row] + count].tolist() for row, count in enumerate(counts)]
        if not any(chunks):
            continue
        found = decoder.step(chunks, cache)
        at = [start + len(chunk) for start, chunk in zip(at, chunks, strict=True)]
        assert cache.lengths_B.tolist() == at
        for row, chunk in enumerate(chunks):
            assert torch.equal(found[row], expected[at[row] - 1, row] if chunk else torch.zeros(61))


@pytest.mark.parametrize("frozen", [False, True])
def test_a_model_that_changes_is_packed_anew_unless_it_is_frozen(random_model: Any, frozen: bool) -> None:
    model = random_model(**SHAPES["qwen3"])
    engine, request = Engine(model, stop_ids=set(), frozen=frozen), Request([1, 2, 3], SamplingParams(30, seed=1))
    first = engine.generate([request])[0].ids
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.data.mul_(-3)  # behind torch's back: no version counts it
    again = engine.generate([request])[0].ids
    new = Engine(model, stop_ids=set()).generate([request])[0].ids
    assert new != first
    assert again == (first if frozen else new)


def test_without_a_compiler_torch_decodes(random_model: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = random_model(**SHAPES["qwen3"])
    requests = [Request([n, 2, 3], SamplingParams(30, seed=n)) for n in range(5)]
    expected = [completion.ids for completion in Engine(model, stop_ids={7}).generate(requests)]
    monkeypatch.setenv("PATH", str(tmp_path))
    build.library.cache_clear()
    with pytest.warns(UserWarning, match=r"slower: there is no compiler, g\+\+ or clang\+\+") as warned:
        assert Decoder.of(model) is None
        assert [completion.ids for completion in Engine(model, stop_ids={7}).generate(requests)] == expected
    assert len(warned) == 1
    build.library.cache_clear()


def test_a_compiler_that_fails_is_as_good_as_none(
    random_model: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "g++"
    broken.write_text("#!/bin/sh\necho first >&2; echo no such header >&2; exit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join((str(tmp_path), os.environ["PATH"])))
    monkeypatch.setenv("GPTWRIGHT_CACHE", str(tmp_path / "cache"))
    build.library.cache_clear()
    with pytest.warns(UserWarning, match=r"which is slower: .*g\+\+ fails: no such header"):
        assert build.library() is None
    assert list((tmp_path / "cache").iterdir()) == []
    build.library.cache_clear()


def test_a_cache_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GPTWRIGHT_CACHE", str(tmp_path / "file" / "cache"))
    build.library.cache_clear()
    with pytest.warns(UserWarning, match="which is slower: .*file/cache"):
        assert build.library() is None
    build.library.cache_clear()


def test_it_is_compiled_once(random_model: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GPTWRIGHT_CACHE", str(tmp_path))
    build.library.cache_clear()
    assert build.library() is not None
    (made,) = tmp_path.iterdir()
    written = made.stat().st_mtime_ns
    build.library.cache_clear()
    assert build.library() is not None
    assert made.stat().st_mtime_ns == written
    build.library.cache_clear()


def test_the_engine_takes_it(random_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    step = Decoder.step
    monkeypatch.setattr(engine_module.Decoder, "step", lambda self, *a: steps.append(1) or step(self, *a))
    Engine(random_model(**SHAPES["qwen3"]), stop_ids=set()).generate([Request([1], SamplingParams(9))])
    assert len(steps) == 9  # the prompt, and what follows each token but the last
