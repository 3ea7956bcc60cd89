"""
Display of a recorder's state in a notebook.
"""

from __future__ import annotations

from datetime import datetime, timezone
from html import escape
from pathlib import Path

from rollout._text import moment_text, one_line, pluralize, size_text
from rollout.recording._commands import RecorderStats

__all__ = ["recorder_bundle"]

# Characters of an error message that are shown.
_MESSAGE_MAX = 240


def recorder_bundle(path: Path, session_id: str, *, closed: bool, stats: RecorderStats) -> dict[str, str]:
    """
    Return the state of a recorder as plain text and as HTML, by media type.
    """
    rows = [
        ("session", session_id),
        ("file", one_line(str(path))),
        ("written", f"{pluralize(stats.written_lines, 'line')}, {size_text(stats.written_bytes)}"),
        ("waiting", _waiting(stats)),
        ("error", _error(stats.last_error)),
        ("as of", moment_text(datetime.now(timezone.utc))),
    ]
    title = f"Recorder, {'closed' if closed else 'open'}"
    text = "\n".join([title, *(f"{name:<12}  {value}" for name, value in rows)])
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return {"text/plain": text, "text/html": f"<div><b>{escape(title)}</b><table>{cells}</table></div>"}


def _waiting(stats: RecorderStats) -> str:
    if not (stats.queued or stats.pending or stats.waiting_size):
        return "nothing"
    refused = f", {pluralize(stats.pending, 'line')} that the disk refused" if stats.pending else ""
    return f"{pluralize(stats.queued, 'call')}{refused}, {size_text(stats.waiting_size)} of memory"


def _error(error: BaseException | None) -> str:
    return "none" if error is None else one_line(f"{type(error).__name__}: {error}"[:_MESSAGE_MAX])
