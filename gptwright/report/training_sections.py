"""The sections that show stages at work: corpus and tokenizer, pretraining, finetuning."""

from __future__ import annotations

from collections.abc import Sequence

from gptwright.report import plots, wording
from gptwright.report.blocks import Block, Plot, Plots, Sample, Samples, Section, Table
from gptwright.report.curves import curve_plot
from gptwright.report.run_files import Row, RunFiles, last, series

MOST_SAMPLES = 6
"""Moments of pretraining whose samples are shown."""


def corpus_section(run: RunFiles) -> Section:
    blocks: list[Block] = []
    missing = []
    if run.corpus is None:
        missing.append(run.missing("corpus/manifest.json"))
    else:
        head = ("source", "share", "tokens", "bytes", "documents", "epochs")
        rows = tuple(_source_row(source) for source in run.corpus.get("sources", []))
        blocks.append(Table("What the base model reads, by source. Share: of the tokens sampled.", head, rows))
    if run.tokenizer is None:
        missing.append(run.missing("tokenizer/stats.json"))
    else:
        stats = run.tokenizer
        vocabulary = f"{stats['vocab_size']:,}" if "vocab_size" in stats else wording.NOTHING
        row = (vocabulary, *(wording.decimal(stats.get(key), 2) for key in ("bytes_per_token", "words_per_token")))
        blocks.append(
            Table("The tokenizer.", ("", "entries", "bytes per token", "words per token"), (("Vocabulary", *row),))
        )
    intro = "Text is cut into tokens, the pieces that a model reads and writes."
    return Section("corpus", "Corpus and tokenizer", intro, tuple(blocks), tuple(missing))


def pretraining_section(run: RunFiles) -> Section:
    intro = "The base model learns to predict the next token of a document, and with that to continue any document."
    blocks: list[Block] = []
    missing = []
    rows = run.metrics.get("base")
    if rows is None:
        missing.append(run.missing("base/metrics.jsonl"))
    else:
        blocks += [_pretraining_plots(rows), _pretraining_table(rows), *_source_table(rows)]
    if not run.samples:
        missing.append(run.missing("base/samples.jsonl"))
    else:
        blocks.append(_samples(run.samples))
    return Section("pretraining", "Pretraining", intro, tuple(blocks), tuple(missing))


def sft_section(run: RunFiles) -> Section:
    intro = "Supervised finetuning: the same algorithm on conversations, where only the assistant's words count."
    rows = run.metrics.get("sft")
    if rows is None:
        return Section("sft", "Supervised finetuning", intro, (), (run.missing("sft/metrics.jsonl"),))
    return Section("sft", "Supervised finetuning", intro, (Plots(finetuning_plots(run, "sft", rows)),))


def finetuning_plots(run: RunFiles, stage: str, rows: Sequence[Row]) -> tuple[Plot, ...]:
    """Loss, and what was measured after each epoch."""
    train, held_out = series(rows, "loss"), series(rows, "validation_loss")
    loss = [plots.Series("training", *train, 1), plots.Series("held-out", *held_out, 2)]
    mixed = run.setting(stage, "pretrain_rows")
    caption = "Loss in nats per token of the answers."
    if mixed:
        caption += " In training that of the pretraining text mixed in counts too, so the two curves do not compare."
    drawn = [curve_plot(f"{stage}-loss", [curve for curve in loss if curve.y], caption, "step", log=True)]
    quality = [plots.Series("accuracy", *series(rows, "accuracy", x="epoch"), 2)]
    quality.append(plots.Series("gold score", *series(rows, "gold_score", x="epoch"), 3))
    if any(curve.y for curve in quality):
        shown = [curve for curve in quality if curve.y]
        caption = (
            "Accuracy and gold score on a few hundred prompts of the validation pool, sampled at temperature 1: not to "
            "be compared with the final figures. The learning rate falls over all epochs."
        )
        drawn.append(curve_plot(f"{stage}-quality", shown, caption, "epoch"))
    return tuple(drawn)


def _source_row(source: Row) -> tuple[str, ...]:
    counts = [wording.count(source.get(key)) for key in ("tokens", "bytes", "documents")]
    return (
        str(source.get("name", wording.NOTHING)),
        wording.percent(source.get("share")),
        *counts,
        wording.decimal(source.get("epochs"), 2),
    )


def _pretraining_plots(rows: Sequence[Row]) -> Plots:
    loss = [
        plots.Series("training", *series(rows, "loss"), 1),
        plots.Series("held-out", *series(rows, "validation_loss"), 2),
    ]
    shown = [curve for curve in loss if curve.y]
    drawn = [curve_plot("pretraining-loss", shown, "Loss in nats per token.", "step", log=True)]
    bits = plots.Series("held-out", *series(rows, "bits_per_byte"), 2)
    if bits.y:
        caption = "Bits per byte of held-out text, which does not depend on the tokenizer."
        drawn.append(curve_plot("pretraining-bits", [bits], caption, "step"))
    return Plots(tuple(drawn))


def _pretraining_table(rows: Sequence[Row]) -> Table:
    ended = {key: last(rows, f"final_{key}") for key in ("validation_loss", "bits_per_byte")}
    caption = "Where pretraining ended; held-out figures on far more text than those of the curves."
    if None in ended.values():  # a run of an earlier version
        ended, caption = {key: last(rows, key) for key in ended}, "Where pretraining ended."
    cells = (
        wording.count(last(rows, "step")),
        wording.count(last(rows, "tokens")),
        wording.decimal(last(rows, "loss")),
        *map(wording.decimal, ended.values()),
    )
    head = ("", "steps", "tokens", "training loss", "held-out loss", "bits per byte")
    return Table(caption, head, (("Base", *cells),))


def _source_table(rows: Sequence[Row]) -> list[Table]:
    """Bits per byte of each source at its first and last measurement; nothing where a run measured none."""
    prefix = "bits_per_byte/"
    names = dict.fromkeys(key.removeprefix(prefix) for row in rows for key in row if key.startswith(prefix))
    measured = {name: series(rows, prefix + name)[1] for name in names}
    lines = tuple((name, *(wording.decimal(values[i]) for i in (0, -1))) for name, values in measured.items())
    caption = "Bits per byte of each source's held-out documents, on a few rows of each."
    return [Table(caption, ("source", "at the start", "at the end"), lines)] if lines else []


def _samples(rows: Sequence[Row]) -> Samples:
    steps = sorted({row.get("step", 0) for row in rows})
    gaps = min(MOST_SAMPLES, len(steps)) - 1
    chosen = {steps[round(i * (len(steps) - 1) / gaps)] for i in range(gaps + 1)} if gaps else set(steps)
    samples = tuple(
        Sample(
            f"step {row.get('step', 0):,}, {wording.count(row.get('tokens'))} tokens read",
            str(row.get("prompt", "")),
            str(row.get("text", "")),
        )
        for row in rows
        if row.get("step", 0) in chosen
    )
    return Samples("What the model wrote along the way, after the prompt in colour.", samples)
