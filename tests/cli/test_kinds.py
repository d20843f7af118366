"""What a model can be asked for, whatever its folder is called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gptwright.cli.serving import load
from gptwright.cli.talk import chat
from gptwright.errors import InputError
from gptwright.model.config import ModelConfig
from gptwright.model.folder import save_model
from gptwright.model.transformer import LanguageModel, initialise, scalar_from
from gptwright.tokenizer.bpe import train_characters

pytest.importorskip("fastapi")
TOKENIZER = train_characters([])
TURN, DOCUMENT = TOKENIZER.end_of_turn, TOKENIZER.document_end


def written(folder: Path, *, stage: str, scalar: bool, end: int) -> str:
    """A model's folder, as a stage writes it or, without one, as it is once it was copied."""
    config = ModelConfig(
        vocab_size=TOKENIZER.vocab_size, context=32, width=8, layers=1, heads=1, kv_heads=1, head_dim=8, hidden=8
    )
    model = LanguageModel(config)
    initialise(model, seed=0)
    folder.mkdir(parents=True)
    save_model(scalar_from(model, seed=0) if scalar else model, folder, eos=end, pad=TOKENIZER.pad)
    TOKENIZER.save(folder)
    if stage:
        (folder / "lineage.json").write_text(json.dumps({"stage": stage}))
    return str(folder)


@pytest.mark.parametrize(
    ("stage", "scalar", "end", "kind"),
    [
        ("reward", True, TURN, "reward"),
        ("reward_2", True, TURN, "reward"),
        ("", True, TURN, "reward"),
        ("base", False, DOCUMENT, "base"),
        ("base", False, TURN, "base"),  # as it was once written
        ("3x96-1M", False, DOCUMENT, "base"),
        ("", False, DOCUMENT, "base"),
        ("ppo_2", False, TURN, "assistant"),
        ("", False, TURN, "assistant"),
    ],
)
def test_a_model_is_served_as_what_it_is(tmp_path: Path, stage: str, scalar: bool, end: int, kind: str) -> None:
    served = load(written(tmp_path / "run" / "model", stage=stage, scalar=scalar, end=end))
    assert served.card()["kind"] == kind
    assert served.name == (f"run-{stage}" if stage else "model")


@pytest.mark.parametrize("stage", ["base", ""])
def test_a_base_model_is_not_talked_to(tmp_path: Path, stage: str) -> None:
    name = written(tmp_path / "model", stage=stage, scalar=False, end=DOCUMENT)
    with pytest.raises(InputError, match=r"model is a base model: .* ask it with gptwright complete"):
        chat(name, device="cpu", system=None)
