"""The way of computing: stored for the run, measured anew when a setting rules it out, and the same loss each way."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounter
from torch.testing import assert_close

from gptwright.errors import InputError
from gptwright.losses.chunked import chunked_language_loss
from gptwright.losses.language import language_loss
from gptwright.model.attention import norm_of_heads
from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, scalar_from
from gptwright.recipe import MachineSettings
from gptwright.train import fast_path
from gptwright.train.fast_path import (
    FastPath,
    LossFunction,
    choose,
    compiler_present,
    frozen,
    pretraining_loss,
)

PLAIN = FastPath("cpu", "float32")
GIVEN = MachineSettings(device="cpu", precision="float32", compile="never")


def test_what_the_settings_give_is_not_measured(tiny_model: LanguageModel, tmp_path: Path) -> None:
    assert choose(tmp_path, tiny_model.config, GIVEN, rows=2, tokens=100) == FastPath("cpu", "float32")


def test_choice_is_stored_and_read_back(tiny_model: LanguageModel, tmp_path: Path) -> None:
    settings = MachineSettings(device="cpu", compile="never")
    first = choose(tmp_path, tiny_model.config, settings, rows=2, tokens=100)
    assert first.tokens_per_second > 0
    assert choose(tmp_path, tiny_model.config, settings, rows=2, tokens=100) == first
    assert [path.name for path in tmp_path.iterdir()] == ["fast_path.json"]


def test_stored_path_wins_over_a_new_measurement(tiny_model: LanguageModel, tmp_path: Path) -> None:
    stored = {"device": "cpu", "precision": "bfloat16", "compiled": True, "kernel": "matmul", "tokens_per_second": 5.0}
    (tmp_path / "fast_path.json").write_text(json.dumps(stored), encoding="utf-8")
    settings = MachineSettings(device="cpu")
    assert choose(tmp_path, tiny_model.config, settings, rows=2, tokens=100) == FastPath(**stored)


def test_a_setting_that_rules_the_stored_path_out_is_obeyed(tiny_model: LanguageModel, tmp_path: Path) -> None:
    """A run that diverged in bfloat16 says: set machine.precision=float32. That must then have an effect."""
    stored = {"device": "cpu", "precision": "bfloat16"}
    (tmp_path / "fast_path.json").write_text(json.dumps(stored), encoding="utf-8")
    assert choose(tmp_path, tiny_model.config, GIVEN, rows=2, tokens=100).precision == "float32"
    assert json.loads((tmp_path / "fast_path.json").read_text(encoding="utf-8"))["precision"] == "float32"


def test_a_path_of_another_machines_gpu_is_not_taken(tiny_model: LanguageModel, tmp_path: Path) -> None:
    stored = {"device": "cuda", "precision": "float32", "compiled": False}
    (tmp_path / "fast_path.json").write_text(json.dumps(stored), encoding="utf-8")
    settings = MachineSettings(precision="float32", compile="never")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose(tmp_path, tiny_model.config, settings, rows=2, tokens=100).device == device


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(tiny_model: LanguageModel, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"machine\.device is cuda"):
        choose(tmp_path, tiny_model.config, MachineSettings(device="cuda"), rows=2, tokens=100)


SPEEDS = {("float32", False): 200.0, ("bfloat16", False): 150.0, ("float32", True): 300.0, ("bfloat16", True): 400.0}


@pytest.fixture
def told_speeds(monkeypatch: pytest.MonkeyPatch) -> list[tuple[ModelConfig, bool]]:
    """Measuring is done by looking at SPEEDS; what was measured, and whether blocks were computed again."""
    seen: list[tuple[ModelConfig, bool]] = []

    def measured(path: FastPath, config: ModelConfig, rows: int, steps: int, recompute: bool) -> FastPath:
        seen.append((config, recompute))
        return dataclasses.replace(path, tokens_per_second=SPEEDS[path.precision, path.compiled])

    monkeypatch.setattr(fast_path, "_measured", measured)
    monkeypatch.setattr(fast_path, "compiler_present", lambda: True)
    return seen


@pytest.mark.parametrize(("seconds", "precision"), [(700, "float32"), (900, "bfloat16")])
def test_a_long_run_compiles_for_both_precisions(
    tiny_model: LanguageModel, tmp_path: Path, told_speeds: list[Any], seconds: int, precision: str
) -> None:
    tokens = seconds * 300
    found = choose(tmp_path, tiny_model.config, MachineSettings(device="cpu"), rows=2, tokens=tokens)
    assert (found.precision, found.compiled) == (precision, True)
    assert len(told_speeds) == (4 if seconds > fast_path.BOTH_FROM_SECONDS else 3)


def test_a_path_is_measured_as_it_will_run(tiny_model: LanguageModel, tmp_path: Path, told_speeds: list[Any]) -> None:
    settings = MachineSettings(device="cpu", recompute=True, compile="never")
    choose(tmp_path, tiny_model.config, settings, rows=2, tokens=100)
    assert [recompute for _, recompute in told_speeds] == [True, True]


def test_of_a_model_too_large_for_one_device_two_layers_are_measured(tmp_path: Path, told_speeds: list[Any]) -> None:
    heads = {"heads": 32, "kv_heads": 32, "head_dim": 128}
    large = ModelConfig(vocab_size=1000, context=64, width=4096, layers=20, hidden=11008, **heads)
    found = choose(tmp_path, large, MachineSettings(device="cpu", compile="never"), rows=2, tokens=100)
    assert {config.layers for config, _ in told_speeds} == {2}
    assert 200 * 2 / 20 < found.tokens_per_second < 200 * 2 / 20 * 1.3  # the embedding is measured whole


@pytest.mark.parametrize(
    ("changed", "kept"),
    [({}, True), ({"tokens": 199}, True), ({"tokens": 201}, False), ({"context": 16}, False), ({"hidden": 64}, False)],
)
def test_a_path_found_for_another_model_or_a_much_shorter_run_is_measured_anew(
    tiny_model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, int], kept: bool
) -> None:
    settings, tokens = MachineSettings(device="cpu", precision="float32"), changed.pop("tokens", 100)
    measured = []
    monkeypatch.setattr(fast_path, "_choose", lambda *_, **__: measured.append(1) or PLAIN)
    choose(tmp_path, tiny_model.config, settings, rows=2, tokens=100)
    choose(tmp_path, dataclasses.replace(tiny_model.config, **changed), settings, rows=2, tokens=tokens)
    assert len(measured) == (1 if kept else 2)


def test_a_path_found_for_all_models_of_a_sweep_holds_for_each(
    tiny_model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, measured = MachineSettings(device="cpu", precision="float32"), list[int]()
    monkeypatch.setattr(fast_path, "_choose", lambda *_, **__: measured.append(1) or PLAIN)
    choose(tmp_path, tiny_model.config, settings, rows=2, tokens=300, for_all=True)
    choose(tmp_path, dataclasses.replace(tiny_model.config, hidden=64), settings, rows=2, tokens=100)
    assert len(measured) == 1


@pytest.mark.parametrize("kernel", ["fused", "matmul"])
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-6), ("bfloat16", 2e-2)])
def test_every_path_computes_the_language_loss(
    tiny_model: LanguageModel, kernel: str, precision: str, tolerance: float
) -> None:
    ids = torch.randint(19, (4, 9), generator=torch.Generator().manual_seed(0))
    plain = language_loss(tiny_model(ids[:, :-1]), ids[:, 1:])
    loss = pretraining_loss(tiny_model, FastPath("cpu", precision, kernel=kernel))(ids[:, :-1], ids[:, 1:])
    loss.backward()
    assert float(loss.detach()) == pytest.approx(float(plain.detach()), rel=tolerance)
    assert {parameter.grad.dtype for parameter in tiny_model.parameters() if parameter.grad is not None} == {
        torch.float32
    }


def _loss_and_gradients(model: LanguageModel, loss_of: LossFunction) -> list[torch.Tensor]:
    ids = torch.randint(19, (4, 9), generator=torch.Generator().manual_seed(0))
    loss = loss_of(ids[:, :-1], ids[:, 1:])
    return [loss.detach(), *torch.autograd.grad(loss, list(model.parameters()))]


def test_recomputed_blocks_give_the_same_gradients_and_keep_less(tiny_model: LanguageModel) -> None:
    kept: dict[bool, int] = {}

    def gradients(recompute: bool) -> list[torch.Tensor]:
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: (sizes.append(t.numel()), t)[1], lambda t: t):
            found = _loss_and_gradients(tiny_model, pretraining_loss(tiny_model, PLAIN, recompute=recompute))
        kept[recompute] = sum(sizes)
        return found

    assert_close(gradients(True), gradients(False))
    assert kept[True] < kept[False]


def test_logits_above_the_limit_are_computed_in_chunks(
    tiny_model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _loss_and_gradients(tiny_model, pretraining_loss(tiny_model, PLAIN, z_weight=0.1))
    monkeypatch.setattr(fast_path, "LOGITS_BYTES", 3 * 19 * 4)  # three tokens' logits
    chunks: list[int] = []

    def spy(*args: object, chunk: int, **rest: object) -> torch.Tensor:
        chunks.append(chunk)
        return chunked_language_loss(*args, chunk=chunk, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(fast_path, "chunked_language_loss", spy)
    assert_close(_loss_and_gradients(tiny_model, pretraining_loss(tiny_model, PLAIN, z_weight=0.1)), whole)
    assert chunks == [3]


def test_z_loss_is_added_with_its_weight(tiny_model: LanguageModel) -> None:
    ids = torch.randint(19, (4, 9), generator=torch.Generator().manual_seed(0))
    log_z = tiny_model(ids[:, :-1]).logsumexp(dim=-1)
    without, with_z = (pretraining_loss(tiny_model, PLAIN, z_weight=w)(ids[:, :-1], ids[:, 1:]) for w in (0.0, 0.5))
    assert_close(with_z - without, 0.5 * (log_z**2).mean())


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore:The .grad attribute"
)  # both of torch  # of torch, about its own look at a block's input
def test_all_blocks_compile_to_one_program(tiny_model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    counter, compile_with = CompileCounter(), torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, dynamic, **_: compile_with(function, backend=counter))
    torch.compiler.reset()
    plain = _loss_and_gradients(tiny_model, pretraining_loss(tiny_model, FastPath("cpu", "float32", kernel="matmul")))
    compiled = _loss_and_gradients(tiny_model, pretraining_loss(tiny_model, FastPath("cpu", "float32", True, "matmul")))
    assert len(tiny_model.model.layers) == 2
    assert counter.frame_count == 2  # a block, and what reads the last one's output
    assert_close(compiled, plain)


@pytest.mark.skipif(not compiler_present(), reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, on its first import of the compiler
def test_one_program_norms_the_heads_of_few_rows_and_of_many() -> None:
    """By the real compiler, which writes another one where a gradient adds up more than 4,096 numbers: two heads of 10
    rows of 256 tokens would be more, and of 3 rows fewer.
    """
    norm = torch.nn.RMSNorm(8, eps=1e-6)
    torch.compiler.reset()
    compiled = FastPath("cpu", "float32", True).compiled_if_asked(lambda x: norm_of_heads(x, norm), any_rows=True)

    def check(rows: int) -> None:
        x_BTHE = torch.randn(rows, 256, 2, 8, generator=torch.Generator().manual_seed(0))
        (found,) = torch.autograd.grad(compiled(x_BTHE).square().sum(), norm.weight)
        (expected,) = torch.autograd.grad(norm(x_BTHE).square().sum(), norm.weight)
        assert_close(found, expected)

    check(10)
    with torch._dynamo.config.patch(error_on_recompile=True):
        check(3)


@pytest.mark.parametrize("scalar", [False, True])
def test_frozen_matrices_in_bfloat16_give_the_same_numbers(tiny_model: LanguageModel, scalar: bool) -> None:
    """Autocast rounds them at every product anyway."""
    path, settings = FastPath("cpu", "bfloat16"), MachineSettings(frozen_bfloat16=True)
    model = scalar_from(tiny_model, 0) if scalar else tiny_model
    halved = frozen(copy.deepcopy(model), path, settings)
    ids = torch.randint(tiny_model.config.vocab_size, (2, 7), generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), path.autocast():
        assert torch.equal(model.model(ids), halved.model(ids))
    kinds = {str(value.dtype) for name, value in halved.named_parameters() if ".layers." in name and value.dim() == 2}
    assert kinds == {"torch.bfloat16"}
    assert halved.model.embed_tokens.weight.dtype == torch.float32
    with pytest.raises(InputError, match=r"this run computes in float32: set machine\.precision=bfloat16"):
        frozen(model, PLAIN, settings)
