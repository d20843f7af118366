"""From documents to what pretraining reads: a tokenizer, and one shard of token ids per source, with a held-out part.

tokenizer/   tokenizer.json, stats.json
corpus/      manifest.json, <source>.train.bin, <source>.held_out.bin
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gptwright.data.packing import Finish, PackedCorpus
from gptwright.errors import InputError
from gptwright.recipe import TokenizerSettings
from gptwright.records import Document
from gptwright.tokenizer.bpe import train_bpe, train_characters
from gptwright.tokenizer.shards import encode_documents, read_shard, write_shard
from gptwright.tokenizer.stats import token_stats
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.progress import Progress, say

MANY_EPOCHS = 4
"""Up to here a text read again is worth almost as much as a new one (Muennighoff et al., arXiv:2305.16264)."""


@dataclass(frozen=True)
class TextSource:
    """One source of the mixture. The two streams never give the same document."""

    name: str
    share: float
    train: Callable[[], Iterator[Document]]
    held_out: Callable[[], Iterator[Document]]
    endless: bool = False
    """Written by a program that never stops: taken until there is enough."""
    finish: float = 0.0
    """The part of all tokens that is read last, from another mixture."""
    finish_share: float = 0.0
    """This source's share of that; `share` is that of what is read before."""

    @property
    def overall(self) -> float:
        """Its share of all tokens."""
        return self.share * (1 - self.finish) + self.finish_share * self.finish


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
        tokenizer = train_characters(
            (d.text for s in sources for d in itertools.chain(s.train(), s.held_out())), strict=True
        )
    else:
        tokenizer = train_bpe(sample, settings.vocab_size)
    stats = token_stats(tokenizer, sample[:: max(1, len(sample) // 2000)])
    return tokenizer, {
        "vocab_size": tokenizer.vocab_size,
        "bytes_per_token": stats.bytes_per_token,
        "words_per_token": stats.words_per_token,
    }


def _sample(source: TextSource, wanted: int) -> Iterator[str]:
    taken = 0
    for document in source.train():
        yield document.text
        taken += len(document.text)
        if taken >= wanted:
            return


def build_corpus(
    sources: list[TextSource], tokenizer: Tokenizer, folder: Path, *, tokens: int, held_out: float, context: int
) -> None:
    """Write the shards: of an endless source what one epoch of `tokens` needs, of any other everything."""
    entries = []
    progress = Progress("corpus", len(sources))
    for number, source in enumerate(sources):
        parts = {}
        for part, stream, share in (("train", source.train, 1.0), ("held_out", source.held_out, held_out)):
            documents = encode_documents((document.text for document in stream()), tokenizer)
            if source.endless:
                documents = _take(
                    documents, max(2 * (context + 1), round(tokens * source.overall * share) + context + 1)
                )
            parts[part] = write_shard(folder / f"{source.name}.{part}.bin", documents, tokenizer)
        train = parts["train"]
        epochs = tokens * source.overall / train.tokens
        entries.append(
            {
                "name": source.name,
                "share": source.overall,
                "tokens": train.tokens,
                "bytes": train.bytes,
                "documents": train.documents,
                "held_out_tokens": parts["held_out"].tokens,
                "epochs": epochs,
                **_phases(source),
            }
        )
        progress.update(number + 1, source.name)
    _tell_epochs(entries)
    _tell_finish(entries, tokens)
    manifest = {"tokenizer": tokenizer.fingerprint, "sources": entries}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


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


def _take(documents: Iterator[list[int]], tokens: int) -> Iterator[list[int]]:
    taken = 0
    for ids in documents:
        yield ids
        taken += len(ids)
        if taken >= tokens:
            return


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus: training rows in their order, and the held-out stream of each source."""

    rows: PackedCorpus
    held_out: Mapping[str, np.ndarray]


def open_corpus(folder: Path, *, context: int, seed: int, finish_row: int | None = None) -> Corpus:
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
    return Corpus(PackedCorpus(train, main, context=context, seed=seed, finish=finish), held_out)
