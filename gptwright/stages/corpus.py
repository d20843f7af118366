"""From documents to what pretraining reads: a tokenizer, and one shard of token ids per source, with a held-out part.

tokenizer/   tokenizer.json, stats.json
corpus/      manifest.json, <source>.train.bin, <source>.held_out.bin

Documents stream from their source through the tokenizer's processes into the shards: a corpus may be of any size.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gptwright.data.atomic import write_bytes_atomically
from gptwright.data.opened import ShareRead
from gptwright.data.packing import Finish, PackedCorpus
from gptwright.data.splitting import Part
from gptwright.errors import InputError
from gptwright.recipe import TokenizerSettings
from gptwright.records import Document
from gptwright.tokenizer.bpe import train_bpe, train_characters
from gptwright.tokenizer.parallel import Encoder, encode_batch
from gptwright.tokenizer.shards import ShardInfo, ShardWriter, read_shard, resume_shard, sidecar_of
from gptwright.tokenizer.stats import token_stats
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.progress import Tally, say

MANY_EPOCHS = 4
"""Up to here a text read again is worth almost as much as a new one (Muennighoff et al., arXiv:2305.16264)."""

SAMPLE_PIECE_BYTES = 16_384
"""In the tokenizer's sample a document up to here is never cut; of a longer one that must be, pieces of this size."""
MADE_TEXTS = 256
"""Documents that a source without end makes at a time."""
PARTS: tuple[Part, Part] = ("train", "held_out")
KEEP_SECONDS = 30.0
"""How often it is noted how far a source has come: more than that is not done twice."""


@dataclass(frozen=True)
class TextSource:
    """One source of the mixture. The two parts never hold the same document."""

    name: str
    share: float
    train: Callable[[], Iterator[Document]]
    """Of a large source in an order whose beginning is like the whole: the tokenizer learns from it."""
    held_out: Callable[[], Iterator[Document]]
    both: Callable[[], Iterator[tuple[Part, Document]]] | None = None
    """Both parts in one reading, as they are written; None for a source that is made by a program that never stops,
    which is taken until there is enough.
    """
    files: tuple[Path, ...] = ()
    """What `both` reads, one after the other: so it can be told how much is left."""

    finish: float = 0.0
    """The part of all tokens that is read last, from another mixture."""
    finish_share: float = 0.0
    """This source's share of that; `share` is that of what is read before."""

    @property
    def overall(self) -> float:
        """Its share of all tokens."""
        return self.share * (1 - self.finish) + self.finish_share * self.finish

    @property
    def endless(self) -> bool:
        return self.both is None


