"""Held-out loss after 1, 3 and 10 minutes of one's own text, against the loop that one would write by hand.

    python benchmarks/equal_time.py PATH/tinyshakespeare.txt PATH/books.jsonl.gz [--minutes 1,3,10] [--keep DIR]

Both train the same shape (3M parameters, context 256, rows of 16) on the same tokens and are measured on the same
held-out rows, at the end all of them. Theirs is a Llama of transformers, eager, float32, AdamW with warmup and cosine
over the minutes; its clock stands still while it is measured, and its text is tokenized already. Ours is `gptwright
pretrain text` with as many tokens as the minutes allow, and its clock runs from the start of the command: tokenizer,
corpus, timing of the ways to compute, compiling without a warm cache, measuring. The picture shows the runs of the
longest time.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import tempfile
import time
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import command
import numpy as np
import torch
from pretraining import config_of, our_step
from record import RESULTS, write_result
from torch import nn
from torch.nn import functional as F

from gptwright.allocator import keep_freed_memory
from gptwright.losses.language import token_logprobs
from gptwright.report.plots import png_plot
from gptwright.stages.corpus import Corpus, open_corpus
from gptwright.stages.pretrain import FINAL_ROWS, VALIDATION_ROWS
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.fast_path import FastPath

SIZE, ROWS, CONTEXT, VOCABULARY = "3m", 16, 256, 4096
PEAK, WARMUP_STEPS, FINAL = 1e-3, 100, 0.1
MEASURED_EVERY = 10.0
EVALUATIONS, HELD_OUT = 40, 0.03
STARTUP_SECONDS, COMPILING_SECONDS, COMPILED_FROM_MINUTES, MARGIN = 14.0, 40.0, 2.5, 0.9
"""What is taken from the minutes before our tokens are computed from the measured speed."""


@dataclass(frozen=True)
class Point:
    """Held-out nats per token after some seconds and tokens."""

    seconds: float
    tokens: int
    loss: float


def our_rate(compiled: bool) -> float:
    """Tokens per second of our step on this machine now."""
    path = FastPath("cpu", "bfloat16", True, "matmul") if compiled else FastPath("cpu", "float32")
    step = our_step(config_of(SIZE), muon=True, path=path)
    ids_BT = torch.randint(VOCABULARY, (ROWS, CONTEXT + 1))
    for _ in range(3):
        step(ids_BT)
    started = time.perf_counter()
    for _ in range(8):
        step(ids_BT)
    return 8 * ROWS * CONTEXT / (time.perf_counter() - started)


def ours(text: Path, minutes: float, folder: Path) -> list[Point]:
    """The real command; its measurements are seen when they appear in the run's log."""
    compiled = minutes >= COMPILED_FROM_MINUTES
    seconds = 60 * minutes - STARTUP_SECONDS - (COMPILING_SECONDS if compiled else 0)
    tokens = int(MARGIN * seconds * our_rate(compiled)) // (ROWS * CONTEXT) * (ROWS * CONTEXT)
    config = config_of(SIZE)
    settings = {
        "data.files": text, "data.held_out": HELD_OUT, "model.size": "null",
        "model.layers": config.layers, "model.width": config.width,
        "model.heads": config.heads, "model.hidden": config.hidden, "model.context": CONTEXT,
        "tokenizer.vocab_size": VOCABULARY, "pretrain.tokens": tokens, "pretrain.batch_rows": ROWS,
        "pretrain.evaluations": EVALUATIONS,
    }  # fmt: skip
    if text.suffix == ".txt":
        del settings["tokenizer.vocab_size"]
        settings["tokenizer.kind"] = "characters"
    options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
    points: list[Point] = []
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        process = command.start(["pretrain", "text", *options, "--dir", str(folder)], folder.with_suffix(".log"))
        running = True
        while running:
            running = process.poll() is None
            found = measured(folder)[len(points) :]
            points += [Point(time.perf_counter() - started, *row) for row in found]
            time.sleep(0.2)
        del os.environ["TORCHINDUCTOR_CACHE_DIR"]
    if process.returncode:
        raise RuntimeError(folder.with_suffix(".log").read_text(encoding="utf-8")[-2000:])
    return points


def measured(folder: Path) -> list[tuple[int, float]]:
    """(tokens, held-out loss) of every whole line of the run's log that has one, where it lies now."""
    logs = (folder / "base" / "metrics.jsonl", folder / "checkpoints" / "base" / "log" / "metrics.jsonl")
    log = next((log for log in logs if log.exists()), logs[0])
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True) if log.exists() else []
    rows = [json.loads(line) for line in lines if line.endswith("\n")]
    found = [row for row in rows if "validation_loss" in row]
    losses = (row.get("final_validation_loss", row["validation_loss"]) for row in found)
    return [(row["step"] * ROWS * CONTEXT, loss) for row, loss in zip(found, losses, strict=True)]


