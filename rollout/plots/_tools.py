"""
Tools: how often they were called, how often they failed, how long they took.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from rollout.plots._style import bars, colours_of, duration_text, finished, new_figure, note, say_nothing
from rollout.stats import SessionStats, ToolStats

__all__ = ["tools_figure"]

_TOOLS_MAX = 14


def tools_figure(stats: SessionStats, *, dark: bool = False) -> Figure:
    """
    Draw the tools of one session or several: on the left how often each was called, and the part of it that failed in
    another colour; on the right how long its calls took. The most called first; of many, the last is all others.

    Args:
        stats: What `session_stats`, `History.document` or `combine` gives.
        dark: Colours for a dark background.
    """
    colours = colours_of(dark)
    tools = _most_called(stats)
    rows = range(len(tools))
    figure, (left, right) = new_figure(colours, 1.0 + 0.29 * max(len(tools), 3), ("Calls", "Time"), is_wide=True)
    calls = sum(tool.calls for tool in stats.tools.values())
    failures = sum(tool.failures for tool in stats.tools.values())
    says = f"Tools: {calls:,} calls, {failures:,} of them failed"
    if not tools:
        say_nothing(left, colours, "no tool was called")
        say_nothing(right, colours, "")
        return finished(figure, says)
    bars(left, colours, [name for name, _ in tools])
    bars(right, colours, [""] * len(tools))
    left.barh(rows, [tool.calls for _, tool in tools], height=0.58, color=colours.first)
    left.barh(rows, [min(tool.failures, tool.calls) for _, tool in tools], height=0.58, color=colours.failed)
    right.barh(rows, [tool.duration for _, tool in tools], height=0.58, color=colours.second)
    left.set_xlim(0, max(tool.calls for _, tool in tools) * 1.8)
    right.set_xlim(0, (max(tool.duration for _, tool in tools) or 1.0) * 1.3)
    for row, (_, tool) in enumerate(tools):
        failed = f"{tool.calls:,}" + (f"  ·  {tool.failures:,} failed" if tool.failures else "")
        note(left, failed, (tool.calls, row), (5, 0), va="center", color=colours.muted)
        taken = duration_text(tool.duration) if tool.duration else ""
        note(right, taken, (tool.duration, row), (5, 0), va="center", color=colours.muted)
    return finished(figure, says)


def _most_called(stats: SessionStats) -> list[tuple[str, ToolStats]]:
    ordered = sorted(stats.tools.items(), key=lambda item: (-item[1].calls, -item[1].duration, item[0]))
    if len(ordered) <= _TOOLS_MAX:
        return ordered
    others = sum((tool for _, tool in ordered[_TOOLS_MAX - 1 :]), ToolStats())
    return [*ordered[: _TOOLS_MAX - 1], (f"{len(ordered) - _TOOLS_MAX + 1} others", others)]
