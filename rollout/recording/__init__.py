"""
Recording a session: `Recorder`, its bounded queue, the writer thread and the file it appends to.

This package reads no sessions, except the head and the last line of a resumed one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout._lazy import lazy_getattr

if TYPE_CHECKING:
    from rollout.recording._commands import RecorderStats
    from rollout.recording._lifecycle import call_before_end
    from rollout.recording._policy import Policy, codex_2025_policy, default_policy, keep_all
    from rollout.recording._recorder import Recorder
    from rollout.recording._tool_runs import ToolRun
    from rollout.recording._turn import Turn

__all__ = [
    "Policy",
    "Recorder",
    "RecorderStats",
    "ToolRun",
    "Turn",
    "call_before_end",
    "codex_2025_policy",
    "default_policy",
    "keep_all",
]

__getattr__ = lazy_getattr(
    globals(),
    {
        "_commands": ["RecorderStats"],
        "_lifecycle": ["call_before_end"],
        "_policy": ["Policy", "codex_2025_policy", "default_policy", "keep_all"],
        "_recorder": ["Recorder"],
        "_tool_runs": ["ToolRun"],
        "_turn": ["Turn"],
    },
)