def theirs(folder: Path, minutes: float) -> list[Point]:
    """The plain loop on the tokens of the run in `folder`, for as long as the minutes last."""
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

    corpus, config = open_corpus(folder / "corpus", context=CONTEXT, seed=0), config_of(SIZE)
    vocabulary = Tokenizer.load(folder / "tokenizer").vocab_size
    model: nn.Module = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary, hidden_size=config.width, intermediate_size=config.hidden,
            num_hidden_layers=config.layers, num_attention_heads=config.heads, num_key_value_heads=config.kv_heads,
            max_position_embeddings=CONTEXT, tie_word_embeddings=True, use_cache=False,
        )
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, betas=(0.9, 0.95), weight_decay=0.1)
    total, trained, step, measured_at = 60 * minutes, 0.0, 0, 0.0
    points: list[Point] = []
    while True:
        if trained >= measured_at or trained >= total:
            rows = FINAL_ROWS if trained >= total else VALIDATION_ROWS
            points.append(Point(trained, step * ROWS * CONTEXT, held_out_loss(model, corpus, rows)))
            measured_at = trained + MEASURED_EVERY
        if trained >= total:
            return points
        started = time.perf_counter()
        share = min(1.0, (step + 1) / WARMUP_STEPS) * (
            FINAL + (1 - FINAL) * (1 + math.cos(math.pi * trained / total)) / 2
        )
        for group in optimizer.param_groups:
            group["lr"] = PEAK * share
        inputs, targets = (torch.from_numpy(part) for part in corpus.rows.batch(step, ROWS))
        F.cross_entropy(model(inputs).logits.flatten(0, 1), targets.flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        trained += time.perf_counter() - started


@torch.no_grad()
def held_out_loss(model: nn.Module, corpus: Corpus, max_rows: int) -> float:
    """On the rows that the stage measures."""
    stream = np.asarray(corpus.held_out["text"][: max_rows * CONTEXT + 1], dtype=np.int64)
    rows = (len(stream) - 1) // CONTEXT
    inputs = torch.from_numpy(stream[: rows * CONTEXT].reshape(rows, CONTEXT))
    targets = torch.from_numpy(stream[1 : rows * CONTEXT + 1].reshape(rows, CONTEXT))
    parts = [
        token_logprobs(model(ids).logits, wanted).sum()
        for ids, wanted in zip(inputs.split(ROWS), targets.split(ROWS), strict=True)
    ]
    return -float(torch.stack(parts).sum()) / targets.numel()


def both(text: Path, minutes: float, folder: Path) -> dict[str, list[Point]]:
    """The two curves, measured one after the other or read from beside `folder`."""
    stored = folder.parent / f"{folder.name}.json"
    if stored.is_file():
        told = json.loads(stored.read_text(encoding="utf-8"))
        return {way: [Point(*point) for point in points] for way, points in told.items()}
    shutil.rmtree(folder, ignore_errors=True)  # half a run would begin with a head start
    curves = {"gptwright": ours(text, minutes, folder), "transformers": theirs(folder, minutes)}
    told = {way: [astuple(point) for point in points] for way, points in curves.items()}
    stored.write_text(json.dumps(told), encoding="utf-8")
    return curves


def draw(name: str, curves: dict[str, list[Point]]) -> None:
    """The two curves of one text, without the first, untrained point."""

    def paint(axes: Any, colours: Any) -> None:
        for number, (label, points) in enumerate(curves.items()):
            minutes, losses = zip(*((p.seconds / 60, p.loss) for p in points[1:]), strict=True)
            axes.plot(minutes, losses, color=colours.of(number + 1), label=label)
        axes.set_xlabel("minutes")
        axes.set_ylabel("held-out nats per token")
        axes.legend()

    (RESULTS / f"equal_time_{name}.png").write_bytes(png_plot((5.0, 3.2), paint))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path, nargs="+")
    parser.add_argument("--minutes", default="1,3,10")
    parser.add_argument("--keep", type=Path, help="leave the runs here; curves that stand there are not measured again")
    options = parser.parse_args()
    keep_freed_memory()
    budgets = [float(part) for part in options.minutes.split(",")]
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        place = options.keep or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        for text in options.texts:
            name = text.name.split(".")[0]
            for minutes in budgets:
                folder = place / f"{name}-{minutes:g}"
                curves = both(text.resolve(), minutes, folder)
                last = {way: [p for p in points if p.seconds <= 60 * minutes + 1][-1] for way, points in curves.items()}
                figures.setdefault(name, {})[f"{minutes:g}"] = {way: asdict(point) for way, point in last.items()}
                print(name, minutes, last, flush=True)
                if minutes == max(budgets):
                    draw(name, curves)
    texts = " ".join(text.name for text in options.texts)
    print(write_result("equal_time", f"python benchmarks/equal_time.py {texts} --minutes {options.minutes}", figures))


if __name__ == "__main__":
    main()
