"""A plot of curves as a block of the page, with its description in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gptwright.report import plots
from gptwright.report.blocks import Plot


def curve_plot(
    name: str,
    curves: Sequence[plots.Series],
    caption: str,
    x_label: str,
    size: tuple[float, float] = plots.WIDE,
    *,
    log: bool = False,
    ticks: Mapping[float, str] | None = None,
) -> Plot:
    """`log` is of the y axis; `ticks` name places of the x axis."""
    ends = "; ".join(f"{curve.label} from {curve.y[0]:.3g} to {curve.y[-1]:.3g}" for curve in curves)
    alt = f"{caption} Curves over {x_label}: {ends}."
    return Plot(plots.line_plot(name, curves, alt=alt, x_label=x_label, size=size, log=log, ticks=ticks), caption)
