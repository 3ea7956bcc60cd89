"""
Encoding of the items that the writer takes from the queue, in order. Items wait while there is no memory for them.

Only the writer's thread uses an encoder; other threads read its counters without a lock.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rollout.codec import encode_item
from rollout.recording._commands import Add, Command

__all__ = ["Encoder"]

_log = logging.getLogger("rollout")


class Encoder:
    """
    Encoder of items, which also numbers the lines of a paginated session.

    Args:
        name: The file's name, for the log.
        ordinal: Number of the next line, in a paginated session.

    Attributes:
        ordinal: Number of the next line, in a paginated session.
        waiting: Items that are not yet encoded.
        item_count: Number of all items so far.
        lost_count: Number of these items that will never be written.
        error: Error of the last attempt to encode; None if it succeeded.
    """

    def __init__(self, name: str, ordinal: int | None) -> None:
        self._name = name
        self.ordinal = ordinal
        self.waiting: list[Add] = []
        self.item_count = self.lost_count = 0
        self.error: BaseException | None = None

    @property
    def waiting_size(self) -> int:
        """Bytes of memory that the waiting items take."""
        return sum(add.size for add in self.waiting)

    @property
    def is_short_of_memory(self) -> bool:
        """Whether there was no memory to encode the first waiting item."""
        return isinstance(self.error, MemoryError)

    def take(self, commands: Sequence[Command]) -> None:
        """
        Add the items of commands to the waiting items.
        """
        before = len(self.waiting)
        for command in commands:
            if type(command) is Add:
                self.waiting.append(command)
                for add in command.rest:
                    add.time_ms = command.time_ms
                    # The first item had the size of all items of the call.
                    command.size -= add.size
                    self.waiting.append(add)
                command.rest = ()
        self.item_count += len(self.waiting) - before

    def encode(self) -> list[bytes]:
        """
        Return the lines of the waiting items, up to the first item for which there is no memory now.
        """
        lines: list[bytes] = []
        done = 0
        self.error = None
        for add in self.waiting:
            try:
                line = encode_item(add.kind, add.payload, add.time_ms, self.ordinal, add.metadata, add.is_ascii)
            except MemoryError as error:
                # This item and all after it are tried again later, so the order is kept.
                self.error = error.with_traceback(None)
                break
            except Exception as error:  # noqa: BLE001 -- a bug, as items are plain JSON; the other items are written
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
        Count as lost all items, those in *commands* included, that are not written.
        """
        self.take(commands)
        self.waiting.clear()
        self.lost_count = self.item_count - written_count
