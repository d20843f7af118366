"""Going on from a model: which folders will do, what becomes of their shape, and when a run is stale."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from gptwright.errors import InputError
from gptwright.model.rope import RopeScaling
from gptwright.pipeline.run import Run, fingerprint
from gptwright.pipeline.stages import stages_of
from gptwright.pipeline.start import find_model, start_config, start_model, start_tokenizer
from gptwright.pipeline.wiring import check_pretraining, finish_step, model_config
from gptwright.recipe import Recipe
from gptwright.train.schedule import rate

MakeFolder = Callable[..., Path]


def recipe_from(folder: Path, context: int = 256, **sections: Any) -> Recipe:
    model = {"context": context, **sections.pop("model", {})}
    pretrain = {"start": str(folder), "tokens": 100_000, "batch_rows": 4, **sections.pop("pretrain", {})}
    return Recipe.model_validate({"name": "goes-on", "model": model, "pretrain": pretrain, **sections})


@pytest.mark.parametrize("kind", ["qwen", "llama3", "llama2"])
def test_the_grown_model_says_of_text_what_it_said_before(foreign_model: MakeFolder, kind: str) -> None:
    transformers = pytest.importorskip("transformers")
    folder = foreign_model(kind, spare=5)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    recipe, tokenizer = recipe_from(folder), start_tokenizer(str(folder))
    ours = start_model(recipe, str(folder), tokenizer)
    # 11 marks and 5 rows to spare: the tokenizer, the model and what is told before agree on how many there are.
    assert ours.config.vocab_size == tokenizer.vocab_size == model_config(recipe, 2048).vocab_size
    rows = theirs.config.vocab_size
    assert ours.config.vocab_size % 64 == 0 and 6 <= ours.config.vocab_size - rows < 70
    known = torch.tensor([i for i in range(rows) if i not in tokenizer.special_ids.values()])
    ids = torch.tensor([tokenizer.encode("The cat isn't 1234 years old.\n")])
    with torch.no_grad():
        assert_close(ours(ids)[..., known], theirs(ids).logits[..., known], rtol=0, atol=1e-4)


def test_a_longer_context_is_checked_and_kept(foreign_model: MakeFolder) -> None:
    folder = foreign_model("qwen")
    with pytest.raises(InputError, match=r"trained with a context of 256 tokens, and model\.context is 512: set model"):
        check_pretraining(recipe_from(folder, 512))
    recipe = recipe_from(folder, 512, model={"rope_scaling": {"kind": "yarn"}})
    check_pretraining(recipe)
    config = start_config(recipe, str(folder))
    assert (config.context, config.rope_scaling) == (512, RopeScaling("yarn", 2.0, 256))


def test_folders_that_will_not_do_are_refused(foreign_model: MakeFolder) -> None:
    folder = foreign_model("qwen")
    check_pretraining(recipe_from(folder))
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(config | {"model_type": "mamba"}), encoding="utf-8")
    with pytest.raises(InputError, match="model_type 'mamba' is not supported: use one of llama, qwen2, qwen3"):
        check_pretraining(recipe_from(folder))
    path.write_text(json.dumps(config), encoding="utf-8")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"has no tokenizer\.json, and a model is worth nothing without its tokenizer"):
        check_pretraining(recipe_from(folder))
    with pytest.raises(InputError, match="model folder nowhere does not exist"):
        stages_of(recipe_from(Path("nowhere")))


def test_a_stage_of_a_run_is_found_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}", encoding="utf-8")
    assert find_model(f"{tmp_path}:base") == tmp_path / "base"
    with pytest.raises(InputError, match=r"has no stage 'sft': it has base"):
        find_model(f"{tmp_path}:sft")


def test_another_model_to_start_from_makes_all_stale(foreign_model: MakeFolder) -> None:
    def fingerprints() -> dict[str, str]:
        recipe = recipe_from(folder)
        run = Run(recipe, Path("nowhere"), {})
        for stage in stages_of(recipe):
            run.fingerprints[stage.name] = fingerprint(run, stage)
        return run.fingerprints

    folder = foreign_model("qwen")
    before = fingerprints()
    assert fingerprints() == before
    (folder / "model.safetensors").touch()
    assert not set(before.values()) & set(fingerprints().values())


def test_the_finishing_phase_begins_with_the_fall_of_the_rate() -> None:
    finish = {"share_of_tokens": 0.15, "sources": {"books": {"share": 1}}}
    values: dict[str, Any] = {"name": "wsd", "data": {"finish": finish}}
    values["pretrain"] = {"tokens": 33 * 8 * 64, "batch_rows": 8, "optimizer": {"schedule": "stable_decay"}}
    recipe = Recipe.model_validate({**values, "model": {"context": 64}})
    from_here = finish_step(recipe)
    assert from_here == 33 - 5  # 15% of 33 steps are 4.95
    rates = [rate(recipe.pretrain.optimizer, step, 33) for step in range(33)]
    assert rates[from_here - 1] == rates[from_here] == 1.0 > rates[from_here + 1]


def test_a_phase_without_a_step_is_refused() -> None:
    values: dict[str, Any] = {"name": "short", "data": {"finish": {"sources": {"books": {"share": 1}}}}}
    recipe = Recipe.model_validate({**values, "pretrain": {"tokens": 4 * 32 * 256}})
    with pytest.raises(
        InputError, match=r"share_of_tokens \(0\.1\) of 4 steps leaves one of the two phases without any"
    ):
        check_pretraining(recipe)
