"""
What the writer takes from the queue -> lines, in order; what there is no memory for now waits.

Used by the writer's thread only; its counters are read without a lock.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rollout._commands import Add, Command
from rollout.codec import encode_item

__all__ = ["Encoder"]

_log = logging.getLogger("rollout")


class Encoder:
    """
    Encodes items, and numbers them in a paginated session.

    Args:
        name: The file's name, for the log.
        ordinal: Number of the next line, in a paginated session.

    Attributes:
        ordinal: As given, for the next line.
        waiting: Items that are not yet lines.
        taken_count: How many items were ever taken.
        lost_count: How many of them will never be lines.
        error: Why the last attempt failed; None if it did not.
    """

    def __init__(self, name: str, ordinal: int | None) -> None:
        self._name = name
        self.ordinal = ordinal
        self.waiting: list[Add] = []
        self.taken_count = self.lost_count = 0
        self.error: BaseException | None = None

    @property
    def waiting_size(self) -> int:
        """Bytes of memory that the items take."""
        return sum(add.size for add in self.waiting)

    @property
    def is_short_of_memory(self) -> bool:
        """There was no memory for the first item that waits."""
        return isinstance(self.error, MemoryError)

    def take(self, commands: Sequence[Command]) -> None:
        """
        Add the items of commands to those that wait.
        """
        before = len(self.waiting)
        for command in commands:
            if type(command) is Add:
                self.waiting.append(command)
                for add in command.rest:
                    add.time_ms = command.time_ms
                    # The first had the size of them all.
                    command.size -= add.size
                    self.waiting.append(add)
                command.rest = ()
        self.taken_count += len(self.waiting) - before

    def encode(self) -> list[bytes]:
        """
        Return the lines of all items that wait, up to the first for which there is no memory now.
        """
        lines: list[bytes] = []
        done = 0
        self.error = None
        for add in self.waiting:
            try:
                line = encode_item(add.kind, add.payload, add.time_ms, self.ordinal, add.metadata, add.is_ascii)
            except MemoryError as error:
                # It and all behind it are tried again, so the order stays.
                self.error = error.with_traceback(None)
                break
            except Exception as error:  # noqa: BLE001 -- a bug, as items hold nothing but JSON; it costs no other item
                self.lost_count += 1
                self.error = error
                _log.exception("%s: an item could not be encoded and is lost", self._name)
            else:
                lines.append(line)
                if self.ordinal is not None:
                    self.ordinal += 1
            done += 1
        del self.waiting[:done]
        return lines

    def give_up(self, commands: Sequence[Command], written_count: int) -> None:
        """
        Count as lost what was taken, or waits in commands, and is not written.
        """
        self.take(commands)
        self.waiting.clear()
        self.lost_count = self.taken_count - written_count
