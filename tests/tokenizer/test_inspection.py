"""Inspecting a vocabulary: hand-counted figures, tokens never met, what comes back, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gptwright.cli.main import app
from gptwright.cli.tokens import as_text, painted
from gptwright.data.jsonl import write_jsonl
from gptwright.errors import InputError
from gptwright.pipeline.run import open_run
from gptwright.recipe import Recipe
from gptwright.records import Document
from gptwright.tokenizer.bpe import train_bpe, train_characters
from gptwright.tokenizer.inspection import inspect, pieces
from gptwright.tokenizer.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """Bytes, and the words of one sentence."""
    return train_bpe(["the cat sat on the mat " * 50], 276)


def test_sources_are_counted_apart(tokenizer: Tokenizer) -> None:
    found = inspect(
        tokenizer,
        [Document("the cat", source="a"), Document("xyz", source="b"), Document(" the the", source="a")],
    )
    first, second = found.sources["a"], found.sources["b"]
    cut = pieces(tokenizer, "the cat") + pieces(tokenizer, " the the")
    assert (first.texts, first.bytes, first.words, first.tokens) == (2, 15, 4, len(cut))
    assert (second.bytes, second.words, second.tokens) == (3, 1, 3)  # letters that stand in no learned word
    assert second.bytes_per_token == 1.0 and second.words_per_token == pytest.approx(1 / 3)
    assert (found.changed, found.changed_examples) == (0, ())


def test_tokens_never_met_are_counted_longest_first(tokenizer: Tokenizer) -> None:
    found = inspect(tokenizer, [Document("x" * 9 + "y" * 10)])
    assert found.unused == int((tokenizer.byte_lengths > 0).sum()) - 2
    assert len(found.unused_examples[0].encode()) == max(int(n) for n in tokenizer.byte_lengths)
    assert (found.rare, found.rare_examples) == (1, ("x",))


def test_what_does_not_come_back_is_named() -> None:
    broken = train_bpe(["the cat"], 272)
    broken.decode_bytes = lambda ids, **_: b"something else"  # type: ignore[method-assign]
    found = inspect(broken, [Document("the cat", id=str(number)) for number in range(40)])
    assert found.changed == 40  # all of them, of which some are named
    assert found.changed_examples[:2] == ("0", "1") and len(found.changed_examples) < 40


def test_any_bytes_come_back(tokenizer: Tokenizer) -> None:
    assert inspect(tokenizer, [Document("学 \U0001f600 \x00 \r\n")]).changed == 0


def test_pieces_add_up_to_the_text(tokenizer: Tokenizer) -> None:
    assert "".join(pieces(tokenizer, "the cat sat")) == "the cat sat"
    assert painted(["a", "b"], colours=False) == "a|b"
    assert painted(["a", "b"], colours=True).count("\x1b[0m") == 2


def test_probes_that_characters_cannot_write_are_left_out() -> None:
    assert inspect(train_characters(["abc"], strict=True), [Document("cab")]).probes == {}


def test_nothing_to_read_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="no document"):
        inspect(tokenizer, [])


def test_the_command_reads_a_file_or_the_world(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "model")
    (tmp_path / "a.txt").write_text("the cat sat", encoding="utf-8")
    model = str(tmp_path / "model")
    result = CliRunner().invoke(app, ["tokenizer", "inspect", model, str(tmp_path / "a.txt"), "--json"])
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["sources"]["a"]["words"] == 3
    shown = CliRunner().invoke(app, ["tokenizer", "inspect", model, "--max-bytes", "7000"])
    assert shown.exit_code == 0
    assert all(word in shown.stdout for word in ("encyclopedia", "words/token", "round trip", "never met", "numbers"))


def test_languages_are_counted_where_a_row_has_one(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "model")
    rows = [
        {"text": "the cat", "lang": "en"},
        {"text": " ", "lang": "en"},
        {"text": None, "lang": "fr"},
        {"text": "die Katze", "language": "de"},
        {"text": "a dog", "lang": "en"},
        {"text": "xyz", "language": None},
    ]
    (tmp_path / "texts").mkdir()
    write_jsonl(tmp_path / "texts" / "b.jsonl", rows)
    (tmp_path / "texts" / "a.txt").write_text("the mat", encoding="utf-8")
    asked = ["tokenizer", "inspect", str(tmp_path / "model"), str(tmp_path / "texts")]
    found = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert {name: (fit["texts"], fit["bytes"]) for name, fit in found["languages"].items()} == {
        "en": (2, 12),
        "de": (1, 9),
    }
    assert {name: fit["texts"] for name, fit in found["sources"].items()} == {"a": 1, "b": 4}
    shown = CliRunner().invoke(app, asked).stdout.splitlines()
    assert [line.split()[:3] for line in shown if line.startswith(("language", "en ", "de "))] == [
        ["language", "documents", "bytes"],
        ["en", "2", "12"],
        ["de", "1", "9"],
    ]


def test_no_language_is_told_where_none_is_known(tokenizer: Tokenizer) -> None:
    found = inspect(tokenizer, [Document("the cat")])
    assert found.languages == {}
    assert "language" not in as_text(found)


@pytest.mark.parametrize("model", ["run", "run/sft", "run:sft"])
def test_a_run_is_inspected_with_the_text_that_it_read(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("books", "mail"):
        write_jsonl(tmp_path / f"{name}.jsonl", [{"text": f"{name} {number}", "lang": "en"} for number in range(50)])
    sources = {name: {"files": f"{name}.jsonl", "share": 1} for name in ("books", "mail")}
    recipe = Recipe.model_validate({"name": "mine", "data": {"sources": sources}})
    run = open_run(recipe, tmp_path / "run")
    run.folder.mkdir()
    (run.folder / "recipe.yaml").write_text(run.text, encoding="utf-8")
    for folder in ("tokenizer", "sft"):
        tokenizer.save(run.folder / folder)
    result = CliRunner().invoke(app, ["tokenizer", "inspect", model, "--json"])
    told = json.loads(result.stdout)
    found = told["sources"]
    assert told["languages"]["en"]["texts"] == 98
    # All but what is held out, which is one of a hundred or so.
    assert {name: fit["texts"] for name, fit in found.items()} == {"books": 49, "mail": 49}
    (tmp_path / "mail.jsonl").unlink()
    gone = CliRunner().invoke(app, ["tokenizer", "inspect", model])
    assert isinstance(gone.exception, InputError)
    assert "give FILES" in str(gone.exception)
