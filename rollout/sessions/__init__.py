"""
Load and list sessions: `History`, `list_sessions`. Other packages search, change and display them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout._lazy import lazy_getattr

if TYPE_CHECKING:
    from rollout.sessions._history import History, Turn, history_of, load_history
    from rollout.sessions._listing import Cursor, Page, SessionInfo, list_sessions

__all__ = [
    "Cursor",
    "History",
    "Page",
    "SessionInfo",
    "Turn",
    "history_of",
    "list_sessions",
    "load_history",
]

__getattr__ = lazy_getattr(
    globals(),
    {
        "_history": ["History", "Turn", "history_of", "load_history"],
        "_listing": ["Cursor", "Page", "SessionInfo", "list_sessions"],
    },
)