def build_tokenizer(
    sources: list[TextSource], settings: TokenizerSettings, given: Tokenizer | None = None
) -> tuple[Tokenizer, dict[str, Any]]:
    """Learn a vocabulary from a sample of every source by its share, or take the given one; returns it with its
    statistics.

    Raises InputError for a vocabulary of characters of a source that never ends.
    """
    if settings.kind == "characters" and any(source.endless for source in sources):
        raise InputError(
            "tokenizer.kind characters reads the whole text, and the built-in world's never ends: "
            "set data.files, or kind: bpe"
        )
    sample = [text for source in sources for text in _sample(source, round(settings.sample_bytes * source.overall))]
    if given is not None:
        tokenizer = given
    elif settings.kind == "characters":
        tokenizer = train_characters((d.text for s in sources if s.both for _, d in s.both()), strict=True)
    else:
        tokenizer = train_bpe(sample, settings.vocab_size)
    stats = token_stats(tokenizer, sample[:: max(1, len(sample) // 2000)])
    return tokenizer, {
        "vocab_size": tokenizer.vocab_size,
        "bytes_per_token": stats.bytes_per_token,
        "words_per_token": stats.words_per_token,
    }


def _sample(source: TextSource, wanted: int) -> Iterator[str]:
    """So many bytes of text: whole documents, and of a long one that would go past them a part."""
    left = wanted
    for document in source.train():
        content = document.text.encode(errors="replace")
        if len(content) > max(left, SAMPLE_PIECE_BYTES):
            yield from _spread(content, left)
        else:
            yield document.text
        left -= len(content)
        if left <= 0:
            return


def _spread(content: bytes, wanted: int) -> Iterator[str]:
    """Pieces from beginning to end that are `wanted` bytes together, less what borders cut off characters."""
    count = -(-wanted // SAMPLE_PIECE_BYTES)
    for number in range(count):
        size = (number + 1) * wanted // count - number * wanted // count
        start = number * len(content) // count
        yield content[start : start + size].decode(errors="ignore")


def build_corpus(
    sources: list[TextSource],
    tokenizer: Tokenizer,
    folder: Path,
    *,
    tokens: int,
    held_out: float,
    context: int,
    workers: int | None = 1,
    shards: Path | None = None,
) -> dict[str, Any]:
    """Write shards and manifest: of an endless source what one epoch of `tokens` needs, of any other everything.

    The shards are made in `shards`, where a second call finds those that a killed one has finished, and moved to
    `folder` at the end; None makes them there. `workers` is how many processes tokenize, None one for each core.
    Returns the manifest.
    """
    made = shards or folder
    made.mkdir(parents=True, exist_ok=True)
    entries = []
    with Encoder(tokenizer, workers) as encoder:
        for source in sources:
            rows = context + 1
            enough = [max(2 * rows, round(tokens * source.overall * part) + rows) for part in (1.0, held_out)]
            wanted = dict(zip(PARTS, enough, strict=True))
            entries.append(_entry(source, _write_source(source, encoder, made, wanted), tokens))
    for name in (entry["name"] for entry in entries):
        (made / f"{name}.finished.json").unlink()
        for shard in (made / f"{name}.{part}.bin" for part in PARTS):
            os.replace(sidecar_of(shard), sidecar_of(folder / shard.name))
            os.replace(shard, folder / shard.name)
    _tell_epochs(entries)
    _tell_finish(entries, tokens)
    manifest = {"tokenizer": tokenizer.fingerprint, "sources": entries}
    write_bytes_atomically(folder / "manifest.json", (json.dumps(manifest, indent=2) + "\n").encode())
    return manifest


def _entry(source: TextSource, parts: Mapping[Part, ShardInfo], tokens: int) -> dict[str, Any]:
    train, held_out = parts["train"], parts["held_out"]
    return {
        "name": source.name,
        "share": source.overall,
        "tokens": train.tokens,
        "bytes": train.bytes,
        "documents": train.documents,
        "held_out_tokens": held_out.tokens,
        "held_out_bytes": held_out.bytes,
        "held_out_documents": held_out.documents,
        "epochs": tokens * source.overall / train.tokens,
        **_phases(source),
    }


def _write_source(
    source: TextSource, encoder: Encoder, folder: Path, wanted: Mapping[Part, int]
) -> dict[Part, ShardInfo]:
    """Both shards of a source: what an earlier call has finished, or the rest of what it had begun."""
    finished, begun = folder / f"{source.name}.finished.json", folder / f"{source.name}.begun.json"
    shards = {part: folder / f"{source.name}.{part}.bin" for part in PARTS}
    if finished.is_file() and all(shard.is_file() for shard in shards.values()):
        return _noted(finished)
    tokenizer, tally, written = encoder.tokenizer, Tally("corpus"), _noted(begun)
    with (
        resume_shard(shards["train"], tokenizer, written.get("train")) as train,
        resume_shard(shards["held_out"], tokenizer, written.get("held_out")) as held_out,
    ):
        writers: dict[Part, ShardWriter] = {"train": train, "held_out": held_out}

        def tell(share: float | None, *, ended: bool = False) -> None:
            written = sum(writer.bytes for writer in writers.values()) / 1e6
            tally.update(written, "MB of text", source.name, share=share, ended=ended)

        def of_tokens() -> float:
            return sum(writer.tokens for writer in writers.values()) / sum(wanted.values())

        if source.both is None:
            for part, stream in zip(PARTS, (source.train, source.held_out), strict=True):
                _write_enough(stream(), tokenizer, writers[part], wanted[part], lambda: tell(of_tokens()))
        else:
            kept, share_read = time.monotonic(), ShareRead(source.files)
            for part, batch in encoder.encode(_unwritten(source.both(), writers)):
                writers[part].add(batch.ids, len(batch.lengths))
                tell(share_read())
                if time.monotonic() - kept > KEEP_SECONDS:
                    _note(begun, {part: writer.keep() for part, writer in writers.items()})
                    kept = time.monotonic()
        tell(1.0, ended=True)
    infos = {part: writer.info() for part, writer in writers.items()}
    _note(finished, infos)
    begun.unlink(missing_ok=True)
    return infos


def _note(path: Path, infos: Mapping[Part, ShardInfo]) -> None:
    described = {part: dataclasses.asdict(info) for part, info in infos.items()}
    write_bytes_atomically(path, (json.dumps(described) + "\n").encode())


def _noted(path: Path) -> dict[Part, ShardInfo]:
    if not path.is_file():
        return {}
    return {part: ShardInfo(**info) for part, info in json.loads(path.read_text(encoding="utf-8")).items()}


def _unwritten(
    documents: Iterator[tuple[Part, Document]], writers: Mapping[Part, ShardWriter]
) -> Iterator[tuple[Part, str]]:
    """What the shards do not hold yet: each holds the first documents of its part."""
    passed = {part: writer.documents for part, writer in writers.items()}
    for part, document in documents:
        if passed[part]:
            passed[part] -= 1
        else:
            yield part, document.text


def _write_enough(
    documents: Iterator[Document], tokenizer: Tokenizer, writer: ShardWriter, wanted: int, tell: Callable[[], None]
) -> None:
    """Documents until there are `wanted` tokens, the one that reaches them whole."""
    while writer.tokens < wanted:
        batch = encode_batch(tokenizer, [document.text for document in itertools.islice(documents, MADE_TEXTS)])
        ends = np.cumsum(batch.lengths)
        count = min(len(ends), int(np.searchsorted(ends, wanted - writer.tokens)) + 1)
        writer.add(batch.ids[: ends[count - 1]], count)
        tell()


def _tell_epochs(entries: list[dict[str, Any]]) -> None:
    """How often each source will be read, before hours are spent on it."""
    for entry in entries:
        name, share, tokens, epochs = (entry[key] for key in ("name", "share", "tokens", "epochs"))
        advice = f": above {MANY_EPOCHS}, give more text or a smaller share" if epochs > MANY_EPOCHS else ""
        say(f"  {name:<16} {share:6.1%}  {tokens:>13,} tokens  {epochs:6.2f} epochs{advice}")


def _phases(source: TextSource) -> dict[str, float]:
    """What the manifest says of a source that is read in two phases, beside its shares of the whole."""
    if not source.finish:
        return {}
    return {"finish": source.finish, "main_share": source.share, "finish_share": source.finish_share}


def _tell_finish(entries: list[dict[str, Any]], tokens: int) -> None:
    """The same for each phase, where there are two."""
    finish = entries[0].get("finish")
    if finish is None:
        return
    for key, words, part in (("main_share", "first", 1 - finish), ("finish_share", "last", finish)):
        for entry in (entry for entry in entries if entry[key]):
            epochs = tokens * part * entry[key] / entry["tokens"]
            say(f"  {entry['name']:<16} {entry[key]:6.1%}  of the {words} {part:.0%}  {epochs:14.2f} epochs")


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus: training rows in their order, and the held-out stream of each source."""

    rows: PackedCorpus
    held_out: Mapping[str, np.ndarray]
    opening: int | None = None
    """The token that opens a document, where each is to see itself alone."""


def open_corpus(
    folder: Path, *, context: int, seed: int, finish_row: int | None = None, opening: int | None = None
) -> Corpus:
    """A corpus of two phases needs the row at which the second begins.

    Raises InputError when a shard is missing or damaged.
    """
    entries = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["sources"]
    shares = {entry["name"]: entry.get("main_share", entry["share"]) for entry in entries}
    train = {name: read_shard(folder / f"{name}.train.bin").ids for name in shares}
    held_out = {name: read_shard(folder / f"{name}.held_out.bin").ids for name in shares}
    finish = None
    if finish_row is not None:
        finish = Finish({e["name"]: e["finish_share"] for e in entries if e["finish_share"]}, finish_row)
    main = {name: share for name, share in shares.items() if share}
    return Corpus(PackedCorpus(train, main, context=context, seed=seed, finish=finish), held_out, opening)
