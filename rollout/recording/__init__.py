"""
Recording a session: `Recorder`, its bounded queue, the writer thread and the file it appends to.

This package reads no sessions, except the head and the last line of a resumed one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout._lazy import lazy_getattr

if TYPE_CHECKING:
    from rollout.recording._commands import RecorderStats
    from rollout.recording._policy import codex_2025_policy, keep_all
    from rollout.recording._recorder import Recorder

__all__ = [
    "Recorder",
    "RecorderStats",
    "keep_all",
    "codex_2025_policy",
]

__getattr__ = lazy_getattr(
    globals(),
    {
        "_commands": ["RecorderStats"],
        "_policy": ["keep_all", "codex_2025_policy"],
        "_recorder": ["Recorder"],
    },
)
