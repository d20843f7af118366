"""Reading documents, and the sentence for each kind of bad input."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from gptwright.data import sources
from gptwright.data.sources import read_documents, read_interleaved
from gptwright.errors import InputError


def write_lines(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def texts_of(path: Path | str, **options: str) -> list[str]:
    return [document.text for document in read_documents(path, **options)]


def test_a_text_file_is_one_document(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_bytes(b"\xef\xbb\xbfOne\r\n\r\ntwo \xe5\xad\xa6\n")
    (document,) = read_documents(tmp_path / "book.txt")
    assert (document.text, document.source, document.id) == ("One\n\ntwo \u5b66\n", "book", "book")


def test_rows_keep_their_ids_and_sources(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "a.jsonl", '{"text": "x"}', "", '{"text": " "}', '{"text": "y", "id": 7, "source": "s"}'
    )
    found = [(document.text, document.source, document.id) for document in read_documents(path)]
    assert found == [("x", "a", "a:1"), ("y", "s", "7")]


def test_every_kind_of_file_gives_the_same_documents(tmp_path: Path) -> None:
    rows = [{"text": "one"}, {"text": "two\n\u5b66"}]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (tmp_path / "a.jsonl").write_bytes(lines)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.jsonl.gz", "a.json", "a.parquet"):
        assert texts_of(tmp_path / name) == ["one", "two\n\u5b66"], name


def test_folders_and_globs_are_read_in_order_of_name(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "inner/c.txt", "notes.pdf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress(b"d.txt.gz"))
    assert texts_of(tmp_path) == ["a.txt", "b.txt", "d.txt.gz", "inner/c.txt"]
    assert texts_of(str(tmp_path / "*.txt")) == ["a.txt", "b.txt"]
    assert texts_of(str(tmp_path / "**" / "c.txt")) == ["inner/c.txt"]


def test_a_long_text_comes_in_pieces_of_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "WHOLE_TEXT_BYTES", 60)
    monkeypatch.setattr(sources, "PIECE_BYTES", 25)
    write_lines(tmp_path / "short.txt", *["ten bytes"] * 6)
    write_lines(tmp_path / "long.txt", *["ten bytes"] * 6, "\u5b66")
    assert texts_of(tmp_path / "short.txt") == ["ten bytes\n" * 6]
    pieces = [(document.id, document.text) for document in read_documents(tmp_path / "long.txt")]
    assert pieces == [("long:1", "ten bytes\n" * 3), ("long:4", "ten bytes\n" * 3), ("long:7", "\u5b66\n")]
    (tmp_path / "bad.txt").write_bytes(b"ten bytes\n" * 6 + b"\xff\n")
    with pytest.raises(InputError, match=r"bad\.txt, from line 7: not UTF-8 text"):
        texts_of(tmp_path / "bad.txt")


def test_interleaved_files_give_the_same_documents_a_few_of_each_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "OPEN_FILES", 2)
    for name in "abcd":
        write_lines(tmp_path / f"{name}.jsonl", *[json.dumps({"text": f"{name}{index}"}) for index in range(3)])
    write_lines(tmp_path / "b.jsonl", '{"text": "b0"}')
    found = [document.text for document in read_interleaved(tmp_path)]
    # a and c are far apart; when they have ended, b and d follow.
    assert found == ["a0", "c0", "a1", "c1", "a2", "c2", "b0", "d0", "d1", "d2"]
    assert sorted(found) == texts_of(tmp_path)
    with pytest.raises(InputError, match="holds no text"):
        list(read_interleaved(write_lines(tmp_path / "e.jsonl", "")))


def test_a_row_whose_text_is_null_is_blank(tmp_path: Path) -> None:
    assert texts_of(write_lines(tmp_path / "a.jsonl", '{"text": null}', '{"text": "x"}')) == ["x"]


def test_the_text_may_have_another_key(tmp_path: Path) -> None:
    assert texts_of(write_lines(tmp_path / "a.jsonl", '{"body": "x"}'), text_key="body") == ["x"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.txt", b"", r"a\.txt holds no text \(no documents, or only white space\)"),
        ("a.txt", b" \n\t", r"a\.txt holds no text"),
        ("a.txt", b"ab\0cd", r"a\.txt: this is a binary file \(it holds NUL bytes\): give text encoded as UTF-8"),
        ("a.txt", b"caf\xe9!", r"a\.txt: not UTF-8 text \(byte 0xe9 at 3\): save it as UTF-8"),
        ("a.txt.gz", b"plain", r"a\.txt\.gz is not a whole gzip file"),
        ("a.txt.gz", gzip.compress(b"some text" * 99, mtime=0)[:30], r"a\.txt\.gz is not a whole gzip file"),
        ("a.jsonl", b"", r"a\.jsonl holds no text"),
        (
            "a.jsonl",
            b'{"text": "x"}\n\n{"text": "y"',
            r"a\.jsonl, line 3: not valid JSON \(.*\); mend or remove that line",
        ),
        ("a.jsonl", b'{"text": "x"}\n["y"]', r"a\.jsonl, line 2: a JSON list where an object \{\.\.\.\} is needed"),
        ("a.jsonl", b'{"title": "x", "body": "y"}', r"line 1: no key 'text' \(keys found: title, body\); set text_key"),
        ("a.jsonl", b'{"text": 5}', r"line 1: 'text' is int, not text"),
        ("a.jsonl", b'{"text": "a\\ud800"}', r"line 1: holds half of a surrogate pair"),
        ("a.jsonl", b'{"text": "\xff"}', r"line 1: not UTF-8 text"),
        ("a.json", b'{"text": "x"}', r"a\.json: a JSON dict where an array of objects"),
        ("a.json", b'{"text": "x"}\n{"text": "y"}', r"a\.json: not valid JSON .*name it \.jsonl"),
        ("a.json", b"[5]", r"a\.json, item 1: a JSON int where an object"),
        ("a.parquet", b"not parquet at all", r"a\.parquet: cannot be read as Parquet"),
        ("a.pdf", b"%PDF", r"a\.pdf: cannot read documents of this kind of file: give one of \.txt"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        list(read_documents(tmp_path / name))


def test_a_missing_file_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.txt does not exist: check the path"):
        read_documents(tmp_path / "gone.txt")


def test_a_pattern_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file matches .*\*\.txt: check the pattern"):
        read_documents(str(tmp_path / "*.txt"))


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no file that ends in \.txt"):
        read_documents(tmp_path)


def test_real_books_are_read(shared_data: Path) -> None:
    documents = read_documents(shared_data / "pretrain" / "stories_english.jsonl.gz")
    first = next(documents)
    assert first.source == "stories_english"
    assert first.text.startswith("His hoe was too short.")
