"""
All errors of the package.

RolloutError
├── EncodeError (TypeError)             record(): an item has no JSON form
├── RecorderClosedError (RuntimeError)  the recorder was closed before
├── RecorderFullError                   too many items wait to be written
├── WriterStartError (RuntimeError)     no writer: no more threads, the program is ending, or a fork outside Python
├── WriteError                          lines wait in memory; the disk refused them
├── FlushTimeoutError (TimeoutError)    the writer was still busy
├── SessionBusyError                    another writer has the session open
├── UnsupportedSessionError             appending would damage the file
├── SessionStateError                   the operation is not valid in the session's current state
├── InvalidLineError (ValueError)       a line is invalid, in strict reading
├── MissingSessionMetaError (ValueError)
├── InvalidCursorError (ValueError)
├── SessionNotFoundError (LookupError)
└── AmbiguousSessionError (LookupError)

No error inherits from OSError directly, because OSError uses the first of two arguments as errno; FlushTimeoutError
inherits from it through TimeoutError. The fields are the arguments, so every error can be pickled. `__str__` returns
the text. An OSError from opening a file reaches the caller unchanged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = [
    "AmbiguousSessionError",
    "EncodeError",
    "FlushTimeoutError",
    "InvalidCursorError",
    "InvalidLineError",
    "MissingSessionMetaError",
    "RecorderClosedError",
    "RecorderFullError",
    "RolloutError",
    "SessionBusyError",
    "SessionNotFoundError",
    "SessionStateError",
    "UnsupportedSessionError",
    "WriteError",
    "WriterStartError",
]

_EXAMPLES_SHOWN = 3


def _cause_text(error: BaseException) -> str:
    """
    Return the text of the cause of an error, followed by "; ". A MemoryError has no text, so its class name is used.
    """
    cause = error.__cause__
    return f"{str(cause) or type(cause).__name__}; " if cause else ""


class RolloutError(Exception):
    """Base class of all errors of this package."""


class EncodeError(RolloutError, TypeError):
    """
    An item has no JSON form. It was not recorded; the other items of the call were.

    If code of the item's class, or the policy, raised an exception, `__cause__` is that exception.

    Attributes:
        path: Position of the value in the item, as in ``content[0].text``; empty for the item itself.
        reason: Description of the problem.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path or 'item'}: {self.reason}"


class RecorderClosedError(RolloutError, RuntimeError):
    """
    The recorder is closed; nothing of this call was recorded.

    Attributes:
        path: Path of the session's file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"recorder of {self.path} is closed. Use Recorder.resume(path) to continue the session."


class RecorderFullError(RolloutError):
    """
    Too many items wait to be written; nothing of this call was recorded.

    `__cause__` is the last error of the disk, if such an error is the reason.

    Attributes:
        path: Path of the session's file.
        queued: Number of waiting calls.
        waiting_size: Number of waiting bytes.
    """

    def __init__(self, path: Path, queued: int, waiting_size: int) -> None:
        super().__init__(path, queued, waiting_size)
        self.path = path
        self.queued = queued
        self.waiting_size = waiting_size

    def __str__(self) -> str:
        why = _cause_text(self)
        return (
            f"{self.path.name}: {why}{self.queued} calls and {self.waiting_size} bytes already wait to be written; "
            "nothing of this call was recorded. Wait for flush() and record it again."
        )


class WriterStartError(RolloutError, RuntimeError):
    """
    The writer's thread cannot start, or does not exist in a process that was not forked by `os.fork`.

    Nothing was recorded; a new session leaves no file.

    Attributes:
        reason: Reason why there is no thread.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot record: {self.reason}"


class WriteError(RolloutError):
    """
    Lines could not be written, or are not in the file that `Recorder.path` names; `__cause__` is the reason.

    Attributes:
        path: Path of the session's file.
        pending: Number of lines that wait in memory for the next attempt.
        lost: Number of lines that are lost, because they could not be encoded, the writer died, or another program has
            truncated the file before a flush confirmed them.
    """

    def __init__(self, path: Path, pending: int, lost: int = 0) -> None:
        super().__init__(path, pending, lost)
        self.path = path
        self.pending = pending
        self.lost = lost

    def __str__(self) -> str:
        why = _cause_text(self)
        lost = f"lines lost: {self.lost}; " if self.lost else ""
        retried = "; writing is retried twice a second, at flush and at close" if self.pending else ""
        return f"{self.path.name}: {why}{lost}lines that wait in memory: {self.pending}{retried}."


