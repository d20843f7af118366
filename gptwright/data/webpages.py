"""Text from web pages: HTML files, and the pages of a crawl's WARC files. Needs the extra `data`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from gptwright.data.opened import opened
from gptwright.errors import InputError, pip_install

PAGE_SUFFIXES = (".html", ".htm", ".html.gz", ".warc", ".warc.gz")


class Page(NamedTuple):
    """A page's main text, without menus, adverts and footers, and its address where that is known."""

    text: str
    address: str | None


def read_pages(file: Path, content: bytes | None = None) -> Iterator[Page]:
    """The pages of one file that have a main text. `content` is an HTML file's, already unzipped.

    Raises InputError for a damaged WARC file, and when the extra is not installed.
    """
    if content is not None:
        yield from _main_text(content, None)
        return
    archive = _imported("warcio.archiveiterator")
    exceptions = _imported("warcio.exceptions")
    number = 0
    try:
        with opened(file) as stream:
            for record in archive.ArchiveIterator(stream):
                number += 1
                headers = record.http_headers if record.rec_type == "response" else None  # None of a name's address
                if headers is not None and "html" in (headers.get_header("Content-Type") or "").lower():
                    address, page = record.rec_headers.get_header("WARC-Target-URI"), record.content_stream().read()
                    if record.raw_stream.limit:  # bytes that the record promised and the file does not hold
                        raise EOFError("it ends inside a record")
                    yield from _main_text(page, address)
    except (exceptions.ArchiveLoadFailed, AttributeError, EOFError, OSError) as error:
        # AttributeError is what warcio falls over when a header is cut.
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{file}: cannot be read as WARC after record {number} ({reason}); copy it again") from None


def _main_text(content: bytes, address: str | None) -> Iterator[Page]:
    text = _imported("trafilatura").extract(content, url=address, include_comments=False)
    if text:
        yield Page(text, address)


def _imported(name: str) -> ModuleType:
    import importlib  # noqa: PLC0415

    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise InputError(
            f"web pages need {package}, which is not installed: {pip_install('data')}, or give text"
        ) from None
