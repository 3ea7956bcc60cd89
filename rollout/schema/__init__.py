"""
The wire format as attrs classes: no I/O, no JSON.

One class per object that Codex writes, under the name Codex gives it. `LINE_ITEMS` says which class a line's
type stands for; a class with a `tag` is told from its siblings by the key ``type``. Sources: Codex's protocol of
September 2025 and files written by versions 0.20 to 0.169.
"""

from __future__ import annotations

from rollout.schema import events, meta, responses, tools, usage
from rollout.schema._wire import RolloutItem, Wire
from rollout.schema.events import *  # noqa: F403 -- re-exported; each module states its __all__
from rollout.schema.meta import *  # noqa: F403
from rollout.schema.responses import *  # noqa: F403
from rollout.schema.tools import *  # noqa: F403
from rollout.schema.usage import *  # noqa: F403

__all__ = ["LINE_ITEMS", "UNKNOWN", "RolloutItem", "Wire"]
__all__ += events.__all__ + meta.__all__ + responses.__all__ + tools.__all__ + usage.__all__

LINE_ITEMS: dict[str, type[RolloutItem]] = {
    item.line_type: item
    for item in (
        meta.SessionMeta,
        responses.ResponseItem,
        events.EventMsg,
        meta.TurnContext,
        meta.Compacted,
        meta.WorldState,
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
"""The class of each line type; `ResponseItem` and `EventMsg` are families told apart by ``type``."""

UNKNOWN: dict[type[Wire], type[Wire]] = {
    RolloutItem: meta.UnknownItem,
    responses.ResponseItem: responses.UnknownResponseItem,
    responses.ContentItem: responses.UnknownContentItem,
    events.EventMsg: events.UnknownEvent,
}
"""For each family, the class of what fits no member of it."""
