"""Preparing a corpus: speed of each step on one core, memory as the corpus grows tenfold, training a vocabulary.

    python benchmarks/corpus.py DATA [--rounds 5] [--megabytes 100]

DATA is a folder of .jsonl.gz and .txt with 30 MB of text or more. Speeds are on paragraphs and on whole books, in one
process and per second of its processor time, so that a busy neighbour spoils little; tiktoken's and tokenizers' own
batch calls on the same texts and merges stand beside ours. Memory is the largest that the process which reads, splits
and writes had, for a corpus of so many megabytes and for ten times that. A vocabulary of 32,768 is trained on 30 MB by
one thread. Times are medians over rounds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tiktoken
import tokenizers
from command import RSS_UNIT
from record import write_result

from gptwright.data.jsonl import write_jsonl
from gptwright.data.sources import read_documents
from gptwright.data.splitting import split_stream
from gptwright.pipeline.text import text_sources
from gptwright.recipe import Recipe
from gptwright.stages.corpus import build_corpus, build_tokenizer
from gptwright.tokenizer import tokenizer_json
from gptwright.tokenizer.bpe import train_bpe
from gptwright.tokenizer.parallel import BATCH_CHARACTERS, encode_batch
from gptwright.tokenizer.shards import open_shard
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.world.documents import mixed_documents

VOCABULARY = 32_768
TRAINING_BYTES = 30_000_000
TEXT_BYTES = 8_000_000
"""Of each kind of text, for the speeds."""
GROWTH = 10
HELD_OUT = 0.02


def texts_of(data: Path) -> Iterator[str]:
    """The documents of all files, the longest files first: those are books."""
    files = sorted((file for file in data.iterdir() if file.is_file()), key=lambda file: -file.stat().st_size)
    return (document.text for file in files for document in read_documents(file))


def at_most(texts: Iterator[str], num_bytes: int) -> list[str]:
    """Texts of that many bytes together, the last one cut."""
    taken, left = [], num_bytes
    for text in texts:
        taken.append(text if len(text.encode()) <= left else text.encode()[:left].decode(errors="ignore"))
        left -= len(taken[-1].encode())
        if left <= len(text.encode()) - len(taken[-1].encode()):
            break
    return taken


def paragraphs(texts: list[str]) -> list[str]:
    return [part for text in texts for part in text.split("\n\n") if part.strip()]


def batches(texts: list[str]) -> list[list[str]]:
    """As large as those that a worker gets."""
    found: list[list[str]] = [[]]
    size = 0
    for text in texts:
        found[-1].append(text)
        size += len(text)
        if size >= BATCH_CHARACTERS:
            found.append([])
            size = 0
    return [batch for batch in found if batch]


def steps_of(texts: list[str], tokenizer: Tokenizer, folder: Path) -> dict[str, Callable[[], object]]:
    """What is done to the texts, by name; each on what the step before it would hand over."""
    file = folder / "texts.jsonl"
    write_jsonl(file, ({"text": text} for text in texts))
    documents = list(read_documents(file))
    grouped = batches(texts)
    encoded = [encode_batch(tokenizer, batch) for batch in grouped]
    with open_shard(folder / "first.bin", tokenizer) as writer:  # what a tokenizer works out once is no step's cost
        writer.add(encoded[0].ids, len(encoded[0].lengths))
    tokenizer.save(folder)
    hugging_face = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    pieces, pattern = tokenizer_json.read(folder / "tokenizer.json")
    ranks = {piece: rank for rank, piece in enumerate(pieces)}
    plain = tiktoken.Encoding("plain", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})

    def shard() -> None:
        with open_shard(folder / "texts.bin", tokenizer) as writer:
            for batch in encoded:
                writer.add(batch.ids, len(batch.lengths))

    def whole() -> None:
        recipe = Recipe.model_validate({"name": "corpus", "data": {"files": str(file), "held_out": HELD_OUT}})
        build_corpus(text_sources(recipe), tokenizer, folder, tokens=10**6, held_out=HELD_OUT, context=256, workers=1)

    return {
        "read": lambda: sum(1 for _ in read_documents(file)),
        "split": lambda: sum(1 for _ in split_stream(documents, HELD_OUT)),
        "tokenize": lambda: [encode_batch(tokenizer, batch) for batch in grouped],
        "write shards": shard,
        "all of it": whole,
        "tiktoken's encode_ordinary_batch": lambda: [plain.encode_ordinary_batch(b, num_threads=1) for b in grouped],
        "tokenizers' encode_batch": lambda: [hugging_face.encode_batch(b, add_special_tokens=False) for b in grouped],
    }


def cpu_seconds(work: Callable[[], object]) -> float:
    """What the work costs a core, whatever else the core has to do meanwhile."""
    started = time.process_time()
    work()
    return time.process_time() - started


def speeds(texts: list[str], tokenizer: Tokenizer, rounds: int) -> dict[str, Any]:
    """Medians of each step, the steps alternating."""
    num_bytes = sum(len(text.encode()) for text in texts)
    with tempfile.TemporaryDirectory() as temporary:
        steps = steps_of(texts, tokenizer, Path(temporary))
        measured = [{name: cpu_seconds(work) for name, work in steps.items()} for _ in range(rounds)]
    seconds = {name: statistics.median(taken[name] for taken in measured) for name in steps}
    return {
        "megabytes": round(num_bytes / 1e6, 2),
        "documents": len(texts),
        "megabytes_per_cpu_second": {name: round(num_bytes / 1e6 / value, 2) for name, value in seconds.items()},
        "documents_per_cpu_second": {name: round(len(texts) / value) for name, value in seconds.items()},
    }


def in_a_process(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """What `work` returns in a fresh process on one core."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_send, args=(sender, work, arguments))
    os.environ["RAYON_NUM_THREADS"] = "1"
    process.start()
    sender.close()
    try:
        result: dict[str, Any] = receiver.recv()
    except EOFError:
        raise RuntimeError(f"the process of {work.__name__} died") from None
    process.join()
    return result


