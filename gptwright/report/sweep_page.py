"""What a sweep found, from its sweep.json: sentences, a page like a run's report, and its plot as a picture.

write_sweep_page(Path("runs/scaling-sweep")) writes sweep.html and sweep.png beside sweep.json
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptwright.evaluate.scaling import ScalingLaw
from gptwright.report import wording
from gptwright.report.blocks import Plot, Plots, Section, Table, Tile, Tiles
from gptwright.report.extras import require
from gptwright.report.page import render_page, write_whole
from gptwright.report.plots import Colours, png_plot, svg_plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Result = Mapping[str, Any]
"""The object of sweep.json."""
PLOT_SIZE = (6.6, 4.2)
NO_FLOOR = 0.01
"""Below this share of the lowest loss E is taken as 0."""
POOR_FIT = 0.05
"""A run further from the law than this is told."""
_MARKERS = "osD^vPX"
_CURVE_POINTS = 60


def check_extras() -> None:
    """Raises InputError when what draws the page is not installed: better before hours of training than after."""
    for module in ("matplotlib", "jinja2"):
        require(module)


def write_sweep_page(folder: Path) -> None:
    """Each file whole or not at all."""
    result = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
    headline, *others = sections(result)
    write_whole(folder / "sweep.html", render_page("gptwright sweep", headline, tuple(others)).encode())
    write_whole(folder / "sweep.png", png_plot(PLOT_SIZE, lambda axes, colours: _paint(axes, colours, result)))


def findings(result: Result) -> list[str]:
    """What the sweep says, one sentence or two each: the law, the best use of compute, smaller against larger."""
    runs = {run["name"]: run for run in result["runs"]}
    law, spread = result["law"], result["exponents"]
    share = law["beta"] / (law["alpha"] + law["beta"])
    worst = max(abs(error) for error in result["errors"].values())
    found = [
        f"{_formula(law)} nats per token. Each run lies within {worst:.1%} of it; without any one of them alpha would "
        f"be {_between(spread['alpha'])} and beta {_between(spread['beta'])}.",
        f"With more compute C the best size grows as C^{share:.2f} and the best number of tokens as C^{1 - share:.2f}.",
        *(_advice_sentence(advice, runs[advice["run"]]) for advice in result["advice"]),
        _pair_sentence(result, runs),
    ]
    if worst > POOR_FIT:
        found.append(
            "That the law misses a run by so much means that the grid is not of its kind, most often because the "
            "smallest budgets are few steps, in which loss falls faster than any power: leave them out or read more."
        )
    if law["E"] < NO_FLOOR * min(run["validation_loss"] for run in result["runs"]):
        found.append(
            "The constant E came out as 0: these runs are too far from where the loss ends to show it, so what is said "
            "of more compute than theirs is too hopeful."
        )
    if result["epochs"] > 1:
        found.append(
            f"The largest budget reads one source {result['epochs']:.1f} times, where the law takes every token as "
            "new: more text would make the larger budgets better than they look."
        )
    return found


def _formula(law: Result) -> str:
    return (
        f"L(N, D) = {_number(law['E'])} + {_number(law['A'])} / N^{law['alpha']:.3f} + {_number(law['B'])} / "
        f"D^{law['beta']:.3f}"
    )


def _number(value: float) -> str:
    if value < 1e-3:
        return "0"
    return f"{value:.3g}" if value < 1e4 else wording.scientific(value)


def _between(ends: list[float]) -> str:
    return f"{ends[0]:.2f} to {ends[1]:.2f}"


def _short(value: float) -> str:
    """Three digits: 61.2k, 1.26M, 2M."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _advice_sentence(advice: Result, run: Result) -> str:
    best = advice["optimum"]
    outside = "" if advice["inside"] else " That lies outside the grid and is an extrapolation."
    return (
        f"{wording.scientific(best['flops'])} operations are best spent on {_short(best['parameters'])} parameters and "
        f"{_short(best['tokens'])} tokens ({best['tokens'] / best['parameters']:.3g} per parameter), for a loss of "
        f"{best['loss']:.3f}; the best trained for no more is {run['name']} with {run['validation_loss']:.3f}.{outside}"
    )


