"""Plots as SVG text that takes its colours and font from the page, so that one drawing serves light and dark.

Matplotlib lays them out. Colours are drawn as stand-ins and then replaced by the CSS variables of `page.css`; ids come
from the plot's name, so that equal numbers give equal bytes.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gptwright.evaluate.intervals import Figure
from gptwright.evaluate.preference import CalibrationBin, ScoreHistogram
from gptwright.report.extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMALL = (3.4, 2.2)
WIDE = (4.2, 2.7)
PALETTE = 5
"""How many colours for series the page has."""
_INK, _GRID, _STRONG, _CARD = "#010101", "#010102", "#010103", "#010104"
_SERIES = [f"#0102{number:02d}" for number in range(1, PALETTE + 1)]
_PRINTED = ("#7a838d", "#2f6fb0", "#d07a2d", "#3f8f6b", "#8a5aa8")
"""What the series' stand-ins are in a picture by itself: the page's light colours."""
_PRINTED_INK, _PRINTED_GRID = "#5c636b", "#dcdad5"
_VARIABLES = {_INK: "--ink-soft", _GRID: "--line", _STRONG: "--ink", _CARD: "--card"} | {
    colour: f"--series-{i}" for i, colour in enumerate(_SERIES, 1)
}
_LABEL = "the spoken description goes here"
_FEW = 16
"""Up to so many points are marked: between them nothing was measured."""
_SMOOTH_FROM = 60
"""Curves of at least this many points are drawn faintly, with a running mean over a twentieth of them on top."""

_STYLE = {
    "axes.edgecolor": _GRID,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": _INK,
    "axes.labelsize": 9,
    "axes.axisbelow": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": False,
    "font.size": 9,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",
    "text.color": _INK,
    "text.parse_math": False,
    "xtick.color": _INK,
    "xtick.labelsize": 8.5,
    "xtick.major.size": 0,
    "ytick.color": _INK,
    "ytick.labelsize": 8.5,
    "ytick.major.size": 0,
}


@dataclass(frozen=True)
class Series:
    """One curve."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int = 1
    dots: bool = False
    """Drawn as dots alone: the order of its points says nothing."""


def colour_of(index: int) -> str:
    """The stand-in for the index-th colour of the palette, from 1; past its end they repeat."""
    return _SERIES[(index - 1) % PALETTE]


@dataclass(frozen=True)
class Colours:
    """What a plot is painted with: stand-ins for the page's variables, or the colours themselves."""

    series: Sequence[str] = tuple(_SERIES)
    ink: str = _INK

    def of(self, index: int) -> str:
        """The index-th of the palette, from 1; past its end they repeat."""
        return self.series[(index - 1) % len(self.series)]


def svg_plot(name: str, alt: str, size: tuple[float, float], paint: Callable[[Axes, Colours], None]) -> str:
    """Any plot as SVG for the page."""
    return _draw(name, alt, size, lambda axes: paint(axes, Colours()))


def png_plot(size: tuple[float, float], paint: Callable[[Axes, Colours], None]) -> bytes:
    """The same as a picture by itself, on white."""
    printed = {_INK: _PRINTED_INK, _GRID: _PRINTED_GRID}
    style = {key: printed.get(value, value) if isinstance(value, str) else value for key, value in _STYLE.items()}
    with require("matplotlib.style").context(["default", style]):
        figure = require("matplotlib.figure").Figure(figsize=size, layout="constrained", dpi=160)
        paint(figure.subplots(), Colours(_PRINTED, _PRINTED_INK))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def line_plot(
    name: str,
    series: Sequence[Series],
    *,
    alt: str,
    x_label: str = "step",
    size: tuple[float, float] = SMALL,
    log: bool = False,
    ticks: Mapping[float, str] | None = None,
) -> str:
    """Curves; `log` is of the y axis, and `ticks` name places of the x axis."""

    def paint(axes: Axes) -> None:
        for curve in series:
            _curve(axes, curve)
        if log and all(value > 0 for curve in series for value in curve.y if value == value):
            ticker = require("matplotlib.ticker")
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.yaxis.set_minor_locator(ticker.NullLocator())
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        if ticks:
            axes.set_xticks(list(ticks), list(ticks.values()))
        axes.set_xlabel(x_label)
        axes.margins(x=0.02, y=0.08)
        if len(series) > 1:
            axes.legend()

    return _draw(name, alt, size, paint)


def bar_plot(
    name: str, groups: Sequence[str], bars: Mapping[str, Sequence[Figure | None]], *, alt: str, percent: bool
) -> str:
    """Horizontal bars from 0 to 1 with intervals, `bars[label][i]` in group i; None leaves the place empty."""

    def paint(axes: Axes) -> None:
        thickness = 0.8 / len(bars)
        for number, (label, figures) in enumerate(bars.items()):
            rows = [(i + (number + 0.5) * thickness - 0.4, figure) for i, figure in enumerate(figures) if figure]
            values, places = [figure.value for _, figure in rows], [place for place, _ in rows]
            axes.barh(places, values, height=thickness * 0.86, color=colour_of(number + 1), label=label)
            whiskers = _whiskers([figure for _, figure in rows])
            for colour, width in ((_CARD, 2.6), (_STRONG, 0.9)):  # an edge around each, to be seen on any bar
                axes.errorbar(values, places, xerr=whiskers, fmt="none", ecolor=colour, elinewidth=width)
        axes.set_yticks(range(len(groups)), groups)
        axes.set_ylim(len(groups) - 0.45, -0.55)
        axes.set_xlim(0, 1)
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
        if percent:
            axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
        axes.figure.legend(loc="outside upper left", ncols=2)

    height = 0.7 + len(groups) * (0.16 + 0.13 * len(bars))
    return _draw(name, alt, (WIDE[0], height), paint)


