"""The section of the reward model: how it learned, how good it is, and where it is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gptwright.evaluate.intervals import figure_from_json
from gptwright.report import plots, wording
from gptwright.report.blocks import Answer, Block, Card, Cards, Cell, Plot, Plots, Section, Table
from gptwright.report.curves import curve_plot
from gptwright.report.run_files import Row, RunFiles, series

_SHORT = {"accuracy": "reward model", "ceiling": "ceiling", "agreement": "two labellers"}


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
        caption = "Loss: minus the log of the chance given to the better answer of a pair"
        added = run.setting("reward", "language_weight")
        caption += f", plus {added:g} times that of the best answer's words." if added else "."
        drawn = (
            curve_plot("reward-loss", loss, caption, "step"),
            curve_plot(
                "reward-accuracy", [curve for curve in curves if curve.y], "Share of pairs ordered as labelled.", "step"
            ),
        )
        blocks.append(Plots(drawn))
    if run.reward_model is None:
        missing.append(run.missing("reward/figures.json"))
    else:
        blocks += _reward_blocks(run.reward_model)
    blocks += _later_rounds((run.evaluation or {}).get("later_reward_models", {}))
    return Section("reward", "Reward model", intro, tuple(blocks), tuple(missing))


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
    cases = evaluation.get("by_use_case", {})
    if cases:
        lines = [
            (wording.spoken(case), figure_from_json(value, f"by_use_case {case}")) for case, value in cases.items()
        ]
        told = tuple((case, wording.measured_percent(figure)) for case, figure in lines)
        blocks.append(Table("The same by use case.", ("use case", "pairs in order"), told))
    people = evaluation.get("by_labeller", {})
    if len(people) > 1:
        blocks.append(Table("The same by labeller.", ("labeller", "pairs in order"), _labeller_rows(people)))
    drawn = []
    if figures:
        spoken = ", ".join(f"{_SHORT[key]} {wording.percent(figure.value)}" for key, figure in figures.items())
        labels, alt = [_SHORT[key] for key in figures], f"Pairs in order: {spoken}."
        svg = plots.interval_plot("reward-accuracy", labels, list(figures.values()), alt=alt, centre=0.5)
        drawn.append(Plot(svg, "Held-out pairs in order, beside what noise allows. Lines: 95% intervals."))
    if evaluation.get("calibration"):
        alt = f"Calibration in {len(evaluation['calibration'])} bins; on the dashed line it would be perfect."
        svg = plots.calibration_plot("reward-calibration", evaluation["calibration"], alt=alt)
        drawn.append(Plot(svg, "Calibration: is an answer given a 70% chance to win right in 70% of the pairs?"))
    if "histogram" in evaluation:
        alt = "Histogram of the rewards of chosen and of rejected answers."
        svg = plots.histogram_plot("reward-histogram", evaluation["histogram"], alt=alt)
        drawn.append(Plot(svg, "Rewards of the answers that labellers chose and rejected."))
    if "best_of_n" in evaluation:
        drawn.append(_best_of_n(evaluation["best_of_n"]))
    if drawn:
        blocks.append(Plots(tuple(drawn)))
    return blocks + _disagreements(evaluation.get("disagreements", []))


def _later_rounds(models: Row) -> list[Block]:
    """The reward models of further rounds, each on what was held out until then."""
    told = tuple(
        (
            f"round {number}",
            *(
                wording.measured_percent(figure_from_json(figures[key], f"round {number} {key}"))
                if key in figures
                else ""
                for key in ("accuracy", "ceiling")
            ),
        )
        for number, figures in models.items()
    )
    caption = "The reward models of later rounds, each on held-out comparisons of all rounds until then."
    return [Table(caption, ("", "pairs in order", "ceiling"), told)] if told else []


def _labeller_rows(people: Row) -> tuple[tuple[str, Cell], ...]:
    figures = {name: figure_from_json(value, f"by_labeller {name}") for name, value in people.items()}
    return tuple(
        (f"{name} (never learned from)" if people[name].get("new") else name, wording.measured_percent(figure))
        for name, figure in figures.items()
    )


def _best_of_n(figures: Row) -> Plot:
    counts = sorted(int(n) for n in figures)
    means = [figure_from_json(figures[str(n)], f"best_of_n {n}").value for n in counts]
    places = [math.log2(n) for n in counts]
    curve = plots.Series("gold score", places, means, 2)
    caption = (
        "Best of n: gold score of the answer that the reward model likes best among n of the SFT model's, sampled at "
        "temperature 1 on a hundred prompts of the validation pool."
    )
    ticks = dict(zip(places, map(str, counts), strict=True))
    return curve_plot("reward-best-of-n", [curve], caption, "n", ticks=ticks)


def _disagreements(rows: Sequence[Row]) -> list[Block]:
    """The pairs that it gets most wrong, to be read: noise of the labeller, or something it does not understand?"""
    cards = tuple(
        Card(
            f"{row['margin']:.2f} the wrong way",
            str(row["prompt"]),
            (
                Answer(f"preferred by labeller {row['labeller'] or ''}".strip(), str(row["preferred"]), "", ""),
                Answer("scored higher by the model", str(row["rejected"]), "", ""),
            ),
        )
        for row in rows
    )
    caption = (
        "The pairs on which the model differs most from a labeller, and by how much its scores do: a slip of the "
        "labeller's, or something that the model does not understand?"
    )
    return [Cards(cards, caption)] if cards else []
