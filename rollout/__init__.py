"""
Record agent sessions as Codex rollouts, from plain blocking Python, and read the sessions of every Codex version.

>>> from rollout import Recorder, load_history
>>> with Recorder() as rec:
...     rec.user_message("What is in this folder?")
...     call_id = rec.tool_call("shell", {"command": ["ls"]})
...     rec.tool_output(call_id, "README.md")
...     rec.agent_message("A README.")
>>> [turn.prompt for turn in load_history(rec.path).turns]
['What is in this folder?']
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout._lazy import lazy_getattr
from rollout._version import __version__
from rollout.codec import RolloutLine
from rollout.errors import (
    AmbiguousSessionError,
    EncodeError,
    FlushTimeoutError,
    InvalidCursorError,
    InvalidLineError,
    MissingSessionMetaError,
    RecorderClosedError,
    RecorderFullError,
    RolloutError,
    SessionBusyError,
    SessionNotFoundError,
    SessionStateError,
    UnsupportedSessionError,
    WriteError,
    WriterStartError,
)
from rollout.home import Problem, find_session
from rollout.reading import (
    FAULT_KINDS,
    Fault,
    Follower,
    LineReader,
    Repair,
    SkippedLine,
    Verification,
    follow,
    read_lines,
    repair,
    verify,
)

if TYPE_CHECKING:
    from rollout.adapters import Instrumentation, instrument
    from rollout.frames import sessions_dataframe
    from rollout.recording import Recorder, RecorderStats, codex_2025_policy, default_policy, keep_all
    from rollout.schema import SessionMeta
    from rollout.sessions import Cursor, History, Page, SessionInfo, Turn, list_sessions, load_history

__all__ = [
    "AmbiguousSessionError",
    "Cursor",
    "EncodeError",
    "FAULT_KINDS",
    "Fault",
    "FlushTimeoutError",
    "Follower",
    "History",
    "Instrumentation",
    "InvalidCursorError",
    "InvalidLineError",
    "LineReader",
    "MissingSessionMetaError",
    "Page",
    "Problem",
    "Recorder",
    "RecorderClosedError",
    "RecorderFullError",
    "RecorderStats",
    "Repair",
    "RolloutError",
    "RolloutLine",
    "SessionBusyError",
    "SessionInfo",
    "SessionMeta",
    "SessionNotFoundError",
    "SessionStateError",
    "SkippedLine",
    "Turn",
    "UnsupportedSessionError",
    "Verification",
    "WriteError",
    "WriterStartError",
    "__version__",
    "codex_2025_policy",
    "default_policy",
    "find_session",
    "follow",
    "instrument",
    "keep_all",
    "list_sessions",
    "load_history",
    "read_lines",
    "repair",
    "sessions_dataframe",
    "verify",
]

# Imported lazily: a program that only reads sessions needs neither the writer nor the classes of the format.
__getattr__ = lazy_getattr(
    globals(),
    {
        "adapters": ["Instrumentation", "instrument"],
        "frames": ["sessions_dataframe"],
        "recording": ["Recorder", "RecorderStats", "codex_2025_policy", "default_policy", "keep_all"],
        "schema": ["SessionMeta"],
        "sessions": ["Cursor", "History", "Page", "SessionInfo", "Turn", "list_sessions", "load_history"],
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
