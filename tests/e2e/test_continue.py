"""Going on from a model with the real command: one that others trained, and the base of an earlier run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch.testing import assert_close


@pytest.fixture
def recipe(tiny: Path, tmp_path: Path) -> Callable[..., Path]:
    """The tiny recipe without its tokenizer and shape."""

    def write(context: int, start: str, **sections: Any) -> Path:
        values = yaml.safe_load(tiny.read_text(encoding="utf-8")) | sections | {"name": "goes-on"}
        del values["tokenizer"]
        values["model"] = {"context": context, **sections.get("model", {})}
        values["pretrain"] |= {"start": start}
        path = tmp_path / "goes-on.yaml"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return path

    return write


def test_every_stage_behind_a_model_that_others_trained(
    cli: Any, recipe: Callable[..., Path], foreign_model: Callable[..., Path]
) -> None:
    transformers = pytest.importorskip("transformers")
    folder = foreign_model("llama3")
    before = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    result = cli("run", recipe(256, str(folder)), "--dir", "run", "-o", "pretrain.tokens=0")
    assert result.returncode == 0, result.stderr
    run = cli.folder / "run"
    assert json.loads((run / "base" / "lineage.json").read_text(encoding="utf-8"))["parent"] == str(folder)
    after = transformers.AutoModelForCausalLM.from_pretrained(run / "base").eval()
    ids = transformers.AutoTokenizer.from_pretrained(run / "base")(
        "The dog isn't a cat.", return_tensors="pt"
    ).input_ids
    rows = before.config.vocab_size
    with torch.no_grad():
        assert_close(after(ids).logits[..., :rows], before(ids).logits, rtol=0, atol=1e-4)
    for stage in ("sft", "ppo"):
        assert transformers.AutoModelForCausalLM.from_pretrained(run / stage).config.vocab_size > rows
        said = cli("complete", f"run:{stage}", "The cat", "--json", "--max-tokens", "4")
        assert said.returncode == 0, said.stderr
        assert len(json.loads(said.stdout)["tokens"]) >= 1
    assert (run / "reward" / "model.safetensors").is_file() and (run / "evaluation.json").is_file()


def test_an_earlier_run_goes_on_with_a_longer_context_and_a_finish(
    cli: Any, recipe: Callable[..., Path], run_copy: Path
) -> None:
    finish = {"share_of_tokens": 0.5, "sources": {"books": {"share": 1}}}
    path = recipe(512, f"{run_copy}:base", data={"finish": finish}, model={"rope_scaling": {"kind": "yarn"}})
    result = cli("pretrain", path, "--dir", "run", "-o", "pretrain.optimizer.schedule=stable_decay")
    assert result.returncode == 0, result.stderr
    run = cli.folder / "run"
    # Our own tokenizer comes along as it is.
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (run / "base" / name).read_bytes() == (run_copy / "base" / name).read_bytes()
    config = json.loads((run / "base" / "config.json").read_text(encoding="utf-8"))
    assert config["max_position_embeddings"] == 512
    assert (config["rope_parameters"]["rope_type"], config["rope_parameters"]["factor"]) == ("yarn", 2.0)
    losses = [row["validation_loss"] for row in _rows(run / "base" / "metrics.jsonl") if "validation_loss" in row]
    assert losses[-1] < _rows(run_copy / "base" / "metrics.jsonl")[-1]["validation_loss"]
    refused = cli("pretrain", path, "--dir", "other", "-o", "model.rope_scaling=null")
    assert refused.returncode == 2
    assert "trained with a context of 256 tokens, and model.context is 512" in refused.stderr
    assert not (cli.folder / "other" / "corpus").exists()


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
