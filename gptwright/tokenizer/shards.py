"""Token shards: flat memory-mapped arrays of ids, each with a small JSON file that says what is in it.

corpus/books.bin         uint16 ids (uint32 for a vocabulary above 65536), documents one after another
corpus/books.bin.json    dtype, counts, the tokenizer's fingerprint, sha256 of the ids
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gptwright.data.atomic import open_atomically, write_bytes_atomically
from gptwright.errors import InputError
from gptwright.tokenizer.tokenizer import Tokenizer

HASH_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """What the sidecar says. `bytes` is UTF-8 bytes of text; special tokens count none."""

    dtype: str
    tokens: int
    bytes: int
    documents: int
    fingerprint: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard on disk; `ids` reads from the file as it is used."""

    ids: np.memmap
    info: ShardInfo

    @property
    def tokens(self) -> int:
        return self.info.tokens

    @property
    def bytes(self) -> int:
        return self.info.bytes


def sidecar_of(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def shard_dtype(vocab_size: int) -> np.dtype:
    """The smallest type that the shards use for ids below `vocab_size`; little-endian on every machine."""
    return np.dtype("<u2") if vocab_size <= 1 << 16 else np.dtype("<u4")


class ShardWriter:
    """Takes ids as they come; `open_shard` and `resume_shard` make one."""

    def __init__(self, file: BinaryIO, tokenizer: Tokenizer, written: ShardInfo | None = None) -> None:
        """Goes on behind what was `written` to the file before, or from its start where that is not what it holds."""
        self._file, self._tokenizer = file, tokenizer
        self._dtype = shard_dtype(tokenizer.vocab_size)
        self._digest = hashlib.sha256()
        self.tokens = self.bytes = self.documents = 0
        file.seek(self._go_on(written) if written is not None else 0)
        file.truncate()

    def _go_on(self, written: ShardInfo) -> int:
        """Bytes of the file that are as they were written."""
        size = written.tokens * self._dtype.itemsize
        digest = _digest_of(self._file, size)
        if (digest.hexdigest(), self._tokenizer.fingerprint) != (written.sha256, written.fingerprint):
            return 0
        self._digest = digest
        self.tokens, self.bytes, self.documents = written.tokens, written.bytes, written.documents
        return size

    def add(self, ids: np.ndarray, documents: int) -> None:
        """Ids of whole documents one after another, and how many these are.

        Raises IndexError or ValueError for an id that is not in the vocabulary.
        """
        # Indexing also refuses an id above the vocabulary; only a negative one would pass.
        text_bytes = int(self._tokenizer.byte_lengths[ids].sum(dtype=np.int64))
        if ids.size and ids.min() < 0:
            raise ValueError(f"document {self.documents} has the negative token id {ids.min()}")
        content = ids.astype(self._dtype, copy=False).tobytes()
        self._file.write(content)
        self._digest.update(content)
        self.tokens += ids.size
        self.bytes += text_bytes
        self.documents += documents

    def info(self) -> ShardInfo:
        """What has been written so far."""
        return ShardInfo(
            self._dtype.name,
            self.tokens,
            self.bytes,
            self.documents,
            self._tokenizer.fingerprint,
            self._digest.hexdigest(),
        )

    def keep(self) -> ShardInfo:
        """The same, once the file holds it whatever happens to the machine."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self.info()


@contextmanager
def open_shard(path: str | Path, tokenizer: Tokenizer) -> Iterator[ShardWriter]:
    """A shard to write to; both of its files appear only when the block ends without an error.

    Raises InputError when nothing was written.
    """
    path = Path(path)
    with open_atomically(path) as file:
        writer = ShardWriter(file, tokenizer)
        yield writer
        _make_way(path, writer)
    _describe(path, writer)


@contextmanager
def resume_shard(path: Path, tokenizer: Tokenizer, written: ShardInfo | None) -> Iterator[ShardWriter]:
    """`open_shard` for long work: what a broken-off block wrote stays in PATH.partial, and with `written`, what
    `ShardWriter.keep` said of it last, the next block goes on from there. Raises InputError when another process is
    writing it.
    """
    partial = path.with_name(path.name + ".partial")
    with partial.open("r+b" if partial.is_file() else "w+b") as file:
        _keep_others_out(file, partial)
        writer = ShardWriter(file, tokenizer, written)
        yield writer
        writer.keep()
    _make_way(path, writer)
    os.replace(partial, path)
    _describe(path, writer)


def _keep_others_out(file: BinaryIO, path: Path) -> None:
    """Until the file is closed."""
    try:
        import fcntl  # noqa: PLC0415
    except ImportError:  # on Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"{path} is being written by another process: wait for it, or end it") from None
    except OSError:  # a file system without locks
        return


def _make_way(path: Path, writer: ShardWriter) -> None:
    if not writer.tokens:
        raise InputError(f"no tokens to write to {path}: its documents are empty, give some with text")
    # The old sidecar must not vouch for the new ids, should the process end between the two files.
    sidecar_of(path).unlink(missing_ok=True)


def _describe(path: Path, writer: ShardWriter) -> None:
    content = json.dumps(dataclasses.asdict(writer.info()), indent=1) + "\n"
    write_bytes_atomically(sidecar_of(path), content.encode())


def write_shard(path: str | Path, documents: Iterable[Sequence[int]], tokenizer: Tokenizer) -> ShardInfo:
    """Write documents' ids one after another; both files appear only when whole."""
    with open_shard(path, tokenizer) as writer:
        for document in documents:
            writer.add(np.asarray(document, dtype=np.int64), 1)
    return writer.info()


def read_shard(path: str | Path, *, verify: bool = True) -> Shard:
    """Open a shard. `verify` reads it once to compare its checksum: 1 s per GB or so."""
    path = Path(path)
    remedy = "delete it and prepare the corpus again"
    if not path.is_file():
        raise InputError(f"{path} does not exist: prepare the corpus first")
    try:
        info = ShardInfo(**json.loads(sidecar_of(path).read_text(encoding="utf-8")))
        dtype = np.dtype(info.dtype).newbyteorder("<")
    except FileNotFoundError:
        raise InputError(f"{path} has no {sidecar_of(path).name} beside it: {remedy}") from None
    except (TypeError, ValueError) as error:
        raise InputError(f"{sidecar_of(path)} is damaged ({error}): {remedy}") from None
    size, expected = path.stat().st_size, info.tokens * dtype.itemsize
    if size != expected:
        raise InputError(f"{path} has {size} bytes where its {info.tokens} tokens need {expected}: {remedy}")
    if verify and _sha256(path, size) != info.sha256:
        raise InputError(f"{path} is damaged (its checksum differs from the one written with it): {remedy}")
    return Shard(np.memmap(path, dtype=dtype, mode="r"), info)


def _sha256(path: Path, size: int) -> str:
    with path.open("rb") as file:
        return _digest_of(file, size).hexdigest()


def _digest_of(file: BinaryIO, size: int) -> hashlib._Hash:
    """Of the next `size` bytes."""
    digest = hashlib.sha256()
    while size > 0 and (block := file.read(min(size, HASH_BLOCK_BYTES))):
        digest.update(block)
        size -= len(block)
    return digest
