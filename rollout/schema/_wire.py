"""
The base classes of all objects of the format, and the declaration of fields.

A class lists its fields in the order in which Codex writes them. A field is required, `optional` (omitted if None), or
`nullable` (written as null if None). Unknown fields are kept in `extra` and written back.
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
        "dynamic_tools_updated",
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
"""The types of response items that are calls, each with the type of its output; ``call_id`` connects the two."""


def optional(*, key: str | None = None) -> Any:
    """
    Return an attrs field that is omitted if None; *key* is its name in the file if it differs.
    """
    return field(default=None, metadata={"key": key})


def nullable() -> Any:
    """
    Return an attrs field that is written as null if None.
    """
    return field(default=None, metadata={"null": True})


@frozen(kw_only=True, slots=False)
class Wire:
    """
    One JSON object of the format.

    Attributes:
        extra: Unknown fields, in the order in which they were read; written back at the end, or at their old
            position if the object was read from a file.
    """

    tag: ClassVar[str | None] = None
    """Value of the key ``type`` that distinguishes the object from its siblings; None if the object has no tag."""

    aliases: ClassVar[tuple[str, ...]] = ()
    """Other tags that are read as this class; the tag that was read is kept in `extra`."""

    is_unknown: ClassVar[bool] = False
    """Whether the object matches no class: `payload` is then the plain value, `reason` the reason."""

    extra: Mapping[str, Any] = field(factory=dict)
    # The keys as read: they separate null from absent, and keep the order of the writer.
    _keys: tuple[str, ...] | None = field(default=None, eq=False, repr=False)


# The value of an object that was read without unknown fields; see rollout.schema._structure.
Wire.extra = MappingProxyType({})


@frozen(kw_only=True, slots=False)
class RolloutItem(Wire):
    """
    The payload of a line.
    """

    line_type: ClassVar[str]
    """The ``type`` of the line, for example ``response_item``."""
