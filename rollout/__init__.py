"""
Records agent sessions as Codex rollouts, from plain blocking Python, and reads what any Codex wrote.

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

from rollout._opening import opener
from rollout._version import __version__
from rollout._walk import Problem
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
from rollout.finding import find_session
from rollout.follow import Follower, follow
from rollout.reader import LineReader, SkippedLine, read_lines
from rollout.repair import Repair, repair
from rollout.verify import Fault, Verification, verify

if TYPE_CHECKING:
    from rollout._commands import Stats
    from rollout.frames import sessions_dataframe
    from rollout.history import History, Turn, load_history
    from rollout.listing import Cursor, Page, SessionSummary, list_sessions
    from rollout.policy import keep_all, seed_policy
    from rollout.recorder import Recorder
    from rollout.schema import SessionMeta

__all__ = [
    "AmbiguousSessionError",
    "Cursor",
    "EncodeError",
    "Fault",
    "FlushTimeoutError",
    "Follower",
    "History",
    "InvalidCursorError",
    "InvalidLineError",
    "LineReader",
    "MissingSessionMetaError",
    "Page",
    "Problem",
    "Recorder",
    "RecorderClosedError",
    "RecorderFullError",
    "Repair",
    "RolloutError",
    "RolloutLine",
    "SessionBusyError",
    "SessionMeta",
    "SessionNotFoundError",
    "SessionStateError",
    "SessionSummary",
    "SkippedLine",
    "Stats",
    "Turn",
    "UnsupportedSessionError",
    "Verification",
    "WriteError",
    "WriterStartError",
    "__version__",
    "find_session",
    "follow",
    "keep_all",
    "list_sessions",
    "load_history",
    "read_lines",
    "repair",
    "seed_policy",
    "sessions_dataframe",
    "verify",
]


# Opened when something in them is asked for: who only reads needs no writer, and no classes of the format.
__getattr__ = opener(
    globals(),
    {
        "_commands": ["Stats"],
        "frames": ["sessions_dataframe"],
        "history": ["History", "Turn", "load_history"],
        "listing": ["Cursor", "Page", "SessionSummary", "list_sessions"],
        "policy": ["keep_all", "seed_policy"],
        "recorder": ["Recorder"],
        "schema": ["SessionMeta"],
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
