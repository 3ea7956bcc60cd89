"""
What changes which sessions there are: names, archive, trash, forks, compression.

All of it takes the lock of the session that it changes, so that none is pulled away from under a writer, leaves
either the old or the new state when it is killed, and tells Codex's own database. Nothing here prints or asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout._opening import opener

if TYPE_CHECKING:
    from rollout.store._compression import compress, decompress
    from rollout.store._fork import fork
    from rollout.store._moves import archive, delete, deleted_sessions, restore, unarchive
    from rollout.store._names import find, rename_session, session_names

__all__ = [
    "archive",
    "compress",
    "decompress",
    "delete",
    "deleted_sessions",
    "find",
    "fork",
    "rename_session",
    "restore",
    "session_names",
    "unarchive",
]

# Opened when something in them is asked for, as in rollout itself: names are wanted for every list, zstd for few.
__getattr__ = opener(
    globals(),
    {
        "_compression": ["compress", "decompress"],
        "_fork": ["fork"],
        "_moves": ["archive", "delete", "deleted_sessions", "restore", "unarchive"],
        "_names": ["find", "rename_session", "session_names"],
    },
)
