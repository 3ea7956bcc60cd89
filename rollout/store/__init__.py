"""
Change the sessions of a home: names, archive, trash, forks, compression.

Each change takes the lock of its session, so that no file is moved while a writer has it open. A killed process leaves
either the old or the new state. Codex's own database is also updated. This package prints nothing and asks nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout._lazy import lazy_getattr

if TYPE_CHECKING:
    from rollout.store._compression import compress, decompress
    from rollout.store._fork import fork
    from rollout.store._moves import archive, check_deletable, delete, deleted_sessions, restore, unarchive
    from rollout.store._moves import identify as identify
    from rollout.store._names import SessionNames, find, read_names, rename_session, session_names
    from rollout.store._relatives import agents_of

__all__ = [
    "SessionNames",
    "agents_of",
    "archive",
    "check_deletable",
    "compress",
    "decompress",
    "delete",
    "deleted_sessions",
    "find",
    "fork",
    "read_names",
    "rename_session",
    "restore",
    "session_names",
    "unarchive",
]

# Lazy imports, as in rollout itself: every list needs names, few programs need zstd.
__getattr__ = lazy_getattr(
    globals(),
    {
        "_compression": ["compress", "decompress"],
        "_fork": ["fork"],
        "_moves": ["archive", "check_deletable", "delete", "deleted_sessions", "identify", "restore", "unarchive"],
        "_relatives": ["agents_of"],
        "_names": ["SessionNames", "find", "read_names", "rename_session", "session_names"],
    },
)
