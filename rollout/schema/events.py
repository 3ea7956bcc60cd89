"""
Events around the conversation, as Codex sends them to a user interface. Events of tools: `rollout.schema.tools`.

Most events are never recorded; see `rollout.codex_2025_policy`. Codex skips a line with an unknown event, so the
classes are lenient: only the fields that are essential for the meaning of an event are required.
"""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import field, frozen

from rollout.schema._wire import RolloutItem, Wire, nullable, optional
from rollout.schema.usage import RateLimits, TokenUsageInfo

__all__ = [
    "AgentMessage",
    "AgentMessageDelta",
    "AgentReasoning",
    "AgentReasoningDelta",
    "AgentReasoningRawContent",
    "AgentReasoningRawContentDelta",
    "AgentReasoningSectionBreak",
    "BackgroundEvent",
    "CompletedItem",
    "ContextCompacted",
    "ConversationPath",
    "ErrorEvent",
    "EventMsg",
    "GetHistoryEntryResponse",
    "ItemCompleted",
    "ListCustomPromptsResponse",
    "PlanUpdate",
    "SessionConfigured",
    "ShutdownComplete",
    "StreamError",
    "TaskComplete",
    "TaskStarted",
    "ThreadGoal",
    "ThreadGoalUpdated",
    "ThreadNameUpdated",
    "ThreadRolledBack",
    "ThreadSettingsApplied",
    "TokenCount",
    "TurnAborted",
    "UnknownEvent",
    "UserMessage",
    "WarningEvent",
]


@frozen(kw_only=True, slots=False)
class EventMsg(RolloutItem):
    """One event."""

    line_type: ClassVar[str] = "event_msg"


@frozen(kw_only=True, slots=False)
class UnknownEvent(EventMsg):
    """
    An unknown event.

    *payload* is the plain value; *reason* is the reason why it matches no class.
    """

    is_unknown: ClassVar[bool] = True

    payload: Any
    reason: str = field(default="", eq=False)


@frozen(kw_only=True, slots=False)
class UserMessage(EventMsg):
    """A message of the user. *kind*: plain, user_instructions, environment_context (September 2025 only)."""

    tag: ClassVar[str] = "user_message"

    client_id: str | None = optional()
    message: str
    kind: str | None = optional()
    images: tuple[str, ...] | None = optional()
    local_images: Any = optional()
    image_details: Any = optional()
    local_image_details: Any = optional()
    audio: Any = optional()
    local_audio: Any = optional()
    text_elements: Any = optional()


@frozen(kw_only=True, slots=False)
class AgentMessage(EventMsg):
    """A message of the agent."""

    tag: ClassVar[str] = "agent_message"

    message: str
    phase: str | None = optional()
    memory_citation: Any = optional()
    delivery: Any = optional()
    moderation: Any = optional()
    questions: Any = optional()


@frozen(kw_only=True, slots=False)
class AgentReasoning(EventMsg):
    """A paragraph of the reasoning summary."""

    tag: ClassVar[str] = "agent_reasoning"

    text: str


@frozen(kw_only=True, slots=False)
class AgentReasoningRawContent(EventMsg):
    """Raw reasoning."""

    tag: ClassVar[str] = "agent_reasoning_raw_content"

    text: str


@frozen(kw_only=True, slots=False)
class TokenCount(EventMsg):
    """Tokens used; *info* is None before the first response. Often repeated with equal totals."""

    tag: ClassVar[str] = "token_count"

    info: TokenUsageInfo | None = nullable()
    rate_limits: RateLimits | None = optional()


@frozen(kw_only=True, slots=False)
class TurnAborted(EventMsg):
    """The turn was stopped. *reason*: interrupted, replaced, review_ended, budget_limited."""

    tag: ClassVar[str] = "turn_aborted"

    turn_id: str | None = optional()
    root_turn_id: str | None = optional()
    reason: str
    error: Any = optional()
    started_at: Any = optional()
    completed_at: Any = optional()
    duration_ms: Any = optional()


@frozen(kw_only=True, slots=False)
class TaskStarted(EventMsg):
    """A turn begins. *started_at*: Unix seconds; *model_context_window*: tokens."""

    tag: ClassVar[str] = "task_started"
    aliases: ClassVar[tuple[str, ...]] = ("turn_started",)

    turn_attribution: Any = optional()
    turn_id: str | None = optional()
    root_turn_id: str | None = optional()
    trace_id: str | None = optional()
    started_at: Any = optional()
    model_context_window: int | None = nullable()
    collaboration_mode_kind: Any = optional()


@frozen(kw_only=True, slots=False)
class TaskComplete(EventMsg):
    """
    A turn ended.

    *started_at*, *completed_at*: Unix seconds; *duration_ms*, *time_to_first_token_ms*: milliseconds.
    """

    tag: ClassVar[str] = "task_complete"
    aliases: ClassVar[tuple[str, ...]] = ("turn_complete",)

    root_turn_id: str | None = optional()
    turn_id: str | None = optional()
    last_agent_message: str | None = nullable()
    error: Any = optional()
    started_at: Any = optional()
    completed_at: Any = optional()
    duration_ms: Any = optional()
    time_to_first_token_ms: Any = optional()


@frozen(kw_only=True, slots=False)
class ErrorEvent(EventMsg):
    """An error that ended a turn or a task."""

    tag: ClassVar[str] = "error"

    message: str
    codex_error_info: Any = optional()
    rejected_audio_file_ids: Any = optional()


@frozen(kw_only=True, slots=False)
class ContextCompacted(EventMsg):
    """The context was compacted; the `compacted` line next to it has the details."""

    tag: ClassVar[str] = "context_compacted"


