"""JSON Lines, plain, gzipped or zstandard: one object per line, with errors that name file and line."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gptwright.data.atomic import open_atomically
from gptwright.data.opened import opened
from gptwright.errors import InputError, pip_install

PACKED_BYTES, UNPACKED_BYTES = 1 << 17, 1 << 20
"""What is read of a packed file, and kept of the unpacked one, at a time."""


def existing_file(path: str | Path) -> Path:
    """The path, if it is a file."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist: check the path, which is relative to {Path.cwd()}")
    if path.is_dir():
        raise InputError(f"{path} is a folder: name one file in it")
    return path


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Numbered lines of a file, unpacked when its name ends in .gz or .zst."""
    try:
        with opened(path) as file:
            if path.suffix == ".gz":
                with gzip.open(file, "rb") as unpacked:
                    yield from enumerate(unpacked, start=1)
            else:
                yield from enumerate(_unpacked_lines(path, file) if path.suffix == ".zst" else file, start=1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(
            f"{path} is not a whole gzip file ({error}): copy it again, or rename it if it is not gzipped"
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the file and its permissions") from None


def _unpacked_lines(path: Path, file: Any) -> Iterator[bytes]:
    """Lines of a zstandard file, of all its frames."""
    try:
        import zstandard  # noqa: PLC0415
    except ImportError:
        raise InputError(
            f"{path} needs zstandard, which is not installed: {pip_install('data')}, or unpack the file"
        ) from None
    try:
        yield from io.BufferedReader(_Unpacked(file, zstandard), UNPACKED_BYTES)
    except zstandard.ZstdError as error:
        raise InputError(f"{path} is not a whole zstandard file ({error}): copy it again") from None


class _Unpacked(io.RawIOBase):
    """The bytes in all of a file's frames. zstandard's own reader takes the end of the file for that of a frame."""

    def __init__(self, file: Any, zstandard: Any) -> None:
        self._file, self._zstandard = file, zstandard
        self._decoder, self._packed, self._ready = None, b"", memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises ZstdError for a damaged frame, or one that the file does not hold whole."""
        while not self._ready:
            self._packed = self._packed or self._file.read(PACKED_BYTES)
            if not self._packed:
                if self._decoder is not None:
                    raise self._zstandard.ZstdError("it ends inside a frame")
                return 0
            decoder = self._decoder or self._zstandard.ZstdDecompressor().decompressobj()
            self._ready = memoryview(decoder.decompress(self._packed))
            self._packed, self._decoder = (decoder.unused_data, None) if decoder.eof else (b"", decoder)
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count


def decode_text(content: bytes, where: str | Path) -> str:
    """UTF-8 text, without the mark that Windows editors put first."""
    if b"\0" in content:
        raise InputError(f"{where}: this is a binary file (it holds NUL bytes): give text encoded as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where}: not UTF-8 text (byte 0x{content[error.start]:02x} at {error.start}): save it as UTF-8"
        ) from None


def parse_object(line: bytes, where: str) -> dict[str, Any]:
    """One JSON object."""
    text = decode_text(line, where)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not valid JSON ({error}); mend or remove that line") from None
    if not isinstance(value, dict):
        raise InputError(f"{where}: a JSON {type(value).__name__} where an object {{...}} is needed; mend or remove it")
    # JSON can escape half of a surrogate pair, which no UTF-8 file and no tokenizer can hold.
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise InputError(f"{where}: holds half of a surrogate pair (\\ud...); mend or remove that line") from None
    return value


def read_jsonl(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of each line that is not blank."""
    path = existing_file(path)
    return ((number, parse_object(line, f"{path}, line {number}")) for number, line in read_lines(path) if line.strip())


def write_jsonl(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write one object per line, gzipped for a name in .gz, and give the count. The file appears only when whole."""
    path = Path(path)
    count = 0
    with open_atomically(path) as file:
        # No time and no name in the gzip header: same rows, same bytes.
        zipped = gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) if path.suffix == ".gz" else None
        for row in rows:
            (zipped or file).write((json.dumps(row, ensure_ascii=False) + "\n").encode())
            count += 1
        if zipped:
            zipped.close()
    return count
