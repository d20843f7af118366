"""Token shards: flat memory-mapped arrays of ids, each with a small JSON file that says what is in it.

corpus/books.bin         uint16 ids (uint32 for a vocabulary above 65536), documents one after another
corpus/books.bin.json    dtype, counts, the tokenizer's fingerprint, sha256 of the ids
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

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


def encode_documents(texts: Iterable[str], tokenizer: Tokenizer) -> Iterator[list[int]]:
    """The ids of each text with what stands between two documents after it."""
    for ids in tokenizer.encode_stream(texts):
        ids.extend(tokenizer.border)
        yield ids


def write_shard(path: str | Path, documents: Iterable[Sequence[int]], tokenizer: Tokenizer) -> ShardInfo:
    """Write documents' ids one after another; both files appear only when whole."""
    path = Path(path)
    dtype = shard_dtype(tokenizer.vocab_size)
    digest = hashlib.sha256()
    tokens = text_bytes = count = 0
    with open_atomically(path) as file:
        for document in documents:
            ids = np.asarray(document, dtype=np.int64)
            # Indexing also refuses an id above the vocabulary; only a negative one would pass.
            text_bytes += int(tokenizer.byte_lengths[ids].sum(dtype=np.int64))
            if ids.size and ids.min() < 0:
                raise ValueError(f"document {count} has the negative token id {ids.min()}")
            content = ids.astype(dtype).tobytes()
            file.write(content)
            digest.update(content)
            tokens += ids.size
            count += 1
        if not tokens:
            raise InputError(f"no tokens to write to {path}: its documents are empty, give some with text")
        # The old sidecar must not vouch for the new ids, should the process end between the two files.
        sidecar_of(path).unlink(missing_ok=True)
    info = ShardInfo(dtype.name, tokens, text_bytes, count, tokenizer.fingerprint, digest.hexdigest())
    write_bytes_atomically(sidecar_of(path), (json.dumps(dataclasses.asdict(info), indent=1) + "\n").encode())
    return info


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
    if verify and _sha256(path) != info.sha256:
        raise InputError(f"{path} is damaged (its checksum differs from the one written with it): {remedy}")
    return Shard(np.memmap(path, dtype=dtype, mode="r"), info)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(HASH_BLOCK_BYTES), b""):
            digest.update(block)
    return digest.hexdigest()
