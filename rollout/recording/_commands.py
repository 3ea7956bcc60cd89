"""
Commands from the callers to the writer, their answers, the options of a recorder and its counters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeAlias

from attrs import define, field, frozen

from rollout.recording._waiting import InterruptibleEvent

__all__ = ["MAX_WAITING_SIZE", "Add", "Command", "Flush", "Options", "RecorderStats", "Shutdown"]

MAX_WAITING_SIZE = 64 * 2**20
"""Default limit, in bytes of memory, for all items that are not yet in the file."""


@frozen
class Options:
    """
    Limits on the waiting items, and when the file is synced; see `Recorder`.
    """

    fsync: bool = False
    queue_size: int = 256
    max_waiting_size: int = MAX_WAITING_SIZE
    on_full: Literal["block", "raise"] = "block"

    def __attrs_post_init__(self) -> None:
        # Checked here, before a file is created.
        for name in ("queue_size", "max_waiting_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1, not {getattr(self, name)}")
        if self.on_full not in ("block", "raise"):
            raise ValueError(f"on_full is 'block' or 'raise', not {self.on_full!r}")


Command: TypeAlias = "Add | Flush"


@define
class Add:
    """
    Command to write an item, and the other items of the same call.

    It holds the fields of its item itself: the garbage collector visits every waiting object (0.1 us an object).

    Attributes:
        kind: Type of the line.
        payload: Plain payload.
        metadata: Sibling of the payload, if there is one.
        is_ascii: Whether the payload and the metadata are pure ASCII.
        size: Bytes of memory that all items of the call take.
        rest: The items that the call recorded after this one.
        time_ms: Unix milliseconds of the line; 0 for the time when the command is put into the queue.
    """

    kind: str
    payload: Any
    metadata: Any = None
    is_ascii: bool = False
    size: int = 0
    rest: Sequence[Add] = ()
    time_ms: int = 0


@define
class Flush:
    """
    Command to answer when everything before it is in the file.
    """

    size: ClassVar[int] = 0
    fsync: bool = False
    done: InterruptibleEvent = field(factory=InterruptibleEvent)
    error: Exception | None = None

    def answer(self, error: Exception | None) -> None:
        """
        Store the outcome, and wake the thread that waits for it.
        """
        self.error = error
        self.done.set()


@define
class Shutdown(Flush):
    """
    Command to answer as a flush does, and to end the writer's thread.
    """


@frozen
class RecorderStats:
    """
    Progress of a recorder.

    Attributes:
        queued: Number of commands in the queue.
        pending: Number of lines in memory whose write failed.
        waiting_size: Bytes of memory that everything takes that is not yet in the file.
        written_lines: Number of lines that this recorder has written to the file.
        written_bytes: Number of bytes that this recorder has written to the file.
        last_error: Error of the last write; None if it succeeded.
        dropped: Numbers of items that the policy dropped, by the type of the line and of its payload:
            ``event_msg/agent_message_delta``.
    """

    queued: int
    pending: int
    waiting_size: int
    written_lines: int
    written_bytes: int
    last_error: BaseException | None
    dropped: Mapping[str, int] = field(factory=dict)
