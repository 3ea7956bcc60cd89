"""
Everything that can go wrong.

RolloutError
├── EncodeError (TypeError)             record(): an item has no JSON form
├── RecorderClosedError (RuntimeError)  the recorder was closed before
├── RecorderFullError                   no space for what waits to be written
├── WriterStartError (RuntimeError)     no writer: no more threads, the program ends, or a fork without Python
├── WriteError                          lines wait in memory; the disk refused them
├── FlushTimeoutError (TimeoutError)    the writer was still busy
├── SessionBusyError                    another writer holds the session
├── UnsupportedSessionError             appending would damage the file
├── SessionStateError                   what was asked cannot be done to a session that is as this one
├── InvalidLineError (ValueError)       strict reading met a bad line
├── MissingSessionMetaError (ValueError)
├── InvalidCursorError (ValueError)
├── SessionNotFoundError (LookupError)
└── AmbiguousSessionError (LookupError)

None inherits from OSError, whose two-argument form takes the first for errno; but TimeoutError does.
Fields are the arguments, so every error pickles; the text is made in `__str__`.
An OSError of opening a file reaches the caller unchanged.
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
    Return the text of the cause of an error, with "; " after it. A MemoryError has no text, so its name is used.
    """
    cause = error.__cause__
    return f"{str(cause) or type(cause).__name__}; " if cause else ""


class RolloutError(Exception):
    """The root of all errors of this package."""


class EncodeError(RolloutError, TypeError):
    """
    An item has no JSON form; it was not recorded, the items beside it were.

    If code of the item's class, or the policy, raised an exception, `__cause__` is this exception.

    Attributes:
        path: Where in the item the value stands, as in ``content[0].text``; empty for the item itself.
        reason: What is wrong with it.
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
        path: The session's file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"recorder of {self.path} is closed. Use Recorder.resume(path) to continue the session."


class RecorderFullError(RolloutError):
    """
    There is no space for what waits to be written; nothing of this call was recorded.

    `__cause__` is the disk's last error, if that is why.

    Attributes:
        path: The session's file.
        queued: Calls that wait.
        waiting_size: Bytes that wait.
    """

    def __init__(self, path: Path, queued: int, waiting_size: int) -> None:
        super().__init__(path, queued, waiting_size)
        self.path = path
        self.queued = queued
        self.waiting_size = waiting_size

    def __str__(self) -> str:
        why = _cause_text(self)
        return (
            f"{self.path.name}: {why}{self.queued} calls and {self.waiting_size} bytes wait to be written already; "
            "nothing of this one was recorded. Wait for flush() and record it again."
        )


class WriterStartError(RolloutError, RuntimeError):
    """
    The writer's thread cannot start, or does not exist in a process that was forked by other means than `os.fork`.

    Nothing was recorded; a new session leaves no file.

    Attributes:
        reason: Why there is no thread.
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
        path: The session's file.
        pending: How many lines wait in memory for the next attempt.
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
        lost = f"{self.lost} lost; " if self.lost else ""
        waiting = f"{self.pending} lines wait in memory, and are tried again twice a second, at flush and at close."
        return f"{self.path.name}: {why}{lost}{waiting if self.pending else 'no lines wait in memory.'}"


class FlushTimeoutError(RolloutError, TimeoutError):
    """
    The writer did not answer in time; what was recorded is still queued.

    Attributes:
        path: The session's file.
        waited_for: What the call waited for.
        timeout: Seconds it waited.
        pending: How many commands and lines were still to be written.
    """

    def __init__(self, path: Path, waited_for: str, timeout: float, pending: int) -> None:
        # TimeoutError is an OSError, which would take the first argument for errno.
        super().__init__()
        self.path = path
        self.waited_for = waited_for
        self.timeout = timeout
        self.pending = pending

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.waited_for, self.timeout, self.pending)

    def __str__(self) -> str:
        return f"{self.path.name}: {self.waited_for} took over {self.timeout:g} s; {self.pending} still to be written"


class SessionBusyError(RolloutError):
    """
    Another writer, ours or Codex, holds this session; it was not touched.

    Attributes:
        path: The lock file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path} is held by another writer. Close that one first; reading needs no lock."


class UnsupportedSessionError(RolloutError):
    """
    Appending to this file would damage it; it was not touched.

    Attributes:
        path: The session's file.
        reason: What about it.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path} cannot be appended to: {self.reason}"


class SessionStateError(RolloutError):
    """
    What was asked cannot be done to a session that is as this one; nothing was changed.

    Attributes:
        path: The session's file.
        reason: What about it, and what to do.
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
        path: The file, or None where a line was decoded by itself.
        lineno: Number of the line, from 1; 0 where a line was decoded by itself.
        reason: What is wrong with it.
    """

    def __init__(self, path: Path | None, lineno: int, reason: str) -> None:
        super().__init__(path, lineno, reason)
        self.path = path
        self.lineno = lineno
        self.reason = reason

    def __str__(self) -> str:
        if self.path is None:
            return self.reason
        return f"{self.path}, line {self.lineno}: {self.reason}. Use strict=False to read past such lines."


class MissingSessionMetaError(RolloutError, ValueError):
    """
    A file has no session_meta, so it is not known whose session it is.

    Attributes:
        path: The file.
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
        token: What was given.
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
        session_id: What was asked for.
        home: Where it was looked for.
    """

    def __init__(self, session_id: str, home: Path) -> None:
        super().__init__(session_id, home)
        self.session_id = session_id
        self.home = home

    def __str__(self) -> str:
        return f"no session {self.session_id!r} in {self.home}"


class AmbiguousSessionError(RolloutError, LookupError):
    """
    A prefix fits several sessions.

    Attributes:
        prefix: What was asked for.
        session_ids: The ids it fits.
    """

    def __init__(self, prefix: str, session_ids: tuple[str, ...]) -> None:
        super().__init__(prefix, session_ids)
        self.prefix = prefix
        self.session_ids = session_ids

    def __str__(self) -> str:
        shown = ", ".join(self.session_ids[:_EXAMPLES_SHOWN])
        return f"{self.prefix!r} fits {len(self.session_ids)} sessions: {shown}. Give more of the id."