def _pair_sentence(result: Result, runs: Mapping[str, Result]) -> str:
    if not result["pairs"]:
        return (
            "No smaller model of this grid read more than a larger one for no more compute, so whether it would be "
            "better can't be told: put the sizes or the budgets further apart."
        )
    share = (
        f"{result['smaller_won']} of {result['pairs']} pairs in which the smaller model read more for no more compute"
    )
    if result["pair"] is None:
        return (
            f"A smaller model trained longer did not beat a larger one trained less: the smaller is better in {share}."
        )
    small, large = runs[result["pair"]["small"]["name"]], runs[result["pair"]["large"]["name"]]
    return (
        f"A smaller model trained longer beats a larger one trained less: {_described(small)} ends at "
        f"{small['validation_loss']:.3f}, {_described(large)} at {large['validation_loss']:.3f}. The smaller is better "
        f"in {share}."
    )


def _described(run: Result) -> str:
    return (
        f"{run['name']} ({_short(run['parameters'])} parameters, {_short(run['tokens'])} tokens, "
        f"{wording.scientific(run['flops'])} operations)"
    )


def sections(result: Result) -> tuple[Section, ...]:
    """Headline, plot, table of runs, best use of compute."""
    law = result["law"]
    best = min(result["runs"], key=lambda run: run["validation_loss"])
    largest = result["advice"][-2]["optimum"]
    tiles = (
        Tile(
            "alpha, of parameters", f"{law['alpha']:.2f}", f"without one run {_between(result['exponents']['alpha'])}"
        ),
        Tile("beta, of tokens", f"{law['beta']:.2f}", f"without one run {_between(result['exponents']['beta'])}"),
        Tile(
            "Tokens per parameter",
            f"{largest['tokens'] / largest['parameters']:.3g}",
            f"best at {wording.scientific(largest['flops'])} operations",
        ),
        Tile("Lowest loss", f"{best['validation_loss']:.3f}", f"nats per token, {best['name']}"),
    )
    intro = _pair_sentence(result, {run["name"]: run for run in result["runs"]})
    said = tuple((str(number), sentence) for number, sentence in enumerate(findings(result), start=1))
    words = Table("What was found, in words.", ("", ""), said, prose=True)
    return (
        Section("headline", f"Scaling study: {result['recipe']}", intro, (Tiles(tiles),)),
        Section("findings", "Findings", "What the law says of these trainings, and what it foresees.", (words,)),
        _plot_section(result),
        _runs_section(result),
        _advice_section(result),
    )


def _plot_section(result: Result) -> Section:
    alt = (
        f"Held-out loss of {len(result['runs'])} trainings against compute, one curve per size, and the law's frontier."
    )
    svg = svg_plot("sweep", alt, PLOT_SIZE, lambda axes, colours: _paint(axes, colours, result))
    pair = (
        " The solid line joins a smaller model that read more to a larger one that read less and is worse."
        if result["pair"]
        else ""
    )
    caption = f"Names are layers x width. Dashed: the least loss that the law gives for each amount of compute.{pair}"
    return Section("plot", "Loss against compute", "", (Plots((Plot(svg, caption),)),))


