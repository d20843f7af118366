"""Documents to pretrain on: text files, JSON Lines, Parquet and web pages; packed or not, in folders and by glob."""

from __future__ import annotations

import glob
import itertools
import sysconfig
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from gptwright.data.jsonl import decode_text, read_lines
from gptwright.data.rows import ROW_SUFFIXES, Row, language_of, plain_name, read_rows
from gptwright.data.webpages import PAGE_SUFFIXES, read_pages
from gptwright.errors import InputError
from gptwright.records import Document

TEXT_SUFFIXES = (".txt", ".txt.gz", ".txt.zst")
SUFFIXES = TEXT_SUFFIXES + ROW_SUFFIXES + PAGE_SUFFIXES
WHOLE_TEXT_BYTES = 16_000_000
"""A text file up to here is one document, whatever its length."""
PIECE_BYTES = 100_000
"""Least size of the documents that a longer one is cut into."""
OPEN_FILES = 16
"""Files that `read_interleaved` reads in turn."""


def read_documents(path_or_glob: str | Path, *, text_key: str = "text") -> Iterator[Document]:
    """Every document that is not blank, file by file in order of name.

    A text file is one document, with Windows line ends made plain, and one above WHOLE_TEXT_BYTES many, cut at the ends
    of lines; the main text of a web page is one; in the others each row is one, its text under `text_key`. Of a folder,
    all files of a known kind are read, those in its subfolders too. A document's source is its file's name unless the
    row says another.
    """
    files = find_files(path_or_glob)
    documents = (document for file in files for document in _read_file(file, text_key))
    return _not_blank(documents, str(path_or_glob))


def read_interleaved(path_or_glob: str | Path, *, text_key: str = "text") -> Iterator[Document]:
    """The same documents in another order: one of each of OPEN_FILES files in turn, which lie far apart in the order of
    names. What comes first is then like the whole.
    """
    files = find_files(path_or_glob)
    stride = -(-len(files) // OPEN_FILES)
    spread = (_read_file(file, text_key) for offset in range(stride) for file in files[offset::stride])
    return _not_blank(_in_turn(spread), str(path_or_glob))


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
    return (document for file in files for document in _read_file(file, text_key) if document.text.strip())


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


def _in_turn(streams: Iterator[Iterator[Document]]) -> Iterator[Document]:
    """One document of each open stream after the other; one that has ended makes room for the next."""
    open_streams: deque[Iterator[Document]] = deque()
    while True:
        while len(open_streams) < OPEN_FILES and (stream := next(streams, None)) is not None:
            open_streams.append(stream)
        if not open_streams:
            return
        stream = open_streams.popleft()
        document = next(stream, None)
        if document is not None:
            yield document
            open_streams.append(stream)


def _not_blank(documents: Iterable[Document], asked: str) -> Iterator[Document]:
    empty = True
    for document in documents:
        if document.text.strip():
            empty = False
            yield document
    if empty:
        raise InputError(f"{asked} holds no text (no documents, or only white space): give a file with text in it")


def _read_file(file: Path, text_key: str) -> Iterator[Document]:
    name = plain_name(file)
    if file.name.endswith(TEXT_SUFFIXES):
        yield from _read_text(file, name)
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
                language=language_of(row.values),
            )


def _read_text(file: Path, name: str) -> Iterator[Document]:
    """One document; or, of a long file, its pieces, each named by the line that it begins with."""
    pieces, start, size = _pieces(file), [], 0
    for piece in pieces:
        start.append(piece)
        size += len(piece[1])
        if size > WHOLE_TEXT_BYTES:
            break
    else:
        yield _text_document(b"".join(content for _, content in start), name, name, file)
        return
    for first, content in itertools.chain(start, pieces):
        yield _text_document(content, name, f"{name}:{first}", f"{file}, from line {first}")


def _pieces(file: Path) -> Iterator[tuple[int, bytes]]:
    """(number of the first line, whole lines of PIECE_BYTES together or a little more)."""
    lines: list[bytes] = []
    size = first = 0
    for number, line in read_lines(file):
        if not lines:
            first = number
        lines.append(line)
        size += len(line)
        if size >= PIECE_BYTES:
            yield first, b"".join(lines)
            lines, size = [], 0
    if lines:
        yield first, b"".join(lines)


def _text_document(content: bytes, source: str, identity: str, where: str | Path) -> Document:
    return Document(decode_text(content, where).replace("\r\n", "\n"), source=source, id=identity)


def _text_of(row: Row, text_key: str) -> str:
    if text_key not in row.values:
        found = ", ".join(row.values) or "none"
        raise InputError(
            f"{row.where}: no key {text_key!r} (keys found: {found}); set text_key to the one with the text"
        )
    text = row.values[text_key]
    if text is None:
        return ""  # as many data sets have it: a row without text is a blank one
    if not isinstance(text, str):
        raise InputError(f"{row.where}: {text_key!r} is {type(text).__name__}, not text; mend that row or set text_key")
    return text
