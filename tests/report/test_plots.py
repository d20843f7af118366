"""Plots are plain SVG text that depends on its numbers and its name alone."""

import re
from pathlib import Path

import matplotlib
import numpy as np

from gptwright.evaluate.intervals import Figure
from gptwright.report import plots
from gptwright.report.plots import Series, amount_plot, bar_plot, interval_plot, line_plot


def draw(name="loss", label="training", alt="Loss falls."):
    curves = [Series(label, [0, 1, 2], [3.0, 2.0, 1.0]), Series("held-out", [0, 2], [3.0, 1.5], 2)]
    return line_plot(name, curves, alt=alt)


def test_own_matplotlib_settings_do_not_change_a_plot():
    before = draw()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path"}):
        assert draw() == before


def test_plots_of_different_names_share_no_id():
    first, second = (set(re.findall(r'id="([^"]+)"', draw(name))) for name in ("one", "two"))
    assert first and not first & second


def test_labels_are_words_and_neither_markup_nor_mathematics():
    svg = draw(label="<b>$x^2$", alt='"quoted" <i>')
    assert "&lt;b&gt;$x^2$" in svg
    assert 'aria-label="&quot;quoted&quot; &lt;i&gt;"' in svg


def test_a_description_that_looks_like_a_pattern_is_kept():
    assert r'aria-label="\1 and #010101"' in draw(alt=r"\1 and #010101")


def test_a_long_curve_is_drawn_faint_with_its_running_mean():
    steps, values = list(range(100)), np.linspace(5, 1, 100).tolist()
    short, long = (line_plot("x", [Series("loss", steps[:n], values[:n])], alt="x") for n in (59, 60))
    assert short.count("stroke-opacity: 0.35") == 0
    assert long.count("stroke-opacity: 0.35") == 1


def test_a_missing_figure_leaves_its_bar_out():
    present = Figure(0.5, 0.4, 0.6, 10)
    both = bar_plot("x", ["a", "b"], {"SFT": [present, present]}, alt="x", percent=True)
    one = bar_plot("x", ["a", "b"], {"SFT": [present, None]}, alt="x", percent=True)
    bar = r'<path d="[^"]*" clip-path="[^"]*" style="fill: var\(--series-1\)"'
    assert (len(re.findall(bar, both)), len(re.findall(bar, one))) == (2, 1)


def test_an_amount_below_zero_has_room_for_its_bar():
    drawn = amount_plot("x", ["a", "b"], [-0.01, 0.02], ["a little less", "more"], alt="x")
    assert ">-0.01<" in drawn  # a tick on the other side of 0


def test_a_value_outside_its_interval_is_still_drawn():
    assert "<svg" in interval_plot("x", ["a vs b"], [Figure(0.5, 0.51, 0.6, 10)], alt="x", centre=0.5)


def test_a_picture_by_itself_has_the_pages_light_colours():
    seen = []
    picture = plots.png_plot((2, 2), lambda axes, colours: seen.append(colours))
    css = Path(plots.__file__).with_name("page.css").read_text(encoding="utf-8")
    light = dict(re.findall(r"(--[a-z0-9-]+): (#[0-9a-f]+)", css.partition("@media")[0]))
    (colours,) = seen
    assert [colours.of(index) for index in (1, 5, 6)] == [light[f"--series-{i}"] for i in (1, 5, 1)]
    assert colours.ink == light["--ink-soft"]
    assert picture.startswith(b"\x89PNG")