class FlushTimeoutError(RolloutError, TimeoutError):
    """
    The writer did not respond in time; the recorded items are still queued.

    Attributes:
        path: Path of the session's file.
        waited_for: Name of the operation that the call waited for.
        timeout: Seconds that the call waited.
        pending: Number of commands and lines that were not yet written.
    """

    def __init__(self, path: Path, waited_for: str, timeout: float, pending: int) -> None:
        # TimeoutError is an OSError, which would use the first argument as errno.
        super().__init__()
        self.path = path
        self.waited_for = waited_for
        self.timeout = timeout
        self.pending = pending

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.waited_for, self.timeout, self.pending)

    def __str__(self) -> str:
        return f"{self.path.name}: {self.waited_for} took more than {self.timeout:g} s; not yet written: {self.pending}"


class SessionBusyError(RolloutError):
    """
    Another writer (this package or Codex) has the session open; the session was not changed.

    Attributes:
        path: Path of the lock file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path} is locked by another writer. Close that writer first; reading needs no lock."


class UnsupportedSessionError(RolloutError):
    """
    Appending to this file would damage it; the file was not changed.

    Attributes:
        path: Path of the session's file.
        reason: Property of the file that prevents appending.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path} cannot be appended to: {self.reason}"


class SessionStateError(RolloutError):
    """
    The operation is not valid in the session's current state; nothing was changed.

    Attributes:
        path: Path of the session's file.
        reason: State of the session, and how to proceed.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class InvalidLineError(RolloutError, ValueError):
    """
    A line is not a rollout line.

    Attributes:
        path: Path of the file; None if a single line was decoded.
        lineno: Number of the line, from 1; 0 if a single line was decoded.
        reason: Description of the problem.
    """

    def __init__(self, path: Path | None, lineno: int, reason: str) -> None:
        super().__init__(path, lineno, reason)
        self.path = path
        self.lineno = lineno
        self.reason = reason

    def __str__(self) -> str:
        if self.path is None:
            return self.reason
        return f"{self.path}, line {self.lineno}: {self.reason}. Use strict=False to skip such lines."


class MissingSessionMetaError(RolloutError, ValueError):
    """
    A file has no session_meta, so the id of its session is unknown.

    Attributes:
        path: Path of the file.
        reason: "empty session file" or "no session_meta".
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class InvalidCursorError(RolloutError, ValueError):
    """
    A cursor token is not of the form ``YYYY-MM-DDThh-mm-ss|uuid``.

    Attributes:
        token: The invalid token.
    """

    def __init__(self, token: str) -> None:
        super().__init__(token)
        self.token = token

    def __str__(self) -> str:
        return f"{self.token!r} is not a cursor; pass Page.next_cursor or a token 'YYYY-MM-DDThh-mm-ss|uuid'"


class SessionNotFoundError(RolloutError, LookupError):
    """
    No session has this id or prefix.

    Attributes:
        session_id: The id or prefix that was searched for.
        home: Folder in which it was searched for.
    """

    def __init__(self, session_id: str, home: Path) -> None:
        super().__init__(session_id, home)
        self.session_id = session_id
        self.home = home

    def __str__(self) -> str:
        return f"no session {self.session_id!r} in {self.home}"


class AmbiguousSessionError(RolloutError, LookupError):
    """
    Several session ids begin with a prefix.

    Attributes:
        prefix: The prefix that was searched for.
        session_ids: All ids that begin with it.
    """

    def __init__(self, prefix: str, session_ids: tuple[str, ...]) -> None:
        super().__init__(prefix, session_ids)
        self.prefix = prefix
        self.session_ids = session_ids

    def __str__(self) -> str:
        shown = ", ".join(self.session_ids[:_EXAMPLES_SHOWN])
        return f"{self.prefix!r} matches {len(self.session_ids)} sessions: {shown}. Use more characters of the id."
