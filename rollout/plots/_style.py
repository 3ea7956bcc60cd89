"""
Parts that all figures share: colors, axes, labels, units.
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

from rollout._text import count_text, one_line
from rollout.plots._svg import Plot

__all__ = [
    "DAY",
    "HOUR",
    "MINUTE",
    "Colors",
    "set_count_axis",
    "set_bar_axes",
    "colors_of",
    "fix_layout",
    "label_text",
    "new_figure",
    "annotate",
    "show_empty",
]

MINUTE, HOUR, DAY = 60, 3600, 86400
"""Seconds."""
_LABEL_MAX = 26


@frozen
class Colors:
    """
    The colors of one theme: background, text, muted text, grid, the first and the second series, failures.
    """

    paper: str
    text: str
    muted: str
    grid: str
    first: str
    second: str
    failed: str


_LIGHT = Colors("#ffffff", "#24292f", "#656d76", "#e4e8ec", "#3f76c4", "#2f9480", "#cf5b4b")
_DARK = Colors("#16191d", "#dde3ea", "#98a2ad", "#2b3138", "#77a7ea", "#58bda6", "#ec8474")


def colors_of(dark: bool) -> Colors:
    """
    Return the colors for a dark or a light background.
    """
    return _DARK if dark else _LIGHT


def new_figure(
    colors: Colors,
    height: float,
    titles: Sequence[str],
    *,
    is_wide: bool = False,
    ratios: Sequence[float] | None = None,
) -> tuple[Plot, list[Axes]]:
    """
    Return a figure with an empty plot for each title, below each other or side by side.

    Args:
        colors: The figure's colors.
        height: Inches; the width is 8.
        titles: The titles of the plots.
        is_wide: Whether the plots are side by side.
        ratios: The heights of plots below each other; by default equal.
    """
    figure = Plot(figsize=(8, height), facecolor=colors.paper, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08))
    if is_wide:
        grid = figure.subplots(1, len(titles), squeeze=False)
    else:
        grid = figure.subplots(len(titles), 1, squeeze=False, height_ratios=ratios)
    plots: list[Axes] = list(grid.flat)
    for axes, title in zip(plots, titles, strict=True):
        axes.set_facecolor("none")
        axes.set_title(title, loc="left", fontsize=10, color=colors.text, pad=9)
        axes.tick_params(colors=colors.muted, length=0, labelsize=8.5, pad=5)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(colors.grid)
        axes.xaxis.label.set(color=colors.muted, fontsize=8.5)
        axes.grid(axis="y", color=colors.grid, linewidth=0.8)
        axes.set_axisbelow(True)
    return figure, plots


def fix_layout(figure: Plot, text: str) -> Plot:
    """
    Set the label of a figure, fix the positions of its plots, and return it.
    """
    figure.set_label(text)
    # If the layout were computed for each drawing, plots would move by millionths: the SVG of a figure would change.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def show_empty(axes: Axes, colors: Colors, text: str) -> None:
    """
    Show a text in place of an empty plot.
    """
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=colors.muted, fontsize=9.5)


def set_bar_axes(axes: Axes, colors: Colors, names: Sequence[str]) -> None:
    """
    Set up a plot of horizontal bars with their names.
    """
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])
    # Names are recorded text: a $ must not begin a formula.
    axes.set_yticks(range(len(names)), [label_text(name) for name in names], parse_math=False, color=colors.text)
    # A minimum height of the axis, so that a single bar is not very high.
    axes.set_ylim(max(len(names), 3) - 0.4, -0.6)


def annotate(axes: Axes, text: str, place: tuple[float, float], offset: tuple[float, float], **given: Any) -> None:
    """
    Write a text next to a position in a plot, at an offset in points.
    """
    given = {"textcoords": "offset points", "fontsize": 8.5, **given}
    # The limits of the axes leave space for the text.
    axes.annotate(text, place, offset, **given).set_in_layout(False)


def set_count_axis(axes: Axes) -> None:
    """
    Set up the vertical axis for counts: from 0, with labels such as 40k.
    """
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: count_text(value)))


def label_text(text: str) -> str:
    """
    Return recorded text as one short line, with U+FFFD in place of characters that the font lacks.
    """
    text = one_line(text[: 4 * _LABEL_MAX])
    text = text if len(text) <= _LABEL_MAX else f"{text[: _LABEL_MAX - 1]}…"
    return "".join(char if ord(char) in _characters() else "\ufffd" for char in text)


@cache
def _characters() -> frozenset[int]:
    # matplotlib warns about each character that its font lacks.
    return frozenset(FT2Font(findfont(FontProperties())).get_charmap())
