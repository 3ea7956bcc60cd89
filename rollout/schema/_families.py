"""
The class of each line type, and the classes for unknown objects.
"""

from __future__ import annotations

from rollout.schema import events, meta, responses, usage
from rollout.schema._wire import RolloutItem, Wire

__all__ = ["LINE_ITEMS", "UNKNOWN"]

LINE_ITEMS: dict[str, type[RolloutItem]] = {
    item.line_type: item
    for item in (
        meta.SessionMeta,
        responses.ResponseItem,
        events.EventMsg,
        meta.TurnContext,
        meta.Compacted,
        meta.WorldState,
        meta.DynamicToolsUpdated,
        usage.TokenUsageRecord,
        meta.InterAgentCommunication,
        meta.InterAgentCommunicationMetadata,
        meta.SecurityRiskScore,
        meta.RetainedContext,
        meta.RealtimeItem,
        meta.RolloutReference,
        meta.ForkReference,
        meta.StateMarker,
    )
}
"""The class of each line type. `ResponseItem` and `EventMsg` are families, whose members differ by the key ``type``."""

UNKNOWN: dict[type[Wire], type[Wire]] = {
    RolloutItem: meta.UnknownItem,
    responses.ResponseItem: responses.UnknownResponseItem,
    responses.ContentItem: responses.UnknownContentItem,
    events.EventMsg: events.UnknownEvent,
}
"""For each family, the class of objects that match no member."""
