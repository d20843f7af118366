"""How well and how fast a corpus is cleaned: near-duplicates and personal data found, speed of each step, memory.

    python benchmarks/cleaning.py DATA [--world 3000]

DATA is the folder with cleaning/near_duplicates, cleaning/pii_synthetic.json.gz and the web pages beside them.
"""

from __future__ import annotations

import argparse
import difflib
import gzip
import json
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from record import ROOT, write_result

from gptwright.cleaning.personal_data import KINDS, find_personal_data
from gptwright.cleaning.settings import NearDuplicates
from gptwright.data.jsonl import read_jsonl, write_jsonl
from gptwright.data.sources import read_documents
from gptwright.world.documents import document

PASSAGE_WORDS = 120
"""Least length of the passages that two editions of a book are cut into."""
EDITED_SHARES = (0.01, 0.02, 0.05, 0.1)
WORLD_TIMES = 10
OURS = {
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "telephone",
    "CREDIT_CARD": "card",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
    "US_SSN": "ssn",
}
"""The names that presidio-research gives to what we look for."""
SIMILARITY = NearDuplicates().similarity
ALONE = ["language=null", "gopher_repetition=null", "gopher_quality=null", "c4=null", "fineweb=null"]
"""Overrides that leave only duplicates and personal data."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder that holds cleaning/")
    parser.add_argument(
        "--world", type=int, default=3_000, help="documents of the smaller corpus whose memory is taken"
    )
    options = parser.parse_args()
    folder = options.data / "cleaning"
    if not folder.is_dir():
        parser.error(f"{folder} does not exist: name the folder that holds it")
    with tempfile.TemporaryDirectory() as scratch:
        figures = {
            "near_duplicates": near_duplicates(folder, Path(scratch)),
            "personal_data": personal_data(folder / "pii_synthetic.json.gz"),
            "steps": steps(folder, Path(scratch)),
            "memory": memory(options.world, Path(scratch)),
        }
    command = f"python benchmarks/cleaning.py DATA --world {options.world}"
    write_result("cleaning", command, figures)
    print(json.dumps(figures, indent=1))


def clean(out: Path, sources: dict[str, str], overrides: Iterable[str]) -> dict[str, Any]:
    """One run of the real command on one core; returns its cleaning.json."""
    settings = [part for override in (*overrides, "executor.workers=1") for part in ("-o", override)]
    named = [f"{name}={path}" for name, path in sources.items()]
    command = [sys.executable, "-m", "gptwright.cli.main", "data", "clean", str(out), *named, *settings]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    value: dict[str, Any] = json.loads((out / "cleaning.json").read_text(encoding="utf-8"))
    return value


def left(out: Path) -> set[str]:
    """The ids of the documents that were kept."""
    return {row["id"] for file in (out / "documents").rglob("*.jsonl.gz") for _, row in read_jsonl(file)}


def found(removed: set[str], copies: set[str]) -> dict[str, Any]:
    """Precision and recall of what was removed, against what are copies."""
    right = len(removed & copies)
    return {
        "copies": len(copies),
        "removed": len(removed),
        "precision": right / len(removed) if removed else 1.0,
        "recall": right / len(copies) if copies else 1.0,
    }


def near_duplicates(folder: Path, scratch: Path) -> dict[str, Any]:
    """Passages of two editions of two books, whole books, edited pages, and the built-in world's copied pages."""
    passages = list(edition_passages(folder / "near_duplicates"))
    pages = [page.text for page in read_documents(folder / "c4_web_documents.jsonl.gz")]
    distractors = [{"id": f"page-{number}", "text": text} for number, text in enumerate(pages)]
    first = [{"id": f"{name}-a", "text": one} for name, one, _ in passages] + distractors
    second = [{"id": f"{name}-b", "text": other} for name, _, other in passages]
    removed = removed_of(scratch / "passages", first, second)
    books = {
        file.name.removesuffix(".txt.gz"): text_of(file) for file in sorted((folder / "near_duplicates").glob("*"))
    }
    whole = [[{"id": name, "text": text} for name, text in books.items() if name.endswith(f"_{x}")] for x in "ab"]
    return {
        "passages of two editions": found(removed, {row["id"] for row in second}),
        "whole books with licence and header": found(
            removed_of(scratch / "books", *whole), {name for name in books if name.endswith("_b")}
        ),
        "pages with words exchanged": [edited(pages, share, scratch / f"edited-{share}") for share in EDITED_SHARES],
        "copied pages of the built-in world": world_copies(scratch / "world", 4_000),
    }


def removed_of(folder: Path, first: list[dict[str, str]], second: list[dict[str, str]]) -> set[str]:
    """The ids that go when two sources are cleaned of duplicates alone, within and across."""
    for name, rows in (("first", first), ("second", second)):
        write_jsonl(folder / f"{name}.jsonl", rows)
    sources = {name: str(folder / f"{name}.jsonl") for name in ("first", "second")}
    clean(folder / "out", sources, [*ALONE, "personal_data=null"])
    return {row["id"] for row in (*first, *second)} - left(folder / "out")


def text_of(file: Path) -> str:
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        return stream.read()