@frozen(kw_only=True, slots=False)
class ThreadRolledBack(EventMsg):
    """The last *num_turns* turns of the user are no longer part of the history."""

    tag: ClassVar[str] = "thread_rolled_back"

    num_turns: int


@frozen(kw_only=True, slots=False)
class ThreadGoal(Wire):
    """The goal of a session. Its keys are in camelCase on the wire; times are Unix seconds."""

    thread_id: str | None = optional(key="threadId")
    objective: str
    status: Any = optional()
    token_budget: Any = optional(key="tokenBudget")
    tokens_used: Any = optional(key="tokensUsed")
    time_used_seconds: Any = optional(key="timeUsedSeconds")
    created_at: Any = optional(key="createdAt")
    updated_at: Any = optional(key="updatedAt")


@frozen(kw_only=True, slots=False)
class ThreadGoalUpdated(EventMsg):
    """The session's goal changed. Its keys are in camelCase on the wire."""

    tag: ClassVar[str] = "thread_goal_updated"

    thread_id: str | None = optional(key="threadId")
    turn_id: str | None = optional(key="turnId")
    goal: ThreadGoal


@frozen(kw_only=True, slots=False)
class ThreadNameUpdated(EventMsg):
    """The session was named (written around April 2026 only)."""

    tag: ClassVar[str] = "thread_name_updated"

    thread_id: str | None = optional()
    thread_name: str | None = optional()


@frozen(kw_only=True, slots=False)
class ThreadSettingsApplied(EventMsg):
    """The settings of the session from this line on."""

    tag: ClassVar[str] = "thread_settings_applied"

    thread_id: str | None = optional()
    thread_settings: Any


@frozen(kw_only=True, slots=False)
class CompletedItem(Wire):
    """
    The item of an `ItemCompleted`; its fields depend on *type* and are kept in `extra`.

    *type* is one of UserMessage, AgentMessage, Reasoning, CommandExecution, FileChange, FunctionCallOutput, Plan,
    McpToolCall, WebSearch, ImageView, ImageGeneration, DynamicToolCall, CollabAgentToolCall, SubAgentActivity,
    HookPrompt, Extension, ContextCompaction, EnteredReviewMode, ExitedReviewMode, or a type of a later version.
    """

    type: str
    id: str | None = optional()


@frozen(kw_only=True, slots=False)
class ItemCompleted(EventMsg):
    """An item of the user interface is complete. Times are Unix milliseconds; None after a migration."""

    tag: ClassVar[str] = "item_completed"

    thread_id: str | None = optional()
    turn_id: str | None = optional()
    item: CompletedItem
    started_at_ms: int | None = optional()
    completed_at_ms: int | None = optional()
    content_token_count: Any = optional()


@frozen(kw_only=True, slots=False)
class AgentMessageDelta(EventMsg):
    """A piece of the agent's message."""

    tag: ClassVar[str] = "agent_message_delta"

    delta: str


@frozen(kw_only=True, slots=False)
class AgentReasoningDelta(EventMsg):
    """A piece of the reasoning summary."""

    tag: ClassVar[str] = "agent_reasoning_delta"

    delta: str


@frozen(kw_only=True, slots=False)
class AgentReasoningRawContentDelta(EventMsg):
    """A piece of the raw reasoning."""

    tag: ClassVar[str] = "agent_reasoning_raw_content_delta"

    delta: str


@frozen(kw_only=True, slots=False)
class AgentReasoningSectionBreak(EventMsg):
    """The reasoning summary continues with a new section."""

    tag: ClassVar[str] = "agent_reasoning_section_break"


@frozen(kw_only=True, slots=False)
class BackgroundEvent(EventMsg):
    """A message about work in the background."""

    tag: ClassVar[str] = "background_event"

    message: str


@frozen(kw_only=True, slots=False)
class ConversationPath(EventMsg):
    """The file of the session."""

    tag: ClassVar[str] = "conversation_path"

    conversation_id: str
    path: str


@frozen(kw_only=True, slots=False)
class GetHistoryEntryResponse(EventMsg):
    """An entry of the prompt history."""

    tag: ClassVar[str] = "get_history_entry_response"

    offset: int
    log_id: int
    entry: Any = optional()


@frozen(kw_only=True, slots=False)
class ListCustomPromptsResponse(EventMsg):
    """The user's own prompts."""

    tag: ClassVar[str] = "list_custom_prompts_response"

    custom_prompts: Any


@frozen(kw_only=True, slots=False)
class PlanUpdate(EventMsg):
    """The agent's plan; each step has a status."""

    tag: ClassVar[str] = "plan_update"

    explanation: str | None = optional()
    plan: Any


@frozen(kw_only=True, slots=False)
class SessionConfigured(EventMsg):
    """The session is ready."""

    tag: ClassVar[str] = "session_configured"

    session_id: str
    model: str | None = optional()
    reasoning_effort: str | None = optional()
    history_log_id: int | None = optional()
    history_entry_count: int | None = optional()
    initial_messages: Any = optional()
    rollout_path: str | None = optional()


@frozen(kw_only=True, slots=False)
class ShutdownComplete(EventMsg):
    """The agent has ended."""

    tag: ClassVar[str] = "shutdown_complete"


@frozen(kw_only=True, slots=False)
class WarningEvent(EventMsg):
    """A warning for the user; the agent goes on."""

    tag: ClassVar[str] = "warning"

    message: str


@frozen(kw_only=True, slots=False)
class StreamError(EventMsg):
    """The connection was lost; Codex tries again."""

    tag: ClassVar[str] = "stream_error"

    message: str
