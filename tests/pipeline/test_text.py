"""A mixture of one's own: shares, splits, code that is always there, and what is refused."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import yaml

from gptwright.data.sources import standard_library
from gptwright.errors import InputError
from gptwright.pipeline.text import input_files, text_sources
from gptwright.recipe import Recipe, load_recipe
from gptwright.stages.corpus import build_corpus, build_tokenizer
from gptwright.world.documents import SOURCES, mixed_documents


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


def test_the_text_of_a_source_may_have_another_key(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"body": "one and more"}\n', encoding="utf-8")
    recipe = mixture(tmp_path, a={"files": str(tmp_path / "a.jsonl"), "text_key": "body", "share": 1})
    assert next(text_sources(recipe)[0].train()).text == "one and mo"


def test_all_of_a_finite_source_is_read_once_for_both_parts(tmp_path: Path) -> None:
    rows = "".join(f'{{"text": "row number {row:03}"}}\n' for row in range(300))
    for name in "abc":
        (tmp_path / f"{name}.jsonl").write_text(rows.replace("row number", name), encoding="utf-8")
    (source,) = text_sources(mixture(tmp_path, rows={"files": str(tmp_path / "*.jsonl"), "share": 1}))
    assert source.both is not None
    parts = list(source.both())
    held_out = [document.text for part, document in parts if part == "held_out"]
    assert [document.text for document in source.held_out()] == held_out
    train = [document.text for part, document in parts if part == "train"]
    first = [document.text for document in source.train()]
    assert sorted(first) == sorted(train)
    # The tokenizer's sample takes the files in turn.
    assert {text[0] for text in first[:6]} == set("abc")
    assert sum(map(len, held_out)) == pytest.approx(0.1 * sum(map(len, held_out + train)), abs=1)


def test_the_world_may_be_one_source_of_a_mixture(books: Path) -> None:
    recipe = mixture(books, world={"builtin": "world", "share": 1}, mine={"files": str(books / "one.txt"), "share": 3})
    world, mine = text_sources(recipe)
    assert (world.share, world.endless, mine.share, mine.endless) == (0.25, True, 0.75, False)
    train, held_out = list(itertools.islice(world.train(), 60)), list(itertools.islice(world.held_out(), 60))
    assert {document.source for document in train} == set(SOURCES)
    assert not {document.id for document in train} & {document.id for document in held_out}
    assert train == list(itertools.islice(mixed_documents(0), 60))


@pytest.mark.filterwarnings("default")  # datasets' own
def test_a_hub_data_set_may_be_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pytest.importorskip("datasets")
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / "test.jsonl").write_text('{"body": "one and more"}\n', encoding="utf-8")
    recipe = mixture(tmp_path, a={"hub": str(folder), "split": "test", "text_key": "body", "share": 1})
    (source,) = text_sources(recipe)
    assert [document.text for document in source.train()] == ["one and mo"]
    assert [document.text for document in source.held_out()] == ["re"]
    assert input_files(recipe) == (str(folder),)  # a change of the copy makes the corpus stale
    assert input_files(mixture(tmp_path, a={"hub": "owner/name", "share": 1})) == ()


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
        (
            {"a": {"files": "x.txt", "builtin": "python", "share": 1}},
            ["data.sources.a", "either files or hub or builtin"],
        ),
        ({"a": {"files": "x.txt", "hub": "o/n", "share": 1}}, ["data.sources.a", "either files or hub or builtin"]),
        ({"a": {"files": "x.txt", "split": "test", "share": 1}}, ["data.sources.a", "split has no effect without hub"]),
        ({"a": {"builtin": "world", "text_key": "x", "share": 1}}, ["text_key has no effect without files or hub"]),
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


def test_the_worlds_seed_needs_the_world(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    for builtin, refused in (("python", True), ("world", False)):
        text = f"name: mine\ndata: {{world_seed: 3, sources: {{a: {{builtin: {builtin}, share: 1}}}}}}\n"
        path.write_text(text, encoding="utf-8")
        if refused:
            with pytest.raises(InputError, match="world_seed has no effect with sources of which none is"):
                load_recipe(str(path))
        else:
            assert next(text_sources(load_recipe(str(path)))[0].train()) == next(mixed_documents(3))


def test_files_and_sources_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\ndata: {files: a.txt, sources: {a: {files: b.txt, share: 1}}}\n", encoding="utf-8")
    with pytest.raises(InputError, match="sources has no effect with files"):
        load_recipe(str(path))


def finishing(folder: Path, **sources: dict[str, object]) -> Recipe:
    """Books to the end, and something else then."""
    recipe = mixture(folder, books={"files": str(folder / "one.txt"), "share": 1})
    values = recipe.model_dump(mode="json")
    values["data"]["finish"] = {"share_of_tokens": 0.2, "sources": sources}
    return Recipe.model_validate(values)


def test_a_finishing_mixture_has_old_sources_and_new_ones(books: Path) -> None:
    recipe = finishing(books, books={"share": 1}, fine={"files": str(books / "two.txt"), "share": 3})
    old, new = text_sources(recipe)
    assert (old.name, old.share, old.finish_share, old.overall) == ("books", 1.0, 0.25, pytest.approx(0.85))
    assert (new.name, new.share, new.finish_share, new.overall) == ("fine", 0.0, 0.75, pytest.approx(0.15))
    assert next(new.train()).text.startswith("two and more.")
    assert input_files(recipe) == (str(books / "one.txt"), str(books / "two.txt"))


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        ("books", {"builtin": "python"}, r"sources\.books brings other text under a name that is read before"),
        ("bocks", {}, r"sources\.bocks has neither files nor builtin, .*name one of books$"),
    ],
)
def test_a_finishing_source_must_be_one_thing(books: Path, name: str, source: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        input_files(finishing(books, **{name: {**source, "share": 1}}))


def test_the_worlds_sources_can_be_named_in_a_finishing_mixture() -> None:
    recipe = Recipe.model_validate({"name": "mine", "data": {"finish": {"sources": {"books": {"share": 2}}}}})
    shares = {source.name: source.finish_share for source in text_sources(recipe)}
    assert {name for name, share in shares.items() if share} == {"books"}
    assert shares["books"] == 1.0
