"""A mixture of one's own: shares, splits, code that is always there, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gptwright.data.sources import standard_library
from gptwright.errors import InputError
from gptwright.pipeline.text import input_files, text_sources
from gptwright.recipe import Recipe, load_recipe
from gptwright.stages.corpus import build_corpus, build_tokenizer


def mixture(folder: Path, **sources: dict[str, object]) -> Recipe:
    path = folder / "mine.yaml"
    values = {"name": "mine", "data": {"sources": sources, "held_out": 0.1}, "tokenizer": {"vocab_size": 276}}
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return load_recipe(str(path))


@pytest.fixture
def books(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text(f"{name} and more. " * 200, encoding="utf-8")
    return tmp_path


def test_shares_are_parts_of_the_whole(books: Path) -> None:
    recipe = mixture(
        books, a={"files": str(books / "one.txt"), "share": 3}, b={"files": str(books / "two.txt"), "share": 1}
    )
    first, second = text_sources(recipe)
    assert (first.name, first.share, second.name, second.share) == ("a", 0.75, "b", 0.25)
    assert input_files(recipe) == (str(books / "one.txt"), str(books / "two.txt"))
    train, held_out = "".join(d.text for d in first.train()), "".join(d.text for d in first.held_out())
    assert train + held_out == "one and more. " * 200
    assert len(held_out) == pytest.approx(0.1 * len(train + held_out), rel=0.01)


def test_epochs_are_told_and_many_are_warned_of(books: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = mixture(
        books, much={"files": str(books / "one.txt"), "share": 1}, little={"files": str(books / "two.txt"), "share": 9}
    )
    sources = text_sources(recipe)
    tokenizer, _ = build_tokenizer(sources, recipe.tokenizer)
    (books / "corpus").mkdir()
    much = next(source for source in sources if source.name == "much")
    available = sum(len(tokenizer.encode(d.text)) for d in much.train())
    build_corpus(sources, tokenizer, books / "corpus", tokens=10 * available, held_out=0.1, context=16)
    lines = {line.split()[0]: line for line in capsys.readouterr().err.splitlines() if "epochs" in line}
    assert "10.0%" in lines["much"] and "1.00 epochs" in lines["much"] and "above 4" not in lines["much"]
    assert "90.0%" in lines["little"] and "above 4" in lines["little"]


def test_the_standard_library_is_code_in_a_fixed_order() -> None:
    modules = [document.id for document in standard_library()]
    assert modules == sorted(modules, key=lambda name: name.split("/")) and len(modules) > 300
    assert "json/decoder.py" in modules
    assert not any("site-packages" in name or name.startswith("test/") for name in modules)
    assert next(d for d in standard_library() if d.id == "this.py").text.startswith('s = """Gur Mra')


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ({"a": {"share": 1}}, ["data.sources.a", "either files or hub or builtin"]),
        ({"a": {"files": "x.txt", "builtin": "python", "share": 1}}, ["data.sources.a", "either files or hub or builtin"]),
        ({"a": {"files": "x.txt"}}, ["data.sources.a.share", "missing"]),
        ({"a": {"files": "x.txt", "share": 0}}, ["data.sources.a.share", "greater than 0"]),
        ({"A/b": {"files": "x.txt", "share": 1}}, ["data.sources", "A/b"]),
        ({"a": {"builtin": "perl", "share": 1}}, ["data.sources.a.builtin", "'python'"]),
        ({}, ["sources is empty"]),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, sources: dict[str, dict[str, object]], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        mixture(tmp_path, **sources)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_files_and_sources_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\ndata: {files: a.txt, sources: {a: {files: b.txt, share: 1}}}\n", encoding="utf-8")
    with pytest.raises(InputError, match="sources has no effect with files"):
        load_recipe(str(path))
