"""
Conversion of a caller's items to commands for the writer: classify, filter by the policy, copy, measure.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from rollout.codec import MAX_LINE_SIZE, encode_item, encode_json
from rollout.errors import EncodeError
from rollout.recording._commands import Add
from rollout.recording._git import collect_git_info
from rollout.recording._policy import Policy, codex_2025_policy, keep_all
from rollout.schema import CopyStats, copy_to_show, describe_error, encode_error_for, has_kind, plain_item, snapshot

__all__ = ["meta_line", "prepare_item", "prepare_items", "text_of"]


def prepare_item(item: Any, policy: Policy) -> Add | None:
    """
    Return the command that writes one item; None if the policy drops it.

    Raises:
        EncodeError: The item has no JSON form, its own code or the policy raised an exception, or its line would be
            too long.
    """
    try:
        kind, payload, metadata = plain_item(item)
        extent = CopyStats()
        # The policies of this package change no payload, so they get the caller's dict, and dropped items are not
        # copied.
        is_ours = policy is codex_2025_policy or policy is keep_all
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
    except Exception as error:  # noqa: BLE001 -- code of the caller
        refused = encode_error_for(error, item)
        raise refused from refused.__cause__
    return add


def _keeps(policy: Policy, kind: str, payload: Any) -> bool:
    """
    Return whether a policy of the caller keeps an item; it may raise, and may change the payload that it gets.
    """
    shown = copy_to_show(payload)
    try:
        return bool(policy(kind, shown))
    except Exception as error:
        raise EncodeError("", f"the policy raised {describe_error(error)}") from error


def _check_size(add: Add) -> None:
    """
    Raise an EncodeError if the line of an item is too long to be read.
    """
    size = len(encode_item(add.kind, add.payload, 0, None, add.metadata, add.is_ascii))
    if size > MAX_LINE_SIZE:
        raise EncodeError("", f"its line has {size} bytes; lines of more than {MAX_LINE_SIZE} bytes cannot be read")


def prepare_items(items: Sequence[Any], policy: Policy) -> tuple[Add | None, EncodeError | None]:
    """
    Return one command for the items that are kept, and the error of the first one that is refused.
    """
    kept: list[Add] = []
    refused: EncodeError | None = None
    for item in items:
        try:
            add = prepare_item(item, policy)
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


def meta_line(meta: dict[str, Any], time_ms: int, pid: int) -> Add:
    """
    Return the command that writes the session_meta; runs git in the process *pid*, for up to 5 seconds.
    """
    # Not in a forked child, in which subprocess may be half imported.
    git = collect_git_info(meta["cwd"]) if os.getpid() == pid else None
    return Add("session_meta", meta if git is None else {**meta, "git": snapshot(git)}, time_ms=time_ms)


def text_of(value: Any) -> str:
    """
    Return a string as it is, and any other value as JSON text.
    """
    return value if has_kind(value, str) else encode_json(snapshot(value))