def _runs_section(result: Result) -> Section:
    head = ("", "parameters", "tokens", "operations", "rate", "loss", "off the law", "bits per byte", "time")
    rows = tuple(
        (
            run["name"] + (" *" if run["name"] in result["frontier"] else ""),
            f"{run['parameters']:,}",
            f"{run['tokens']:,}",
            wording.scientific(run["flops"]),
            f"{run['learning_rate']:.3g}",
            f"{run['validation_loss']:.3f}",
            f"{result['errors'][run['name']]:+.1%}",
            f"{run['bits_per_byte']:.3f}",
            wording.duration(run["seconds"]),
        )
        for run in result["runs"]
    )
    fitted = result["frontier_law"]
    line = f" A power law through these: loss = {_number(fitted[0])} / C^{fitted[1]:.3f}." if fitted else ""
    caption = f"One training each, cheapest first. * No other run of at most its compute is better.{line}"
    intro = (
        "All read the same text in the same order, each with a schedule that ends with its budget. A model of width w "
        f"takes the recipe's learning rate times (recipe's width / w)^{result['rate_exponent']:g}."
    )
    return Section("runs", "The trainings", intro, (Table(caption, head, rows),))


def _advice_section(result: Result) -> Section:
    head = ("operations", "parameters", "tokens", "per parameter", "loss", "best run", "its loss")
    losses = {run["name"]: run["validation_loss"] for run in result["runs"]}
    rows = tuple(
        (
            wording.scientific(best["flops"]) + ("" if advice["inside"] else " (outside)"),
            _short(best["parameters"]),
            _short(best["tokens"]),
            f"{best['tokens'] / best['parameters']:.3g}",
            f"{best['loss']:.3f}",
            advice["run"],
            f"{losses[advice['run']]:.3f}",
        )
        for advice in result["advice"]
        for best in (advice["optimum"],)
    )
    caption = "Best run: of those trained with at most that compute. Outside: the optimum lies beyond the grid."
    intro = (
        f"{_formula(result['law'])}, fitted as in Hoffmann et al. (arXiv:2203.15556, approach 3). A training takes "
        f"{result['cost']:.2f} operations per parameter and token here."
    )
    return Section("compute", "The best use of compute", intro, (Table(caption, head, rows),))


def _paint(axes: Axes, colours: Colours, result: Result) -> None:
    """Loss against compute: a curve per size, the law's frontier, and the pair that shows LLaMA against GPT-3."""
    sizes = sorted({run["parameters"] for run in result["runs"]})
    for number, size in enumerate(sizes, start=1):
        curve = sorted((run for run in result["runs"] if run["parameters"] == size), key=lambda run: run["tokens"])
        axes.plot(
            [run["flops"] for run in curve],
            [run["validation_loss"] for run in curve],
            color=colours.of(number),
            marker=_MARKERS[(number - 1) % len(_MARKERS)],
            markersize=4.5,
            label=f"{curve[0]['layers']}x{curve[0]['width']}, {_short(size)}",
        )
    _paint_frontier(axes, colours, result)
    if result["pair"]:
        small, large = result["pair"]["small"], result["pair"]["large"]
        ends = [large["flops"], small["flops"]], [large["loss"], small["loss"]]
        axes.plot(*ends, color=colours.ink, linewidth=1.1, zorder=1)
        axes.annotate(
            f"{small['name']} beats {large['name']}",
            (ends[0][0], ends[1][0]),
            xytext=(6, 8),
            textcoords="offset points",
            fontsize=8.5,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"1e{round(math.log10(value))}")
    axes.xaxis.set_minor_formatter(lambda value, _: "")
    axes.set(xlabel="training operations (FLOPs)", ylabel="held-out loss, nats per token")
    axes.legend(title="layers x width, parameters", title_fontsize=8.5)


def _paint_frontier(axes: Axes, colours: Colours, result: Result) -> None:
    law = ScalingLaw(**result["law"])
    flops = [run["flops"] for run in result["runs"]]
    least, most = min(flops), max(flops) * 2
    xs = [least * (most / least) ** (i / (_CURVE_POINTS - 1)) for i in range(_CURVE_POINTS)]
    ys = [law.optimum(x, result["cost"]).loss for x in xs]
    axes.plot(xs, ys, color=colours.ink, linewidth=1.1, linestyle=(0, (4, 3)), label="least by the law")
