"""
The figure of one session: the growth of its tokens, and the time of its tools.
"""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from rollout._text import count_text, short_duration_text, time_unit
from rollout.document import Document
from rollout.interpret import seconds_of
from rollout.plots._style import (
    Colors,
    annotate,
    colors_of,
    fix_layout,
    new_figure,
    set_bar_axes,
    set_count_axis,
    show_empty,
)
from rollout.stats import ToolStats

__all__ = ["session_figure"]

_TOOLS_MAX = 8
# Maximum number of turns whose beginnings are marked; more marks would fill the plot.
_TURNS_MAX = 60
# Points, each half a pixel of a wide screen; 10,000 points would take a megabyte.
_POINTS_MAX = 800


def session_figure(document: Document, *, dark: bool = False) -> Figure:
    """
    Return a figure of a session: at the top, the tokens used since its beginning, with a line at the beginning of each
    turn; at the bottom, the seconds that each tool took, the longest first.

    The time of a call is the duration measured by Codex, otherwise the time from the call to its output. Blocks for
    some 50 ms.

    Args:
        document: A result of `History.document`.
        dark: Whether the colors are for a dark background.
    """
    colors = colors_of(dark)
    tools = _tools(document)
    figure, (above, below) = new_figure(
        colors, 3.2 + 0.24 * max(len(tools), 3), ("Tokens used", "Time in tools"), ratios=(9, 1.2 * max(len(tools), 3))
    )
    _draw_growth(above, document, colors)
    _draw_tools(below, tools, colors)
    total = document.token_growth[-1][1] if document.token_growth else 0
    time_taken = short_duration_text(sum(tool.duration or 0.0 for _, tool in tools))
    return fix_layout(figure, f"A session: {count_text(total)} tokens used; {time_taken} in tools")


def _draw_growth(axes: Axes, document: Document, colors: Colors) -> None:
    points = [(seconds, total) for at, total in document.token_growth if (seconds := seconds_of(at))]
    if not points:
        show_empty(axes, colors, "no tokens were counted")
        return
    starts = [seconds for turn in document.turns if not turn.is_inherited and (seconds := seconds_of(turn.started_at))]
    first = min(points[0][0], *starts, seconds_of(document.stats.first_at) or points[0][0])
    span = max(seconds for seconds, _ in points) - first
    size, unit = time_unit(span / 2)
    points = _thin_points(points, span / _POINTS_MAX)
    times = [0.0, *((seconds - first) / size for seconds, _ in points)]
    totals = [0, *(total for _, total in points)]
    if len(starts) <= _TURNS_MAX:
        axes.vlines([(s - first) / size for s in starts if s - first <= span], 0, 1, colors=colors.grid,
                    linewidth=1, transform=axes.get_xaxis_transform())  # fmt: skip
    axes.step(times, totals, where="post", color=colors.first, linewidth=1.8)
    axes.fill_between(times, totals, step="post", color=colors.first, alpha=0.14, linewidth=0)
    axes.plot(times[-1:], totals[-1:], "o", color=colors.first, markersize=4.5, clip_on=False)
    annotate(
        axes, count_text(totals[-1]), (times[-1], totals[-1]), (0, 7), ha="right", color=colors.text, fontweight="bold"
    )
    axes.set_xlim(0, max(times) or 1)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 3, 5, 6, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} {unit}"))
    axes.set_ylim(0, totals[-1] * 1.18)
    set_count_axis(axes)


def _thin_points(points: list[tuple[float, int]], step: float) -> list[tuple[float, int]]:
    """
    Return the points without points that another point follows within *step* seconds; the last point is kept.
    """
    kept: list[tuple[float, int]] = []
    for point in points:
        if kept and len(kept) > 1 and point[0] - kept[-2][0] < step:
            kept.pop()
        kept.append(point)
    return kept


def _tools(document: Document) -> list[tuple[str, ToolStats]]:
    """
    Return the tools by time, the longest first; the last entry sums up all others if there are many.
    """
    tools: dict[str, ToolStats] = {}
    for tool, call in _calls(document):
        tools[tool] = tools.get(tool, ToolStats()) + call
    ordered = sorted(tools.items(), key=lambda item: (-(item[1].duration or 0.0), -item[1].calls, item[0]))
    if len(ordered) <= _TOOLS_MAX:
        return ordered
    others = sum((tool for _, tool in ordered[_TOOLS_MAX - 1 :]), ToolStats())
    return [*ordered[: _TOOLS_MAX - 1], (f"{len(ordered) - _TOOLS_MAX + 1} others", others)]


def _calls(document: Document) -> Iterator[tuple[str, ToolStats]]:
    for turn in document.turns:
        for item in () if turn.is_inherited else turn.items:
            # An output without its call has no tool.
            if item.call is not None and item.call.tool:
                yield item.call.tool, ToolStats(1, int(item.call.is_failed), max(item.call.seconds or 0.0, 0.0))


def _draw_tools(axes: Axes, tools: list[tuple[str, ToolStats]], colors: Colors) -> None:
    if not tools:
        show_empty(axes, colors, "no tool was called")
        return
    set_bar_axes(axes, colors, [name for name, _ in tools])
    longest = max(tool.duration or 0.0 for _, tool in tools) or 1.0
    axes.barh(range(len(tools)), [tool.duration or 0.0 for _, tool in tools], height=0.56, color=colors.second)
    axes.set_xlim(0, longest * 1.3)
    for row, (_, tool) in enumerate(tools):
        calls = f"{tool.calls:,} call{'s' * (tool.calls != 1)}"
        text = f"{short_duration_text(tool.duration or 0.0)}  ·  {calls}"
        annotate(axes, text, (tool.duration or 0.0, row), (5, 0), va="center", color=colors.muted)
