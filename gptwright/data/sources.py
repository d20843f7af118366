"""Documents to pretrain on: text files, JSON Lines, Parquet and web pages; packed or not, in folders and by glob."""

from __future__ import annotations

import glob
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from gptwright.data.jsonl import decode_text, read_lines
from gptwright.data.rows import ROW_SUFFIXES, Row, plain_name, read_rows
from gptwright.data.webpages import PAGE_SUFFIXES, read_pages
from gptwright.errors import InputError
from gptwright.records import Document

TEXT_SUFFIXES = (".txt", ".txt.gz", ".txt.zst")
SUFFIXES = TEXT_SUFFIXES + ROW_SUFFIXES + PAGE_SUFFIXES


def read_documents(path_or_glob: str | Path, *, text_key: str = "text") -> Iterator[Document]:
    """Every document that is not blank, file by file in order of name.

    A text file is one document, with Windows line ends made plain; so is the main text of a web page; in the others
    each row is one, its text under `text_key`. Of a folder, all files of a known kind are read, those in its subfolders
    too. A document's source is its file's name unless the row says another.
    """
    files = find_files(path_or_glob)
    return _read_files(files, str(path_or_glob), text_key)


def find_files(path_or_glob: str | Path) -> list[Path]:
    """The data files that a path, folder or glob means, sorted."""
    path = Path(path_or_glob)
    if path.is_dir():
        files = [file for file in path.rglob("*") if file.is_file() and file.name.endswith(SUFFIXES)]
        nothing = f"{path} holds no file that ends in {', '.join(SUFFIXES)}: name another folder or convert its files"
    elif path.exists():
        files = [path]
        nothing = ""
    elif glob.has_magic(str(path_or_glob)):
        found = glob.glob(str(path_or_glob), recursive=True)
        files = [Path(name) for name in found if Path(name).is_file()]
        nothing = f"no file matches {path_or_glob}: check the pattern, which is relative to {Path.cwd()}"
    else:
        raise InputError(f"{path} does not exist: check the path, which is relative to {Path.cwd()}")
    if not files:
        raise InputError(nothing)
    for file in files:
        if not file.name.endswith(SUFFIXES):
            raise InputError(f"{file}: cannot read documents of this kind of file: give one of {', '.join(SUFFIXES)}")
    return sorted(files)


def read_found(files: list[Path], *, text_key: str = "text") -> Iterator[Document]:
    """Every document of these files that is not blank; none at all is no error here."""
    for file in files:
        for document in _read_file(file, text_key):
            if document.text.strip():
                yield document


def standard_library() -> Iterator[Document]:
    """The standard library of the Python that runs, a module a document, in order of name: code that is always there.

    Its tests and what was installed beside it are left out, and the few files that are no UTF-8 on purpose.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    for file in sorted(root.rglob("*.py")):
        place = file.relative_to(root)
        if {"site-packages", "dist-packages", "test", "tests", "idle_test"}.isdisjoint(place.parts):
            try:
                text = file.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
            if text.strip():
                yield Document(text, source="python", id=place.as_posix())


def _read_files(files: list[Path], asked: str, text_key: str) -> Iterator[Document]:
    empty = True
    for document in read_found(files, text_key=text_key):
        empty = False
        yield document
    if empty:
        raise InputError(f"{asked} holds no text (no documents, or only white space): give a file with text in it")


def _read_file(file: Path, text_key: str) -> Iterator[Document]:
    name = plain_name(file)
    if file.name.endswith(TEXT_SUFFIXES):
        content = b"".join(line for _, line in read_lines(file))
        yield Document(decode_text(content, file).replace("\r\n", "\n"), source=name, id=name)
    elif file.name.endswith(PAGE_SUFFIXES):
        html = None if ".warc" in file.suffixes else b"".join(line for _, line in read_lines(file))
        for number, page in enumerate(read_pages(file, html), start=1):
            yield Document(page.text, source=name, id=page.address or f"{name}:{number}")
    else:
        for row in read_rows(file):
            source = row.values.get("source")
            yield Document(
                _text_of(row, text_key),
                source=source if isinstance(source, str) and source else name,
                id=str(row.values.get("id") or row.name),
            )


def _text_of(row: Row, text_key: str) -> str:
    if text_key not in row.values:
        found = ", ".join(row.values) or "none"
        raise InputError(
            f"{row.where}: no key {text_key!r} (keys found: {found}); set text_key to the one with the text"
        )
    text = row.values[text_key]
    if not isinstance(text, str):
        raise InputError(f"{row.where}: {text_key!r} is {type(text).__name__}, not text; mend that row or set text_key")
    return text
