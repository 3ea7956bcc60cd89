"""
Load and list sessions: `History`, `list_sessions`. Other packages search, change and display them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout._lazy import lazy_getattr

if TYPE_CHECKING:
    from rollout.sessions._history import History, Turn, history_of, load_history
    from rollout.sessions._info import Cursor, Page, SessionInfo, has_started
    from rollout.sessions._listing import last_use, list_sessions, read_last_use, summarize

__all__ = [
    "Cursor",
    "History",
    "Page",
    "SessionInfo",
    "Turn",
    "has_started",
    "history_of",
    "last_use",
    "list_sessions",
    "load_history",
    "read_last_use",
    "summarize",
]

__getattr__ = lazy_getattr(
    globals(),
    {
        "_history": ["History", "Turn", "history_of", "load_history"],
        "_info": ["Cursor", "Page", "SessionInfo", "has_started"],
        "_listing": ["last_use", "list_sessions", "read_last_use", "summarize"],
    },
)
