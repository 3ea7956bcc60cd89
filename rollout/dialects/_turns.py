"""
Blocks gathered into messages, for APIs whose messages consist of blocks of one role.
"""

from __future__ import annotations

from typing import Any

from attrs import Factory, define

__all__ = ["Turns"]


@define
class Turns:
    """
    Messages so far. A block joins the last message of its role.

    Attributes:
        key: Key of a message for its blocks.
        joins_messages: Whether two message items of one role in a row share a message.
        messages: All messages in their order.
        built: Those of them that consist of blocks added here.
    """

    key: str
    joins_messages: bool = False
    messages: list[Any] = Factory(list)
    built: list[dict[str, Any]] = Factory(list)
    _takes_blocks: bool = False
    _ends_with_message: bool = False

    def add_message(self, role: str, blocks: list[Any], extra: dict[str, Any]) -> None:
        """
        Add the blocks of a message item; an item without blocks is a message of its own.

        Args:
            role: Role of the message.
            blocks: Blocks of the API.
            extra: Further keys of the message; it begins a new one.
        """
        is_apart = self._ends_with_message and not self.joins_messages
        if not blocks or extra or is_apart or not self._has_room(role):
            self._begin(role, extra)
        self.messages[-1][self.key].extend(blocks)
        self._ends_with_message = True
        self._takes_blocks = bool(blocks)

    def add_block(self, role: str, block: Any, extra: dict[str, Any]) -> None:
        """
        Add a block that is no part of a message item.
        """
        if extra or not self._has_room(role):
            self._begin(role, extra)
        self.messages[-1][self.key].append(block)
        self._ends_with_message = False

    def add_whole(self, message: Any) -> None:
        """
        Add a message that was not understood.
        """
        self.messages.append(message)
        self._takes_blocks = False

    def _has_room(self, role: str) -> bool:
        return self._takes_blocks and self.messages[-1]["role"] == role

    def _begin(self, role: str, extra: dict[str, Any]) -> None:
        self.built.append({"role": role, self.key: [], **extra})
        self.messages.append(self.built[-1])
        self._takes_blocks = True
