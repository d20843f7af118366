"""A whole cleaning: the fate of each document, its reason, the same result however it is run, and refusals."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from gptwright.cleaning import stages
from gptwright.cleaning.run import clean
from gptwright.cleaning.settings import CleaningSettings, load_settings
from gptwright.cleaning.stages import FilterShard
from gptwright.data.jsonl import read_jsonl, write_jsonl
from gptwright.data.sources import read_documents
from gptwright.errors import InputError


def settings_for(corpus: dict[str, str], *overrides: str) -> CleaningSettings:
    sources = {name: corpus[name] for name in ("web", "mail")}
    given = [f"decontaminate.files=[{corpus['quiz']}]", "executor.workers=1", *overrides]
    return load_settings(None, sources, given)


def no_page(folder: Path) -> None:
    """Instead of drawing one."""


def cleaned(settings: CleaningSettings, out: Path) -> dict[str, Any]:
    result = clean(settings, out, no_page)
    assert result is not None
    return result


def ids_in(out: Path) -> list[str]:
    return [document.id for document in read_documents(out / "documents")]


def test_each_document_has_its_fate_and_its_reason(corpus: dict[str, str], tmp_path: Path) -> None:
    result = cleaned(settings_for(corpus), tmp_path / "out")
    assert sorted(ids_in(tmp_path / "out")) == ["mill", "otter"]
    web, mail = result["sources"]["web"], result["sources"]["mail"]
    assert web["removed"] == {
        "contamination/quiz": 1,
        "duplicate/exact": 1,
        "duplicate/near": 1,
        "gopher_quality/short_doc": 1,
        "language/de": 1,
    }
    assert mail["removed"] == {"duplicate/exact": 1}
    assert mail["redacted"] == {"email": 1, "telephone": 1}
    assert (web["documents_in"], web["documents_out"]) == (6, 1)


def test_examples_show_what_went_and_never_personal_data(corpus: dict[str, str], tmp_path: Path) -> None:
    result = cleaned(settings_for(corpus), tmp_path / "out")
    examples = result["sources"]["web"]["examples"]
    (near,) = examples["duplicate/near"]
    assert (near["id"], near["kept"]["id"], near["kept"]["source"]) == ("near-otter", "otter", "web")
    (asked,) = examples["contamination/quiz"]
    assert asked["found"].startswith("which animal of the river brings")
    shown = json.dumps(result["sources"]["mail"]["examples"]["personal_data/email"])
    assert "[email]" in shown and "[phone]" in shown
    assert "miller@example.org" not in shown and "555" not in shown
    everything = json.dumps([source["examples"] for source in result["sources"].values()])
    assert "@" not in everything  # nor where documents are shown that went for another reason


def test_the_documents_are_read_as_a_source_with_their_paragraphs(corpus: dict[str, str], tmp_path: Path) -> None:
    cleaned(settings_for(corpus), tmp_path / "out")
    (mill,) = read_documents(tmp_path / "out" / "documents" / "mail")
    assert mill.source == "mail"
    assert "in the dark.\n\nWrite to the miller at [email] or call [phone] at noon." in mill.text
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["cleaning.json", "documents"]


def test_two_workers_write_the_same_bytes(corpus: dict[str, str], tmp_path: Path) -> None:
    for workers in (1, 2):
        cleaned(settings_for(corpus, f"executor.workers={workers}"), tmp_path / str(workers))
    one, two = (
        {str(file.relative_to(out)): file.read_bytes() for file in (out / "documents").rglob("*.gz")}
        for out in (tmp_path / "1", tmp_path / "2")
    )
    assert one == two and len(one) == 2


def test_a_killed_cleaning_goes_on_to_the_same_bytes(
    corpus: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(corpus)
    cleaned(settings, tmp_path / "unbroken")
    filtered = []
    whole = FilterShard.__call__

    def killed(self: FilterShard, data: object, rank: int, world_size: int) -> None:
        filtered.append(rank)
        if filtered == [0, 1]:
            raise KeyboardInterrupt
        whole(self, data, rank, world_size)

    monkeypatch.setattr(stages.FilterShard, "__call__", killed)
    with pytest.raises(KeyboardInterrupt):
        clean(settings, tmp_path / "out", no_page)
    assert not (tmp_path / "out" / "documents").exists()
    cleaned(settings, tmp_path / "out")
    assert filtered == [0, 1, 1]  # the first shard was not read again
    for file in (tmp_path / "unbroken" / "documents").rglob("*.gz"):
        assert file.read_bytes() == (tmp_path / "out" / file.relative_to(tmp_path / "unbroken")).read_bytes()


def test_a_finished_cleaning_is_not_done_again(corpus: dict[str, str], tmp_path: Path) -> None:
    first = cleaned(settings_for(corpus), tmp_path / "out")
    written = (tmp_path / "out" / "cleaning.json").stat().st_mtime_ns
    assert cleaned(settings_for(corpus, "executor.workers=2"), tmp_path / "out") == first
    assert (tmp_path / "out" / "cleaning.json").stat().st_mtime_ns == written


def test_a_folder_with_something_else_is_refused(corpus: dict[str, str], tmp_path: Path) -> None:
    cleaned(settings_for(corpus), tmp_path / "out")
    with pytest.raises(InputError, match=r"holds a cleaning of other files or with other settings: give another"):
        clean(settings_for(corpus, "c4=null"), tmp_path / "out", no_page)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"mine holds files of something else"):
        clean(settings_for(corpus), tmp_path / "mine", no_page)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"


def test_steps_can_be_left_out_one_by_one(corpus: dict[str, str], tmp_path: Path) -> None:
    names = ("language", "gopher_repetition", "gopher_quality", "c4", "fineweb", "near_duplicates", "personal_data")
    nothing = [f"{name}=null" for name in names] + ["exact_duplicates=false", "decontaminate=null"]
    result = cleaned(settings_for(corpus, *nothing), tmp_path / "out")
    assert len(ids_in(tmp_path / "out")) == 8
    assert all(source["characters_in"] == source["characters_out"] for source in result["sources"].values())
    assert result["steps"] == {}


def test_bad_input_in_the_middle_is_one_sentence(corpus: dict[str, str], tmp_path: Path) -> None:
    with Path(corpus["web"]).open("a") as file:
        file.write("not json\n")
    with pytest.raises(InputError, match=r"web\.jsonl, line 7: not valid JSON"):
        clean(settings_for(corpus), tmp_path / "out", no_page)


def test_a_source_without_text_is_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "empty.jsonl", [{"text": " "}])
    settings = load_settings(None, {"void": str(tmp_path / "empty.jsonl")}, ["executor.workers=1"])
    with pytest.raises(InputError, match=r"source void holds no text: give files with text in them"):
        clean(settings, tmp_path / "out", no_page)


def test_the_built_in_world_is_cleaned_by_its_sources(tmp_path: Path) -> None:
    settings = load_settings(
        None, {"world": "builtin:world"}, ["sources.world.documents=300", "executor.workers=1", "seed=0"]
    )
    result = cleaned(settings, tmp_path / "out")
    web = result["sources"]["world_web"]
    assert web["documents_in"] == 201
    # Of these 201 pages, five say that they were copied; addresses stand below a few.
    assert web["removed"]["duplicate/near"] >= 3
    assert web["redacted"]["telephone"] >= 3
    texts = [row["text"] for _, row in read_jsonl(tmp_path / "out" / "documents" / "world_web" / "00000.jsonl.gz")]
    assert not [text for text in texts if "Tel. 555" in text]


@pytest.mark.filterwarnings("default")  # datasets' own
def test_a_data_set_of_the_hub_is_cleaned(
    corpus: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pytest.importorskip("datasets")
    copy = tmp_path / "copy"
    copy.mkdir()
    rows = [{"body": row["text"], "lang": "en"} for _, row in read_jsonl(Path(corpus["web"]))]
    write_jsonl(copy / "test.jsonl", rows)
    settings = load_settings(
        None,
        {"web": f"hub:{copy}"},
        ["sources.web.split=test", "sources.web.text_key=body", "executor.workers=1"],
    )
    found = cleaned(settings, tmp_path / "out")["sources"]["web"]
    assert (found["documents_in"], found["removed"]["language/de"], found["removed"]["duplicate/exact"]) == (6, 1, 1)
    assert ids_in(tmp_path / "out") == [f"{copy}:1", f"{copy}:6"]
    assert {document.language for document in read_documents(tmp_path / "out" / "documents")} == {"en"}
    write_jsonl(copy / "test.jsonl", rows[:2])
    with pytest.raises(InputError, match="holds a cleaning of other files"):
        clean(settings, tmp_path / "out", no_page)


def test_two_editions_of_a_book_are_one(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "cleaning" / "near_duplicates"
    rows = []
    for file in sorted(folder.glob("*.txt.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as stream:
            rows.append({"id": file.name, "text": stream.read()})
    write_jsonl(tmp_path / "books.jsonl", rows)
    settings = load_settings(
        None, {"books": str(tmp_path / "books.jsonl")}, ["sources.books.prose=false", "executor.workers=1"]
    )
    cleaned(settings, tmp_path / "out")
    assert sorted(ids_in(tmp_path / "out")) == ["alice_a.txt.gz", "oz_a.txt.gz"]
