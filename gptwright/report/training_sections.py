"""The sections that show stages at work: corpus and tokenizer, pretraining, finetuning, reward model, PPO."""

from __future__ import annotations

from collections.abc import Sequence

from gptwright.evaluate.intervals import figure_from_json
from gptwright.report import plots, wording
from gptwright.report.blocks import Block, Plot, Plots, Sample, Samples, Section, Table
from gptwright.report.run_files import Row, RunFiles, last, series

MOST_SAMPLES = 6
"""Moments of pretraining whose samples are shown."""

# title, what it says, metrics (legend and name); one small plot each
_PRACTICE_PLOTS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Reward",
        "What practice maximises: the score, and the score less the KL penalty.",
        (("score", "reward/score"), ("less penalty", "reward/mean")),
    ),
    ("Gold score", "What we really want, on held-out prompts; practice never sees it.", (("gold", "gold_score"),)),
    (
        "KL to the reference",
        "How far the policy has moved, in nats per answer.",
        (("k1", "kl/reference"), ("k3", "kl/k3")),
    ),
    ("Entropy", "How undecided the policy is, in nats per token.", (("entropy", "entropy"),)),
    ("Answer length", "In tokens.", (("length", "length/mean"),)),
    ("Answers that end", "The share that stopped by itself.", (("stopped", "share/stopped"),)),
    ("Clip fraction", "The share of tokens whose ratio left the clip range.", (("clipped", "policy/clip_fraction"),)),
    (
        "Explained variance",
        "How much of the returns the value model foresees.",
        (("explained", "value/explained_variance"),),
    ),
    ("Policy step", "KL between the policy before and after a step.", (("KL", "policy/approx_kl"),)),
)


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
    train, held_out = series(rows, "loss"), series(rows, "validation_loss")
    loss = [plots.Series("training", *train, 1), plots.Series("held-out", *held_out, 2)]
    drawn = [_plot("sft-loss", [curve for curve in loss if curve.y], "Loss in nats per token of the answers.", "step")]
    quality = [plots.Series("accuracy", *series(rows, "accuracy", x="epoch"), 2)]
    quality.append(plots.Series("gold score", *series(rows, "gold_score", x="epoch"), 3))
    if any(curve.y for curve in quality):
        shown = [curve for curve in quality if curve.y]
        drawn.append(_plot("sft-quality", shown, "Accuracy and gold score on held-out prompts.", "epoch"))
    return Section("sft", "Supervised finetuning", intro, (Plots(tuple(drawn)),))


def reward_section(run: RunFiles) -> Section:
    intro = "It learns from rankings to score an answer. It cannot chat; it is the judge of the next stage."
    blocks: list[Block] = []
    missing = []
    rows = run.metrics.get("reward")
    if rows is None:
        missing.append(run.missing("reward/metrics.jsonl"))
    else:
        accuracy = [("training", "accuracy", 1), ("held-out", "validation_accuracy", 2)]
        curves = [plots.Series(label, *series(rows, name), colour) for label, name, colour in accuracy]
        loss = [plots.Series("training", *series(rows, "loss"), 1)]
        drawn = (
            _plot("reward-loss", loss, "Loss: minus the log of the chance given to the labeller's choice.", "step"),
            _plot(
                "reward-accuracy", [curve for curve in curves if curve.y], "Share of pairs ordered as labelled.", "step"
            ),
        )
        blocks.append(Plots(drawn))
    missing += run.not_evaluated("reward_model")
    if run.evaluation is not None and "reward_model" in run.evaluation:
        blocks += _reward_blocks(run.evaluation["reward_model"])
    return Section("reward", "Reward model", intro, tuple(blocks), tuple(missing))


def practice_sections(run: RunFiles) -> tuple[Section, ...]:
    """One for each way in which the run has practised; PPO's where there is none yet."""
    found = [stage for stage in ("grpo", "ppo") if stage in run.metrics]
    return tuple(_practice_section(run, stage) for stage in found or ["ppo"])


