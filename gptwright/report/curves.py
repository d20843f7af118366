"""A plot of curves as a block of the page, with its description in words."""

from __future__ import annotations

from collections.abc import Sequence

from gptwright.report import plots
from gptwright.report.blocks import Plot


def curve_plot(
    name: str, curves: Sequence[plots.Series], caption: str, x_label: str, size: tuple[float, float] = plots.WIDE
) -> Plot:
    ends = "; ".join(f"{curve.label} from {curve.y[0]:.3g} to {curve.y[-1]:.3g}" for curve in curves)
    alt = f"{caption} Curves over {x_label}: {ends}."
    return Plot(plots.line_plot(name, curves, alt=alt, x_label=x_label, size=size), caption)