def _send(sender: Any, work: Callable[..., dict[str, Any]], arguments: tuple[Any, ...]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    sender.send(work(*arguments))


def trained(data: Path) -> dict[str, Any]:
    """Seconds of processor time for one vocabulary."""
    texts = at_most(texts_of(data), TRAINING_BYTES)
    started = time.process_time()
    tokenizer = train_bpe(texts, VOCABULARY)
    seconds = time.process_time() - started
    return {"cpu_seconds": seconds, "bytes": sum(len(t.encode()) for t in texts), "vocabulary": tokenizer.vocab_size}


def prepared(file: Path, folder: Path) -> dict[str, Any]:
    """A whole corpus from one file, its tokenizer too; the process's largest memory."""
    recipe = Recipe.model_validate({"name": "corpus", "data": {"files": str(file)}, "tokenizer": {"vocab_size": 8192}})
    started = time.process_time()
    tokenizer, _ = build_tokenizer(text_sources(recipe), recipe.tokenizer)
    tokenizing = time.process_time() - started
    manifest = build_corpus(
        text_sources(recipe), tokenizer, folder, tokens=10**6, held_out=recipe.data.held_out, context=256, workers=1
    )
    entry = manifest["sources"][0]
    return {
        "peak_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT / 1e6, 1),
        "cpu_seconds": round(time.process_time() - started, 1),
        "cpu_seconds_of_the_vocabulary": round(tokenizing, 1),
        "megabytes": round((entry["bytes"] + entry["held_out_bytes"]) / 1e6, 1),
        "held_out_share": entry["held_out_bytes"] / (entry["bytes"] + entry["held_out_bytes"]),
    }


def memory(data: Path, megabytes: float) -> dict[str, Any]:
    """Peaks for a corpus of distinct paragraphs, and for one that is GROWTH times as large."""
    found = {}
    for times in (1, GROWTH):
        with tempfile.TemporaryDirectory() as temporary:
            file, folder = Path(temporary) / "corpus.jsonl", Path(temporary) / "corpus"
            folder.mkdir()
            write_jsonl(file, numbered(data, round(times * megabytes * 1e6)))
            found[f"x{times}"] = in_a_process(prepared, file, folder)
    return found


def numbered(data: Path, num_bytes: int) -> Iterator[dict[str, str]]:
    """Paragraphs as often as it takes, each with a number so that no two are equal."""
    taken = 0
    numbers = itertools.count()
    while taken < num_bytes:
        for text in texts_of(data):
            for part in paragraphs([text]):
                row = f"{next(numbers)}. {part}"
                yield {"text": row}
                taken += len(row.encode())
                if taken >= num_bytes:
                    return


def made(count: int) -> dict[str, Any]:
    """The built-in world's own speed."""
    started = time.process_time()
    characters = sum(len(document.text) for document in itertools.islice(mixed_documents(0), count))
    seconds = time.process_time() - started
    return {
        "documents_per_second": round(count / seconds),
        "megabytes_per_second": round(characters / 1e6 / seconds, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder of texts, such as books in .jsonl.gz")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=float, default=100.0, help="of the smaller corpus whose memory is measured")
    options = parser.parse_args()
    # First, for a process that is started later would count this one's memory as its own.
    figures: dict[str, Any] = {"memory": memory(options.data, options.megabytes)}
    training = [in_a_process(trained, options.data) for _ in range(options.rounds)]
    figures["vocabulary"] = training[0] | {
        "cpu_seconds": statistics.median(result["cpu_seconds"] for result in training)
    }
    books = at_most(texts_of(options.data), TEXT_BYTES)
    tokenizer = train_bpe(books, VOCABULARY)
    figures["speed"] = {
        "paragraphs": speeds(paragraphs(books), tokenizer, options.rounds),
        "books": speeds(books, tokenizer, options.rounds),
        "built-in world": in_a_process(made, 5000),
    }
    print(json.dumps(figures, indent=1))
    arguments = f"DATA --rounds {options.rounds} --megabytes {options.megabytes:g}"
    print(write_result("corpus", f"python benchmarks/corpus.py {arguments}", figures))


if __name__ == "__main__":
    main()
