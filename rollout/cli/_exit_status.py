"""
The exit statuses of the command. `rollout --help` and docs/cli.md show this list.
"""

from __future__ import annotations

__all__ = ["BUSY", "DONE", "ERROR", "EXIT_STATUSES", "INTERRUPTED", "NOT_FOUND", "PARTIAL", "SIGNAL_BASE"]

DONE, NOT_FOUND, ERROR, BUSY, PARTIAL = range(5)
SIGNAL_BASE = 128
"""The exit status of a program that a signal ended is this number plus the number of the signal."""
INTERRUPTED = SIGNAL_BASE + 2

EXIT_STATUSES = {
    DONE: "success; something was found",
    NOT_FOUND: "nothing was found or changed, or a check found a problem",
    ERROR: "error",
    BUSY: "another writer has the session open",
    PARTIAL: "some sessions or lines succeeded, others failed",
    INTERRUPTED: "interrupted; no session is left partly changed",
}
"""Each exit status and its meaning."""
