"""
What a caller records -> the command that writes it: told apart, asked the policy for, copied, weighed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rollout._commands import Add
from rollout._plain import Extent, plain_item, snapshot
from rollout.codec import MAX_LINE_SIZE, encode_item
from rollout.errors import EncodeError
from rollout.policy import Policy
from rollout.schema import Wire

__all__ = ["take", "take_all"]


def take(item: Any, policy: Policy) -> Add | None:
    """
    Take one item; None where the policy drops it.

    Raises:
        EncodeError: It has no JSON form, or its line would be too long.
    """
    kind, payload, metadata = plain_item(item)
    extent = Extent()
    if is_typed := isinstance(payload, Wire):
        payload = snapshot(payload, extent)
    if not policy(kind, payload):
        return None
    if not is_typed:
        payload = snapshot(payload, extent)
    if metadata is not None:
        metadata = snapshot(metadata, extent)
    add = Add(kind, payload, metadata, extent.is_ascii, extent.size)
    # A byte in memory is six in JSON at most, so few need this.
    if add.size > MAX_LINE_SIZE // 8:
        _check_size(add)
    return add


def _check_size(add: Add) -> None:
    """
    Refuse an item whose line nobody would read back.
    """
    size = len(encode_item(add.kind, add.payload, 0, None, add.metadata, add.is_ascii))
    if size > MAX_LINE_SIZE:
        raise EncodeError("", f"{size} bytes as a line, of which {MAX_LINE_SIZE} are read")


def take_all(items: Sequence[Any], policy: Policy) -> tuple[Add | None, EncodeError | None]:
    """
    Take the items of one call: one command for those that are kept, and why the first that is refused is.
    """
    kept: list[Add] = []
    refused: EncodeError | None = None
    for item in items:
        try:
            add = take(item, policy)
        except EncodeError as error:
            refused = refused or error
        else:
            if add is not None:
                kept.append(add)
    if not kept:
        return None, refused
    first, *first.rest = kept
    first.size = sum(add.size for add in kept)
    return first, refused
