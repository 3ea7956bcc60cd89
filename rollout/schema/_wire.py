"""
What every object of the format has in common, and how a class states its fields.

A class lists its fields in the order Codex writes them. A field is required,
`optional` (left out when None), or `nullable` (written as null when None).
What a class does not name rides along in `extra` and is written back.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from attrs import field, frozen

__all__ = ["CALL_OUTPUTS", "LINE_TYPES", "RolloutItem", "Wire", "nullable", "optional"]

LINE_TYPES = frozenset(
    {
        "session_meta",
        "response_item",
        "event_msg",
        "turn_context",
        "compacted",
        "world_state",
        "token_usage_record",
        "inter_agent_communication",
        "inter_agent_communication_metadata",
        "security_risk_score",
        "retained_context",
        "realtime_item",
        "rollout_reference",
        "fork_reference",
        "state",
    }
)
"""The types of lines that have a class."""

CALL_OUTPUTS = {
    "function_call": "function_call_output",
    "local_shell_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
}
"""The response items that ask for something, and those that answer, tied by ``call_id``."""


def optional(*, key: str | None = None) -> Any:
    """
    Declare a field that is left out when None; *key* is its name on the wire where that differs.
    """
    return field(default=None, metadata={"key": key})


def nullable() -> Any:
    """
    Declare a field that is written as null when None.
    """
    return field(default=None, metadata={"null": True})


@frozen(kw_only=True, slots=False)
class Wire:
    """
    One JSON object of the format.

    Attributes:
        extra: Fields this class does not know, in the order they were read; written back at the end,
            or where they stood if the object was read from a file.
    """

    tag: ClassVar[str | None] = None
    """Value of the key ``type`` by which the object is told from its siblings; None where it has none."""

    aliases: ClassVar[tuple[str, ...]] = ()
    """Other tags that are read as this class; the one that was read is kept in `extra`."""

    is_unknown: ClassVar[bool] = False
    """It stands for what fits no class: `payload` is the plain value, `reason` says why."""

    extra: Mapping[str, Any] = field(factory=dict)
    # The keys as read: they tell null from absent, and keep the order of whoever wrote them.
    _keys: tuple[str, ...] | None = field(default=None, eq=False, repr=False)


# What an item that was read need not have of its own; see rollout._structure.
Wire.extra = MappingProxyType({})


@frozen(kw_only=True, slots=False)
class RolloutItem(Wire):
    """
    The payload of a line.
    """

    line_type: ClassVar[str]
    """The line's own ``type``, as in ``response_item``."""
