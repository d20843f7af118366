"""The recipe `text` as the README gives it: a base model of one's own files, whatever kind they are."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from gptwright.data.jsonl import write_jsonl

SMALL = (
    "model.size=null", "model.layers=1", "model.width=32", "model.heads=2", "model.context=32",
    "tokenizer.vocab_size=300", "pretrain.tokens=4k", "pretrain.batch_rows=8", "pretrain.evaluations=1",
    "machine.device=cpu", "machine.precision=float32", "machine.compile=never",
)  # fmt: skip


def write_texts(folder: Path, kind: str) -> Path:
    """Sixty short documents as one file of this kind."""
    rng = random.Random(0)
    texts = [" ".join(rng.choices(("the", "cat", "sat", "on", "a", "mat"), k=40)) for _ in range(60)]
    path = folder / f"mine.{kind}"
    if kind == "txt":
        path.write_text("\n".join(texts), encoding="utf-8")
    elif kind == "jsonl":
        write_jsonl(path, [{"text": text} for text in texts])
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pytest.importorskip("pyarrow").table({"text": texts}), path)
    return path


@pytest.mark.parametrize("kind", ["txt", "jsonl", "parquet"])
def test_a_base_model_of_ones_own_text(cli: Any, kind: str) -> None:
    path = write_texts(cli.folder, kind)
    settings = [part for each in (f"data.files={path.name}", *SMALL) for part in ("-o", each)]
    result = cli("run", "text", *settings)
    assert result.returncode == 0, result.stderr
    run = cli.folder / "runs" / "text"
    assert "report.html" in result.stderr
    (source,) = json.loads((run / "corpus" / "card.json").read_text(encoding="utf-8"))["sources"]
    assert source["name"] == "text"
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "<h2>" in page
    said = cli("complete", "runs/text:base", "the cat", "--max-tokens", "3", "--json")
    assert said.returncode == 0, said.stderr
    assert len(json.loads(said.stdout)["tokens"]) >= 1
