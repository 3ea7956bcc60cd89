"""
Figures of sessions: token growth and tool time of one session, tools of several sessions, activity of a home by day.

The figures are matplotlib figures, created without pyplot: they need no screen, and any thread may create them. A
notebook shows them directly; ``figure.savefig(path)`` writes a file, `figure_svg` returns SVG for a page. Needs the
extra ``plot``.

>>> from rollout import Recorder, load_history
>>> from rollout.plots import figure_svg, session_figure
>>> with Recorder() as rec:
...     rec.user_message("What is in this folder?")
>>> figure_svg(session_figure(load_history(rec.path).document()))[:4]
'<svg'
"""

from __future__ import annotations

from rollout._lazy import extra_error

try:
    import matplotlib.figure  # noqa: F401 -- an extra
except ModuleNotFoundError as error:
    raise extra_error("plots need", "plot", error) from error

from rollout.plots._home import activity_figure, activity_of, durations_figure
from rollout.plots._session import session_figure
from rollout.plots._svg import Plot, figure_svg
from rollout.plots._tools import tools_figure

__all__ = [
    "Plot",
    "activity_figure",
    "activity_of",
    "durations_figure",
    "figure_svg",
    "session_figure",
    "tools_figure",
]
