"""
What a caller records -> the command that writes it: told apart, asked the policy for, copied, weighed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rollout._commands import Add
from rollout._foreign import said
from rollout._plain import Extent, copy_to_show, plain_item, refusal_of, snapshot
from rollout.codec import MAX_LINE_SIZE, encode_item
from rollout.errors import EncodeError
from rollout.policy import Policy, keep_all, seed_policy

__all__ = ["take", "take_all"]


def take(item: Any, policy: Policy) -> Add | None:
    """
    Take one item; None where the policy drops it.

    Raises:
        EncodeError: The item has no JSON form, its own code or the policy raised, or its line would be too long.
    """
    try:
        kind, payload, metadata = plain_item(item)
        extent = Extent()
        # The policies of this package change nothing, so they get the caller's dict, and dropped items are not copied.
        is_ours = policy is seed_policy or policy is keep_all
        is_copied = not is_ours or type(payload) is not dict
        if is_copied:
            payload = snapshot(payload, extent)
        if not (policy(kind, payload) if is_ours else _keeps(policy, kind, payload)):
            return None
        if not is_copied:
            payload = snapshot(payload, extent)
        if metadata is not None:
            metadata = snapshot(metadata, extent)
        add = Add(kind, payload, metadata, extent.is_ascii, extent.size)
        # A byte in memory becomes at most six bytes in JSON, so only large items need this check.
        if add.size > MAX_LINE_SIZE // 8:
            _check_size(add)
    except Exception as error:  # noqa: BLE001 -- code of others
        refused = refusal_of(error, item)
        raise refused from refused.__cause__
    return add


def _keeps(policy: Policy, kind: str, payload: Any) -> bool:
    """
    Call a policy of the caller, which may raise, and may change the payload that it gets.
    """
    shown = copy_to_show(payload)
    try:
        return bool(policy(kind, shown))
    except Exception as error:
        raise EncodeError("", f"the policy raised {said(error)}") from error


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
