"""
Load and list sessions: `History`, `list_sessions`. Other packages search, change and display them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout._lazy import lazy_getattr

if TYPE_CHECKING:
    from rollout.sessions._agents import AGENTS, AgentsShown, Families, descendants, listed_names, read_origin
    from rollout.sessions._history import History, Turn, history_of, load_history
    from rollout.sessions._info import Cursor, Page, SessionInfo, has_started
    from rollout.sessions._listing import last_use, list_sessions, read_last_use, read_stated_start, summarize

__all__ = [
    "AGENTS",
    "AgentsShown",
    "Cursor",
    "Families",
    "History",
    "Page",
    "SessionInfo",
    "Turn",
    "descendants",
    "has_started",
    "history_of",
    "last_use",
    "list_sessions",
    "listed_names",
    "load_history",
    "read_last_use",
    "read_origin",
    "read_stated_start",
    "summarize",
]

__getattr__ = lazy_getattr(
    globals(),
    {
        "_agents": ["AGENTS", "AgentsShown", "Families", "descendants", "listed_names", "read_origin"],
        "_history": ["History", "Turn", "history_of", "load_history"],
        "_info": ["Cursor", "Page", "SessionInfo", "has_started"],
        "_listing": ["last_use", "list_sessions", "read_last_use", "read_stated_start", "summarize"],
    },
)