def _practice_section(run: RunFiles, stage: str) -> Section:
    intro = "The assistant answers new prompts, the reward model scores, and what scored well becomes likelier."
    rows, title = run.metrics.get(stage), f"Reinforcement learning: {wording.spoken(stage)}"
    if rows is None:
        return Section(stage, title, intro, (), (run.missing(f"{stage}/metrics.jsonl"),))
    drawn = []
    for name, says, metrics in _PRACTICE_PLOTS:
        curves = [
            plots.Series(label, *series(rows, metric), colour)
            for colour, (label, metric) in enumerate(metrics, start=2)
        ]
        shown = [curve for curve in curves if curve.y]
        if shown:
            place = f"{stage}-" + name.lower().replace(" ", "-")
            drawn.append(_plot(place, shown, f"{name}. {says}", "step", size=plots.SMALL))
    return Section(stage, title, intro, (Plots(tuple(drawn), small=True),))


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
    drawn = [_plot("pretraining-loss", [curve for curve in loss if curve.y], "Loss in nats per token.", "step")]
    bits = plots.Series("held-out", *series(rows, "bits_per_byte"), 2)
    if bits.y:
        caption = "Bits per byte of held-out text, which does not depend on the tokenizer."
        drawn.append(_plot("pretraining-bits", [bits], caption, "step"))
    return Plots(tuple(drawn))


def _pretraining_table(rows: Sequence[Row]) -> Table:
    cells = (
        wording.count(last(rows, "step")),
        wording.count(last(rows, "tokens")),
        wording.decimal(last(rows, "loss")),
        wording.decimal(last(rows, "validation_loss")),
        wording.decimal(last(rows, "bits_per_byte")),
    )
    head = ("", "steps", "tokens", "training loss", "held-out loss", "bits per byte")
    return Table("Where pretraining ended.", head, (("Base", *cells),))


def _source_table(rows: Sequence[Row]) -> list[Table]:
    """Bits per byte of each source at its first and last measurement; nothing where a run measured none."""
    prefix = "bits_per_byte/"
    names = dict.fromkeys(key.removeprefix(prefix) for row in rows for key in row if key.startswith(prefix))
    measured = {name: series(rows, prefix + name)[1] for name in names}
    lines = tuple((name, *(wording.decimal(values[i]) for i in (0, -1))) for name, values in measured.items())
    caption = "Bits per byte of each source's held-out documents."
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


def _reward_blocks(evaluation: Row) -> list[Block]:
    figures = {
        key: figure_from_json(evaluation[key], key) for key in ("accuracy", "ceiling", "agreement") if key in evaluation
    }
    names = {
        "accuracy": "Reward model orders the pair as the labeller did",
        "ceiling": "Ceiling: a judge who knows the true worth",
        "agreement": "Two labellers order a pair alike",
    }
    rows = [(names[key], wording.measured_percent(figure)) for key, figure in figures.items()]
    for distance, value in evaluation.get("by_rank_distance", {}).items():
        figure = figure_from_json(value, f"by_rank_distance {distance}")
        rows.append(
            (
                f"Reward model, {distance} {'rank' if str(distance) == '1' else 'ranks'} apart",
                wording.measured_percent(figure),
            )
        )
    numbers = (
        ("Expected calibration error", "expected_calibration_error"),
        ("Rank correlation with length", "length_correlation"),
    )
    rows += [(name, wording.decimal(evaluation[key])) for name, key in numbers if key in evaluation]
    blocks: list[Block] = [
        Table("The reward model on held-out comparisons, with 95% intervals.", ("", "figure"), tuple(rows))
    ]
    drawn = []
    if evaluation.get("calibration"):
        alt = f"Calibration in {len(evaluation['calibration'])} bins; on the dashed line it would be perfect."
        svg = plots.calibration_plot("reward-calibration", evaluation["calibration"], alt=alt)
        drawn.append(Plot(svg, "Calibration: is an answer given a 70% chance to win right in 70% of the pairs?"))
    if "histogram" in evaluation:
        alt = "Histogram of the rewards of chosen and of rejected answers."
        svg = plots.histogram_plot("reward-histogram", evaluation["histogram"], alt=alt)
        drawn.append(Plot(svg, "Rewards of the answers that labellers chose and rejected."))
    return [*blocks, Plots(tuple(drawn))] if drawn else blocks


def _plot(
    name: str, curves: Sequence[plots.Series], caption: str, x_label: str, size: tuple[float, float] = plots.WIDE
) -> Plot:
    ends = "; ".join(f"{curve.label} from {curve.y[0]:.3g} to {curve.y[-1]:.3g}" for curve in curves)
    alt = f"{caption} Curves over {x_label}: {ends}."
    return Plot(plots.line_plot(name, curves, alt=alt, x_label=x_label, size=size), caption)
