"""Data sets by the loader of the hub, from a local copy: nothing here may reach for a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from gptwright.data.hub import read_hub
from gptwright.errors import InputError

pytestmark = pytest.mark.filterwarnings("default")  # datasets' own


@pytest.fixture(scope="module", autouse=True)
def offline() -> None:
    # Read once, when huggingface_hub is imported.
    os.environ["HF_HUB_OFFLINE"] = "1"
    pytest.importorskip("datasets")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """600 rows in two Parquet files of split train, two lines in split test."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in (0, 1):
        rows = [{"text": f"row {file * 300 + row}", "title": "t"} for row in range(300)]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / f"train-{file:05}-of-00002.parquet")
    rows = [{"text": "one", "title": "t"}, {"text": None, "title": "t"}, {"text": " ", "title": "t"}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "test-00000-of-00001.parquet")
    return folder


def test_every_row_of_a_split_is_a_document(copy: Path) -> None:
    documents = list(read_hub(str(copy)))
    assert [document.text for document in documents] == [f"row {row}" for row in range(600)]
    assert (documents[299].id, documents[299].source) == (f"{copy}:300", str(copy))
    # null and blank rows are no documents
    assert [(document.text, document.id) for document in read_hub(str(copy), split="test")] == [("one", f"{copy}:1")]


def test_json_lines_and_another_column_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"body": "x"}) + "\n", encoding="utf-8")
    assert [document.text for document in read_hub(str(tmp_path), text_key="body")] == ["x"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"split": "validation"}, r"split validation\) cannot be read after row 0 \(Bad split: validation\. Available"),
        ({"config": "german"}, r"config german, .* cannot be read .*german.* not found.*: check these names"),
        ({"text_key": "body"}, r"no column 'body' \(columns: text, title\); set text_key"),
    ],
)
def test_what_is_not_there_is_named(copy: Path, options: dict[str, str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        list(read_hub(str(copy), **options))


def test_a_column_without_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": 5}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"row 1: 'text' is int, not text; set text_key to another column"):
        list(read_hub(str(tmp_path)))


def test_a_name_that_cannot_be_reached_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"^hub data set owner/name .*local copy$") as caught:
        next(read_hub("owner/name"))
    assert "\n" not in str(caught.value)


def test_without_the_package_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"owner/name needs datasets, .*-m pip install 'gptwright\[hf\]'"):
        next(read_hub("owner/name"))


def test_a_stream_that_is_left_early_does_not_abort_the_process(copy: Path) -> None:
    program = f"from gptwright.data.hub import read_hub\nstream = read_hub({str(copy)!r})\nnext(stream)\nstream.close()"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
