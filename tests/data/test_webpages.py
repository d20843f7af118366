"""Web pages and packed files: what is read out of them, and the sentence for each way in which they can be bad."""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from pathlib import Path

import pytest

from gptwright.data.sources import read_documents
from gptwright.errors import InputError

zstandard = pytest.importorskip("zstandard", reason="the extra `data` is not installed")
pytest.importorskip("trafilatura", reason="the extra `data` is not installed")
pytest.importorskip("warcio", reason="the extra `data` is not installed")

SENTENCES = "The otter swims in the cold river every morning. It looks for fish under the stones and finds many."
HTML = f"""<html><head><title>Otters</title></head><body>
<nav><a href="/">Home</a><a href="/shop">Shop</a></nav>
<article><h1>Otters</h1><p>{SENTENCES}</p><p>{SENTENCES.replace("otter", "heron")}</p></article>
<footer>Accept all cookies</footer></body></html>"""


def write_warc(path: Path, pages: list[tuple[str, str, str]]) -> Path:
    """(address, content type, body) of each page, behind the request that each had; a gzip member a record."""
    records = []
    for address, kind, body in pages:
        for name, block in (
            ("request", "GET / HTTP/1.1\r\nAccept: text/html\r\n\r\n"),
            ("response", f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n{body}"),
        ):
            head = f"WARC/1.0\r\nWARC-Type: {name}\r\nWARC-Target-URI: {address}\r\n"
            head += f"Content-Type: application/http; msgtype={name}\r\nContent-Length: {len(block.encode())}\r\n\r\n"
            records.append(f"{head}{block}\r\n\r\n".encode())
    path.write_bytes(b"".join(gzip.compress(r) if path.suffix == ".gz" else r for r in records))
    return path


@pytest.mark.parametrize("name", ["a.html", "a.htm", "a.html.gz"])
def test_a_web_pages_main_text_is_its_document(tmp_path: Path, name: str) -> None:
    content = HTML.encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    (document,) = read_documents(tmp_path / name)
    assert SENTENCES in document.text and "heron" in document.text
    assert "Shop" not in document.text and "cookies" not in document.text
    assert (document.source, document.id) == ("a", "a:1")


@pytest.mark.parametrize("name", ["crawl.warc", "crawl.warc.gz"])
def test_a_crawls_pages_keep_their_addresses(tmp_path: Path, name: str) -> None:
    pages = [
        ("http://one.example/", "text/html; charset=utf-8", HTML),
        ("http://one.example/logo.png", "image/png", "\x89PNG"),
        ("http://two.example/", "TEXT/HTML", HTML.replace("otter", "beaver")),
    ]
    found = list(read_documents(write_warc(tmp_path / name, pages)))
    assert [document.id for document in found] == ["http://one.example/", "http://two.example/"]
    assert "beaver" in found[1].text


def test_records_of_a_crawl_without_a_page_are_passed(tmp_path: Path) -> None:
    whole = write_warc(tmp_path / "whole.warc", [("http://one.example/", "text/html", HTML)]).read_bytes()
    found = b"20260101000000\none.example. 300 IN A 192.0.2.1\n"
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: dns:one.example\r\nContent-Type: text/dns\r\nContent-Length: {len(found)}\r\n\r\n"  # noqa: E501
    (tmp_path / "crawl.warc").write_bytes(head.encode() + found + b"\r\n\r\n" + whole)
    assert [document.id for document in read_documents(tmp_path / "crawl.warc")] == ["http://one.example/"]


def test_a_zstandard_file_that_ends_too_early_is_refused(tmp_path: Path) -> None:
    # Text that does not pack well, so that half of the frame holds many whole lines.
    lines = "".join(f"{hashlib.sha256(str(n).encode()).hexdigest()}\n" for n in range(20_000)).encode()
    packed = zstandard.ZstdCompressor().compress(lines)
    (tmp_path / "whole.txt.zst").write_bytes(packed)
    assert "".join(d.text for d in read_documents(tmp_path / "whole.txt.zst")).encode() == lines
    for name, content in (("half.txt.zst", packed[: len(packed) // 2]), ("two.txt.zst", packed + packed[:-9])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name} is not a whole zstandard file .it ends inside a frame"):
            list(read_documents(tmp_path / name))


def test_zstandard_is_unpacked_over_all_its_frames(tmp_path: Path) -> None:
    rows = [{"text": "one"}, {"text": "two \u5b66"}, {"text": "three"}]
    lines = [(json.dumps(row) + "\n").encode() for row in rows]
    pack = zstandard.ZstdCompressor().compress
    (tmp_path / "a.jsonl.zst").write_bytes(pack(b"".join(lines[:2])) + pack(lines[2]))
    (tmp_path / "b.txt.zst").write_bytes(pack(b"tea\n"))
    found = [(document.text, document.source, document.id) for document in read_documents(tmp_path)]
    assert found == [
        ("one", "a", "a:1"),
        ("two \u5b66", "a", "a:2"),
        ("three", "a", "a:3"),
        ("tea\n", "b", "b"),
    ]


def test_damaged_files_are_named(tmp_path: Path) -> None:
    packed = zstandard.ZstdCompressor().compress(b'{"text": "x"}\n' * 1000)
    warc = write_warc(tmp_path / "whole.warc", [("http://one.example/", "text/html", HTML)]).read_bytes()
    zipped = write_warc(tmp_path / "whole.warc.gz", [("http://one.example/", "text/html", HTML)]).read_bytes()
    for name, content in (
        ("a.jsonl.zst", b"not zstandard at all"),
        ("b.jsonl.zst", packed[: len(packed) // 2]),
        ("c.warc", b"not a crawl"),
        ("d.warc", warc[:-200]),
        ("e.warc.gz", zipped[:-100]),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError) as caught:
            list(read_documents(tmp_path / name))
        assert name in str(caught.value), name


@pytest.mark.parametrize(("module", "name"), [("zstandard", "a.jsonl.zst"), ("trafilatura", "a.html")])
def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> None:
    (tmp_path / name).write_bytes(HTML.encode())
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=r"gptwright\[data\]"):
        list(read_documents(tmp_path / name))