def amount_plot(name: str, labels: Sequence[str], values: Sequence[float], told: Sequence[str], *, alt: str) -> str:
    """A bar for each amount, from 0, with its figure as `told` at the end."""

    def paint(axes: Axes) -> None:
        places = list(range(len(labels)))
        bars = axes.barh(places, values, height=0.62, color=colour_of(1))
        axes.bar_label(bars, told, padding=3, color=_INK, fontsize=8.5)
        axes.set_yticks(places, labels)
        axes.set_ylim(len(labels) - 0.4, -0.6)
        axes.set_xlim(min(0, 1.22 * min(values)), 1.22 * max(0, *values) or 1)
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")

    return _draw(name, alt, (SMALL[0], 0.5 + 0.28 * len(labels)), paint)


def interval_plot(name: str, labels: Sequence[str], figures: Sequence[Figure], *, alt: str, centre: float) -> str:
    """A dot and a whisker per row, with a line at the value that means no difference."""

    def paint(axes: Axes) -> None:
        places = list(range(len(labels)))
        axes.axvline(centre, color=_INK, linewidth=0.9, linestyle=(0, (4, 3)))
        values = [figure.value for figure in figures]
        axes.errorbar(values, places, xerr=_whiskers(figures), fmt="o", color=colour_of(2), elinewidth=1.8)
        axes.set_yticks(places, labels)
        axes.set_ylim(len(labels) - 0.4, -0.6)
        axes.set_xlim(0, 1)
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")

    return _draw(name, alt, (WIDE[0], 0.6 + 0.34 * len(labels)), paint)


def calibration_plot(name: str, bins: Sequence[CalibrationBin], *, alt: str) -> str:
    """Observed against predicted shares of wins; the larger a dot, the more pairs."""

    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.9, linestyle=(0, (4, 3)))
        predicted, observed = [row["predicted"] for row in bins], [row["observed"] for row in bins]
        most = max((row["n"] for row in bins), default=1)
        axes.plot(predicted, observed, color=colour_of(2), linewidth=1)
        axes.scatter(predicted, observed, s=[12 + 90 * row["n"] / most for row in bins], color=colour_of(2))
        axes.set(xlabel="predicted chance of a win", ylabel="observed share", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))

    return _draw(name, alt, WIDE, paint)


def histogram_plot(name: str, histogram: ScoreHistogram, *, alt: str) -> str:
    def paint(axes: Axes) -> None:
        for label, counts, colour in (("chosen", histogram["chosen"], 2), ("rejected", histogram["rejected"], 3)):
            axes.stairs(counts, histogram["edges"], fill=True, color=colour_of(colour), alpha=0.28)
            axes.stairs(counts, histogram["edges"], color=colour_of(colour), linewidth=1.4, label=label)
        axes.set(xlabel="reward", ylabel="pairs")
        axes.legend()

    return _draw(name, alt, WIDE, paint)


def _curve(axes: Axes, curve: Series) -> None:
    colour = colour_of(curve.colour)
    if curve.dots:
        axes.plot(curve.x, curve.y, "o", color=colour, label=curve.label, markersize=3.5)
        return
    if len(curve.y) < _SMOOTH_FROM:
        marker = "o" if len(curve.y) <= _FEW else None
        axes.plot(curve.x, curve.y, color=colour, label=curve.label, marker=marker, markersize=3)
        return
    axes.plot(curve.x, curve.y, color=colour, linewidth=0.7, alpha=0.35)
    window = len(curve.y) // 20
    smooth = np.convolve(np.asarray(curve.y, dtype=np.float64), np.full(window, 1 / window), mode="valid")
    axes.plot(curve.x[(window - 1) // 2 :][: len(smooth)], smooth, color=colour, label=curve.label)


def _whiskers(figures: Sequence[Figure]) -> list[list[float]]:
    """Distances down and up; a percentile bootstrap may miss its own value by a hair, which is drawn as none."""
    below = [max(0.0, figure.value - figure.low) for figure in figures]
    return [below, [max(0.0, figure.high - figure.value) for figure in figures]]


def _draw(name: str, alt: str, size: tuple[float, float], paint: Callable[[Axes], None]) -> str:
    # The defaults first: a person's own matplotlibrc must not change the page.
    with require("matplotlib.style").context(["default", _STYLE | {"svg.hashsalt": name}]):
        figure = require("matplotlib.figure").Figure(figsize=size, layout="constrained")
        paint(figure.subplots())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _for_the_page(buffer.getvalue(), alt)


def _for_the_page(svg: str, alt: str) -> str:
    """Only the drawing, without fixed size, font, style sheet and numbered ids, which would clash between plots."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"font-family: [^;\"]*; ?", "", svg)
    svg = re.sub(r"^<svg[^>]*(viewBox=\"[^\"]*\")[^>]*>", rf'<svg role="img" \1 aria-label="{_LABEL}">', svg)
    svg = re.sub("|".join(_VARIABLES), lambda match: f"var({_VARIABLES[match.group()]})", svg)
    svg = svg.replace(_LABEL, html.escape(alt, quote=True))
    return re.sub(r"\s*\n\s*", " ", svg).replace("> <", "><").strip()
