"""
Conversion of a caller's items to commands for the writer: classify, filter by the policy, copy, measure.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, TypeAlias

from attrs import define, field

from rollout.codec import MAX_LINE_SIZE, encode_item, encode_json
from rollout.dialects import codex_items, is_foreign
from rollout.errors import EncodeError
from rollout.recording._commands import Add
from rollout.recording._git import collect_git_info
from rollout.recording._policy import Policy, codex_2025_policy, default_policy, keep_all
from rollout.schema import CopyStats, copy_to_show, describe_error, encode_error_for, has_kind, plain_item, snapshot

__all__ = ["Default", "Preparer", "meta_line", "text_of"]

Default: TypeAlias = "Callable[[Any], Any] | None"
"""Converts a value whose type has no JSON form, like the argument of `json.dumps` with this name."""

# These change no payload, so they get the caller's dict, and dropped items are not copied.
_OWN_POLICIES = (codex_2025_policy, default_policy, keep_all)
_log = logging.getLogger("rollout")


@define
class Preparer:
    """
    Maker of commands from items.

    Args:
        policy: Decides which items are kept.
        default: Converts values without a JSON form.
    """

    policy: Policy
    default: Default = None
    # A count is an iterator: it counts without a lock, which the caller's thread may hold when a signal comes.
    _dropped: dict[str, count[int]] = field(factory=dict, init=False)
    _is_own: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._is_own = self.policy in _OWN_POLICIES

    @property
    def dropped(self) -> dict[str, int]:
        """The numbers of items that the policy dropped, by the type of the line and of the payload."""
        return {name: int(repr(numbers)[len("count(") : -1]) for name, numbers in list(self._dropped.items())}

    def prepare(self, item: Any) -> Add | None:
        """
        Return the command that writes one item; None if the policy drops it. A message in the form of another API may
        become several items.

        Raises:
            EncodeError: The item has no JSON form, its own code or the policy raised an exception, or its line would be
                too long.
        """
        try:
            try:
                kind, payload, metadata = plain_item(item, self.default)
            except EncodeError:
                forms = codex_items(item, self.default)
                if len(forms) == 1 and forms[0] is item:
                    raise
                return self._prepare_forms(forms)
            if payload is item and (type(payload) is dict or isinstance(payload, Mapping)) and is_foreign(payload):
                return self._prepare_forms(codex_items(item, self.default))
            extent = CopyStats()
            if self.default is not None:
                extent.default = self.default
            is_own, policy = self._is_own, self.policy
            is_copied = not is_own or type(payload) is not dict
            if is_copied:
                payload = snapshot(payload, extent)
            if not (policy(kind, payload) if is_own else _keeps(policy, kind, payload)):
                self._drop(kind, payload)
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

    def _prepare_forms(self, items: Sequence[Any]) -> Add | None:
        add, refused = self.prepare_all(items)
        if refused is not None:
            raise refused
        return add

    def prepare_all(self, items: Sequence[Any]) -> tuple[Add | None, EncodeError | None]:
        """
        Return one command for the items that are kept, and the error of the first one that is refused.
        """
        kept: list[Add] = []
        refused: EncodeError | None = None
        for item in items:
            try:
                add = self.prepare(item)
            except EncodeError as error:
                refused = refused or error
            else:
                if add is not None:
                    kept.append(add)
        if not kept:
            return None, refused
        size = sum(add.size for add in kept)
        first, *rest = [own for add in kept for own in (add, *add.rest)]
        for add in kept:
            add.rest = ()
        first.rest, first.size = rest, size
        return first, refused

    def _drop(self, kind: str, payload: Mapping[str, Any]) -> None:
        own = payload.get("type") if kind in ("response_item", "event_msg") else None
        name = f"{kind}/{own}" if has_kind(own, str) else kind
        numbers = self._dropped.get(name)
        if numbers is None:
            numbers = self._dropped.setdefault(name, count())
            _log.info("the policy drops items of the type %s; RecorderStats.dropped counts them", name)
        next(numbers)


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


def meta_line(meta: dict[str, Any], time_ms: int, pid: int) -> Add:
    """
    Return the command that writes the session_meta; runs git in the process *pid*, for up to 5 seconds.
    """
    # Not in a forked child, in which subprocess may be half imported.
    git = collect_git_info(meta["cwd"]) if os.getpid() == pid else None
    return Add("session_meta", meta if git is None else {**meta, "git": snapshot(git)}, time_ms=time_ms)


def text_of(value: Any, default: Default = None) -> str:
    """
    Return a string as it is, and any other value as JSON text.
    """
    if has_kind(value, str):
        text: str = value
        return text
    return encode_json(snapshot(value, default=default))