def edition_passages(folder: Path) -> Iterator[tuple[str, str, str]]:
    """(name, passage in one edition, the same in the other), whole paragraphs, wherever difflib can align them.

    The alignment knows only order and equal paragraphs, so it is independent of what MinHash compares.
    """
    for book in ("alice", "oz"):
        one, other = (
            [" ".join(part.split()) for part in re.split(r"\n\s*\n", text_of(folder / f"{book}_{x}.txt.gz"))]
            for x in "ab"
        )
        plain = [[" ".join(re.findall(r"\w+", part.lower())) for part in parts] for parts in (one, other)]
        partners = {}
        for tag, i, i_end, j, j_end in difflib.SequenceMatcher(None, *plain, autojunk=False).get_opcodes():
            if tag in ("equal", "replace") and i_end - i == j_end - j:
                partners.update(zip(range(i, i_end), range(j, j_end), strict=True))
        taken: list[int] = []
        for number in sorted(partners):
            if taken and (number != taken[-1] + 1 or partners[number] != partners[taken[-1]] + 1):
                taken = []
            taken.append(number)
            if sum(len(one[i].split()) for i in taken) >= PASSAGE_WORDS:
                pair = ["\n\n".join(parts) for parts in ([one[i] for i in taken], [other[partners[i]] for i in taken])]
                if pair[0] != pair[1]:
                    yield f"{book}-{taken[0]}", pair[0], pair[1]
                taken = []


def edited(pages: list[str], share: float, folder: Path) -> dict[str, Any]:
    """Web pages again with that share of their words exchanged for words of other pages."""
    rng = random.Random(f"edited {share}")
    words = [word for page in pages for word in page.split()]
    long = [page for page in pages if len(page.split()) >= PASSAGE_WORDS]
    first = [{"id": f"{number}", "text": page} for number, page in enumerate(long)]
    second = []
    similar = 0.0
    for number, page in enumerate(long):
        copy = " ".join(rng.choice(words) if rng.random() < share else word for word in page.split())
        second.append({"id": f"{number}-edited", "text": copy})
        similar += jaccard(page, copy) / len(long)
    return {
        "words exchanged": share,
        "mean similarity": similar,
        **found(removed_of(folder, first, second), {row["id"] for row in second}),
    }


def jaccard(one: str, other: str, n: int = 5) -> float:
    """Share of the n-grams of both texts that are in each, worked out exactly."""
    grams = []
    for text in (one, other):
        words = re.findall(r"\w+", text.lower())
        grams.append({tuple(words[i : i + n]) for i in range(len(words) - n + 1)})
    return len(grams[0] & grams[1]) / max(1, len(grams[0] | grams[1]))


def world_copies(folder: Path, count: int) -> dict[str, Any]:
    """The crawl's own copies say so in a line; their originals lie at most 500 pages before them."""
    pages = [document(0, "web", index) for index in range(count)]
    rows = [{"id": page.id, "text": page.text} for page in pages]
    copied = re.compile(r"^Copied by \w+ on \w+\.$", re.MULTILINE)
    copies = {page.id for page in pages if copied.search(page.text)}
    removed = removed_of(folder, rows, [{"id": "one more", "text": "A source needs a text."}])
    result = found(removed, copies)
    places = {page.id: number for number, page in enumerate(pages)}
    like = {
        id: max(jaccard(pages[places[id]].text, page.text) for page in pages[max(0, places[id] - 500) : places[id]])
        for id in copies
    }
    alike = {id for id, similarity in like.items() if similarity >= SIMILARITY}
    return result | {
        f"copies at least {SIMILARITY} like a page before them": len(alike),
        "recall among those": len(removed & alike) / len(alike),
    }


def personal_data(file: Path) -> dict[str, Any]:
    """Precision and recall by kind: a piece counts as found when all of it is covered."""
    right, missed, wrong = Counter[str](), Counter[str](), Counter[str]()
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        for row in json.load(stream):
            pieces = find_personal_data(row["full_text"])
            spans = [
                (OURS[span["entity_type"]], span["start_position"], span["end_position"])
                for span in row["spans"]
                if span["entity_type"] in OURS
            ]
            for kind, start, end in spans:
                covered = any(p.kind == kind and p.start <= start and end <= p.end for p in pieces)
                (right if covered else missed)[kind] += 1
            for piece in pieces:
                if not any(piece.kind == k and piece.start < end and start < piece.end for k, start, end in spans):
                    wrong[piece.kind] += 1
    return {
        kind: {
            "pieces": right[kind] + missed[kind],
            "precision": right[kind] / max(1, right[kind] + wrong[kind]),
            "recall": right[kind] / max(1, right[kind] + missed[kind]),
        }
        for kind in KINDS
    }


def steps(folder: Path, scratch: Path) -> dict[str, Any]:
    """Documents and megabytes per second and core of each rule, on web pages."""
    sources = {"c4": folder / "c4_web_documents.jsonl.gz", "crawl": folder / "common_crawl_documents.jsonl.gz"}
    overrides = [f"decontaminate.files=[{folder / 'pii_synthetic.json.gz'}]"]
    summary = clean(scratch / "steps", {name: str(path) for name, path in sources.items()}, overrides)
    return {
        name: {
            "documents/s": work["documents"] / work["seconds"],
            "MB/s": work["bytes"] / 1e6 / work["seconds"],
        }
        for name, work in summary["steps"].items()
    }


def memory(documents: int, scratch: Path) -> dict[str, Any]:
    """Peak of the whole command's processes on a corpus and on one ten times as large."""
    result = {}
    for count in (documents, documents * WORLD_TIMES):
        # Not ru_maxrss, which a process inherits from the one that started it; so on Linux alone.
        code = (
            "import sys; from gptwright.cli.main import app; app(sys.argv[1:], standalone_mode=False); "
            "sys.stderr.write('peak ' + open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
        )
        arguments = ["data", "clean", str(scratch / f"memory-{count}"), "world=builtin:world"]
        arguments += ["-o", f"sources.world.documents={count}", "-o", "executor.workers=1"]
        call = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(call, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        result[f"{count} documents"] = int(done.stderr.rsplit("peak ", 1)[1]) * 1024 / 1e6
    return {"peak_mb": result}


if __name__ == "__main__":
    main()
