"""The sections of stages that go on from SFT: what each maximised, what that was worth, and what the guard saw."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gptwright.report import plots, wording
from gptwright.report.blocks import Plot, Plots, Section
from gptwright.report.curves import curve_plot
from gptwright.report.run_files import STAGES, Row, RunFiles, series
from gptwright.report.training_sections import finetuning_plots

# title, what it says, metrics (legend and name); one small plot each
_PRACTICE_PLOTS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Reward",
        "What practice maximises: the score, and the score less the KL penalty.",
        (("score", "reward/score"), ("less penalty", "reward/mean")),
    ),
    ("Gold score", "What we really want, on validation prompts; practice never sees it.", (("gold", "gold_score"),)),
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


FRONTIER_POINTS = 12
_WATCHED = {
    "diversity": "the share of an answer's word pairs that no other answer of the round has.",
    "once": "minus the number of lines, sentences and items that an answer says again (0: none).",
}


def practice_sections(run: RunFiles) -> tuple[Section, ...]:
    """One for each way in which the run has gone on from SFT; PPO's where it has not practised yet."""
    found = [stage for stage in STAGES if stage.startswith(("grpo", "ppo")) and stage in run.metrics]
    direct = [section(run) for name, section in _DIRECT.items() if name in run.metrics]
    return (*direct, *(_practice_section(run, stage) for stage in found or ["ppo"]))


def _dpo_section(run: RunFiles) -> Section:
    intro = "The assistant learns from the rankings themselves, without reward model and without answering."
    rows = run.metrics["dpo"]
    steps = [row for row in rows if "loss" in row]  # at the end `accuracy` is also that of its answers
    drawn = [
        curve_plot(f"dpo-{name}", [plots.Series("training", *series(steps, name))], says, "step")
        for name, says in (
            ("loss", "Loss: minus the log of the chance given to the better answer of a pair."),
            ("margin", "By how much the better answer's implied reward is ahead."),
        )
    ]
    ordered = [
        plots.Series("training", *series(steps, "accuracy"), 1),
        plots.Series("held-out", *series(rows, "validation_accuracy"), 2),
    ]
    drawn.append(
        curve_plot(
            "dpo-accuracy", [curve for curve in ordered if curve.y], "Share of pairs ordered as labelled.", "step"
        )
    )
    return Section("dpo", "Direct preference optimization", intro, (Plots(tuple(drawn)),))


def _rejection_section(run: RunFiles) -> Section:
    intro = "The assistant answers each prompt many times, and is finetuned on the answers with the highest reward."
    rows = run.metrics["rejection"]
    blocks = [Plots(finetuning_plots(run, "rejection", rows)), Plots(tuple(_held_out("rejection", rows)), small=True)]
    return Section("rejection", "Rejection sampling", intro, tuple(block for block in blocks if block.plots))


_DIRECT = {"dpo": _dpo_section, "rejection": _rejection_section}
"""Those without rounds of practice."""


def _practice_section(run: RunFiles, stage: str) -> Section:
    intro = "The assistant answers new prompts, the reward model scores, and what scored well becomes likelier."
    kept = run.setting(stage.partition("_")[0], "interpolation")
    if kept is not None and kept < 1:
        intro += f" Drawn is the policy in training; the model that is saved lies {kept:.0%} of the way to it from SFT."
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
            drawn.append(curve_plot(place, shown, f"{name}. {says}", "step", size=plots.SMALL))
    drawn += [*_frontier(stage, rows), *_parts(stage, rows), *_watched(stage, rows)]
    return Section(stage, title, intro, (Plots(tuple(drawn), small=True),))


def frontier_curves(rows: Sequence[Row]) -> tuple[tuple[list[float], list[float]], tuple[list[float], list[float]]]:
    """(x, y) of the reward and, where it was measured, of the gold score over the square root of the KL (Gao et al.,
    arXiv:2210.10760). A single round is mostly noise, so a few are taken together.
    """
    played = [row for row in rows if row.get("kl/k3") is not None and row.get("reward/score") is not None]
    size = max(1, len(played) // FRONTIER_POINTS)
    parts = [played[start : start + size] for start in range(0, len(played), size)]
    roots = [math.sqrt(max(0.0, sum(row["kl/k3"] for row in part) / len(part))) for part in parts]
    score = [sum(row["reward/score"] for row in part) / len(part) for part in parts]
    # A round's answers are those of the policy behind the round before, and gold is measured behind a round.
    root_of = {row["step"] - 1: root for part, root in zip(parts, roots, strict=True) for row in part}
    measured = zip(*series(rows, "gold_score"), strict=True)
    gold = [(root_of[step], value) for step, value in measured if step in root_of]
    return (roots, score), ([x for x, _ in gold], [y for _, y in gold])


def _frontier(stage: str, rows: Sequence[Row]) -> list[Plot]:
    says = ("What moving away has brought in reward.", "In gold score: a fall means a hacked reward.")
    return [
        curve_plot(
            f"{stage}-{name}",
            [plots.Series(name, x, y, 2, dots=True)],
            f"Frontier. {told}",
            "square root of KL",
            size=plots.SMALL,
        )
        for name, told, (x, y) in zip(("frontier", "gold-frontier"), says, frontier_curves(rows), strict=True)
        if len(x) > 1
    ]


def _parts(stage: str, rows: Sequence[Row]) -> list[Plot]:
    """What each part of the reward gave, before its weight."""
    return [
        curve_plot(f"{stage}-part-{name}", [curve], f"Part of the reward: {name}.", "step", size=plots.SMALL)
        for name, curve in _named(rows, "reward/part/")
    ]


def _watched(stage: str, rows: Sequence[Row]) -> list[Plot]:
    """What the guard looks at; practice never sees it."""
    drawn = [
        curve_plot(f"{stage}-watch-{name}", [curve], f"Watched: {_WATCHED.get(name, name)}", "step", size=plots.SMALL)
        for name, curve in _named(rows, "watch/")
        if name != "ended"  # drawn as the share of answers that end
    ]
    return drawn + _held_out(stage, rows)


def _held_out(stage: str, rows: Sequence[Row]) -> list[Plot]:
    """What answers to prompts of one's own that are not practised on are rewarded with."""
    return [
        curve_plot(f"{stage}-held-out-{name}", [curve], f"On held-out prompts: {name}.", "step", size=plots.SMALL)
        for name, curve in _named(rows, "held_out/")
    ]


def _named(rows: Sequence[Row], prefix: str) -> list[tuple[str, plots.Series]]:
    names = dict.fromkeys(key.removeprefix(prefix) for row in rows for key in row if key.startswith(prefix))
    return [(name, plots.Series(name, *series(rows, prefix + name), 3)) for name in names]
