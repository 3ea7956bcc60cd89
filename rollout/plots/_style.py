"""
What all figures have in common: colours, axes, labels, units.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from attrs import frozen
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator

from rollout._visible import one_line
from rollout.plots._svg import Plot

__all__ = [
    "DAY",
    "HOUR",
    "MINUTE",
    "Colours",
    "amount",
    "amounts",
    "bars",
    "colours_of",
    "duration_text",
    "finished",
    "label",
    "new_figure",
    "note",
    "say_nothing",
    "time_unit",
]

MINUTE, HOUR, DAY = 60, 3600, 86400
"""Seconds."""
_LABEL_MAX = 26
_SIZES = ((10**9, "G"), (10**6, "M"), (10**3, "k"))


@frozen
class Colours:
    """
    Of one theme: paper, text, fainter text, lines of the grid, the first and the second thing shown, failures.
    """

    paper: str
    text: str
    muted: str
    grid: str
    first: str
    second: str
    failed: str


_LIGHT = Colours("#ffffff", "#24292f", "#656d76", "#e4e8ec", "#3f76c4", "#2f9480", "#cf5b4b")
_DARK = Colours("#16191d", "#dde3ea", "#98a2ad", "#2b3138", "#77a7ea", "#58bda6", "#ec8474")


def colours_of(dark: bool) -> Colours:
    """
    Give the colours for a dark background, or a light one.
    """
    return _DARK if dark else _LIGHT


def new_figure(
    colours: Colours,
    height: float,
    titles: Sequence[str],
    *,
    is_wide: bool = False,
    ratios: Sequence[float] | None = None,
) -> tuple[Plot, list[Axes]]:
    """
    Make a figure with an empty plot for each title, one below the other, or side by side.

    Args:
        colours: Its colours.
        height: Inches; it is 8 wide.
        titles: What stands above the plots.
        is_wide: Side by side.
        ratios: How high those below each other are; by default the same.
    """
    figure = Plot(figsize=(8, height), facecolor=colours.paper, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08))
    if is_wide:
        grid = figure.subplots(1, len(titles), squeeze=False)
    else:
        grid = figure.subplots(len(titles), 1, squeeze=False, height_ratios=ratios)
    plots: list[Axes] = list(grid.flat)
    for axes, title in zip(plots, titles, strict=True):
        axes.set_facecolor("none")
        axes.set_title(title, loc="left", fontsize=10, color=colours.text, pad=9)
        axes.tick_params(colors=colours.muted, length=0, labelsize=8.5, pad=5)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(colours.grid)
        axes.xaxis.label.set(color=colours.muted, fontsize=8.5)
        axes.grid(axis="y", color=colours.grid, linewidth=0.8)
        axes.set_axisbelow(True)
    return figure, plots


def finished(figure: Plot, says: str) -> Plot:
    """
    Label a figure with what it says, and place its plots once and for all.
    """
    figure.set_label(says)
    # Placed anew at each drawing they would move by millionths, and the same figure would not give the same text.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def say_nothing(axes: Axes, colours: Colours, text: str) -> None:
    """
    Say in a plot that there is nothing to show.
    """
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=colours.muted, fontsize=9.5)


def bars(axes: Axes, colours: Colours, names: Sequence[str]) -> None:
    """
    Make a plot one of bars that lie one below the other, each with its name.
    """
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])
    # Names were recorded: a $ begins no formula.
    axes.set_yticks(range(len(names)), [label(name) for name in names], parse_math=False, color=colours.text)
    # One bar alone is no beam.
    axes.set_ylim(max(len(names), 3) - 0.4, -0.6)


def note(axes: Axes, text: str, place: tuple[float, float], offset: tuple[float, float], **given: Any) -> None:
    """
    Write beside a place of a plot, so many points away.
    """
    given = {"textcoords": "offset points", "fontsize": 8.5, **given}
    # Plots leave space for it by their limits.
    axes.annotate(text, place, offset, **given).set_in_layout(False)


def amounts(axes: Axes) -> None:
    """
    Let the vertical axis begin at 0 and say counts, as in 40 k.
    """
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: amount(value)))


def amount(value: float) -> str:
    """
    Write a count in at most three digits: 950, 12.5 k, 3.2 M.
    """
    for size, unit in _SIZES:
        if value >= size * 0.9995:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"


def duration_text(seconds: float) -> str:
    """
    Write a time in one unit: 0.4 s, 12 s, 3 min, 2.5 h, 3 d.
    """
    size, unit = time_unit(seconds)
    return f"{seconds / size:.2g} {unit}" if seconds < 10 * size else f"{seconds / size:,.0f} {unit}"


def time_unit(seconds: float) -> tuple[float, str]:
    """
    Give the unit in which a time is best read: its seconds and its sign.
    """
    for size, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= size:
            return size, unit
    return 1, "s"


def label(text: str) -> str:
    """
    Write recorded text short and in one line, in characters that the font has and that a page may hold.
    """
    text = one_line(text[: 4 * _LABEL_MAX])
    text = text if len(text) <= _LABEL_MAX else f"{text[: _LABEL_MAX - 1]}…"
    return "".join(char if ord(char) in _characters() else "\ufffd" for char in text)


@cache
def _characters() -> frozenset[int]:
    # Without it matplotlib warns of each character that its font has not.
    return frozenset(FT2Font(findfont(FontProperties())).get_charmap())
