"""
What passes between the callers and the writer: commands and their answers, and how far it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypeAlias

from attrs import define, field, frozen

__all__ = ["MAX_WAITING_SIZE", "Add", "Command", "Deadline", "Flush", "Gate", "Options", "Shutdown", "Stats"]
__all__ += ["closed_gate", "open_gate"]

MAX_WAITING_SIZE = 64 * 2**20
"""Bytes of memory that what is not yet in the file may take, unless told otherwise."""


@frozen
class Options:
    """
    How much may wait, and when it is safe; see `Recorder`.
    """

    fsync: bool = False
    queue_size: int = 256
    max_waiting_size: int = MAX_WAITING_SIZE
    on_full: Literal["block", "raise"] = "block"

    def __attrs_post_init__(self) -> None:
        # Before a file is made.
        for name in ("queue_size", "max_waiting_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1, not {getattr(self, name)}")
        if self.on_full not in ("block", "raise"):
            raise ValueError(f"on_full is 'block' or 'raise', not {self.on_full!r}")


Command: TypeAlias = "Add | Flush"
Gate: TypeAlias = "threading.Lock"
"""A lock that is held until somebody may go on."""


@define
class Add:
    """
    Write an item, and those of the same call.

    One object an item, with its fields: what waits is what the garbage collector walks (0.1 us an object).

    Attributes:
        kind: The line's type.
        payload: The plain payload.
        metadata: Its sibling, if there is one.
        is_ascii: Nothing in both is not ASCII.
        size: Bytes of memory that all of the call take.
        rest: Those that the call recorded behind it.
        time_ms: When they were handed over, in Unix milliseconds.
    """

    kind: str
    payload: Any
    metadata: Any = None
    is_ascii: bool = False
    size: int = 0
    rest: Sequence[Add] = ()
    time_ms: int = 0


class Deadline:
    """
    The end of a wait; never, without a *timeout* in seconds.
    """

    __slots__ = ("_moment",)

    def __init__(self, timeout: float | None) -> None:
        self._moment = None if timeout is None else time.monotonic() + timeout

    @property
    def left(self) -> float:
        """Seconds to it."""
        if self._moment is None:
            return threading.TIMEOUT_MAX
        return min(max(self._moment - time.monotonic(), 0), threading.TIMEOUT_MAX)


class Answered(threading.Event):
    """
    An event of which waiting may be interrupted.

    A KeyboardInterrupt inside of the one of the standard library can leave its lock held, on which the writer
    would then wait for ever (2 of 3 runs of 600 interrupts); this one waits for a lock that is nobody's.
    """

    def __init__(self) -> None:
        super().__init__()
        # Its own: gevent's event has another.
        self._is_set = False
        self._gate = closed_gate()

    def is_set(self) -> bool:
        """Say whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Let who waits go on."""
        self._is_set = True
        open_gate(self._gate)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, and say whether it is."""
        return self._is_set or self._gate.acquire(timeout=Deadline(timeout).left) or self._is_set


@define
class Flush:
    """
    Answer when everything before is in the file.
    """

    size: ClassVar[int] = 0
    fsync: bool = False
    done: threading.Event = field(factory=Answered)
    error: Exception | None = None

    def answer(self, error: Exception | None) -> None:
        """
        Let who waits go on, with the outcome.
        """
        self.error = error
        self.done.set()


@define
class Shutdown(Flush):
    """
    Answer like a flush, and end.
    """


@frozen
class Stats:
    """
    How far a recorder is.

    Attributes:
        queued: Commands waiting in the queue.
        pending: Lines in memory that a failed write left there.
        waiting_size: Bytes of memory that all which is not yet in the file takes.
        written_lines: Lines this recorder has put into the file.
        written_bytes: Bytes this recorder has put into the file.
        last_error: Why the last write failed; None if it did not.
    """

    queued: int
    pending: int
    waiting_size: int
    written_lines: int
    written_bytes: int
    last_error: BaseException | None


def closed_gate() -> Gate:
    """
    Make a gate at which one waits.
    """
    gate = threading.Lock()
    gate.acquire()
    return gate


def open_gate(gate: Gate) -> None:
    """
    Let who waits at it go on, and whoever comes.
    """
    if gate.locked():
        gate.release()
