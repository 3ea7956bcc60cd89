"""
The figure of tools: their numbers of calls and failures, and their durations.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from rollout._text import short_duration_text
from rollout.plots._style import annotate, colors_of, fix_layout, new_figure, set_bar_axes, show_empty
from rollout.stats import SessionStats, ToolStats

__all__ = ["tools_figure"]

_TOOLS_MAX = 14


def tools_figure(stats: SessionStats, *, dark: bool = False) -> Figure:
    """
    Return a figure of the tools of one session or several: on the left, the number of calls, with failures in another
    color; on the right, the duration of the calls. The tool with the most calls is first; if there are many tools, the
    last row sums up the others.

    Args:
        stats: The statistics from `session_stats`, `History.document` or `combine`.
        dark: Whether the colors are for a dark background.
    """
    colors = colors_of(dark)
    tools = _most_called(stats)
    rows = range(len(tools))
    figure, (left, right) = new_figure(colors, 1.0 + 0.29 * max(len(tools), 3), ("Calls", "Time"), is_wide=True)
    label = f"Tools: {stats.calls:,} calls, {stats.failures:,} of them failed"
    if not tools:
        show_empty(left, colors, "no tool was called")
        show_empty(right, colors, "")
        return fix_layout(figure, label)
    set_bar_axes(left, colors, [name for name, _ in tools])
    set_bar_axes(right, colors, [""] * len(tools))
    left.barh(rows, [tool.calls for _, tool in tools], height=0.58, color=colors.first)
    left.barh(rows, [min(tool.failures, tool.calls) for _, tool in tools], height=0.58, color=colors.failed)
    right.barh(rows, [tool.duration or 0.0 for _, tool in tools], height=0.58, color=colors.second)
    left.set_xlim(0, max(tool.calls for _, tool in tools) * 1.8)
    right.set_xlim(0, (max(tool.duration or 0.0 for _, tool in tools) or 1.0) * 1.3)
    for row, (_, tool) in enumerate(tools):
        failed = f"{tool.calls:,}" + (f"  ·  {tool.failures:,} failed" if tool.failures else "")
        annotate(left, failed, (tool.calls, row), (5, 0), va="center", color=colors.muted)
        duration = short_duration_text(tool.duration) if tool.duration else ""
        annotate(right, duration, (tool.duration or 0.0, row), (5, 0), va="center", color=colors.muted)
    return fix_layout(figure, label)


def _most_called(stats: SessionStats) -> list[tuple[str, ToolStats]]:
    ordered = sorted(stats.tools.items(), key=lambda item: (-item[1].calls, -(item[1].duration or 0.0), item[0]))
    if len(ordered) <= _TOOLS_MAX:
        return ordered
    others = sum((tool for _, tool in ordered[_TOOLS_MAX - 1 :]), ToolStats())
    return [*ordered[: _TOOLS_MAX - 1], (f"{len(ordered) - _TOOLS_MAX + 1} others", others)]
