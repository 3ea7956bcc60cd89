"""
Events of tools: a command, patch, search or other agent begins, asks for approval, continues, ends.

By default, no version records any of these events except end events; older versions truncated them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import frozen

from rollout.schema._wire import Wire, nullable, optional
from rollout.schema.events import EventMsg

__all__ = [
    "ApplyPatchApprovalRequest",
    "CollabAgentInteractionEnd",
    "CollabAgentSpawnEnd",
    "CollabCloseEnd",
    "CollabResumeEnd",
    "CollabWaitingEnd",
    "DynamicToolCallRequest",
    "DynamicToolCallResponse",
    "ExecApprovalRequest",
    "ExecCommandBegin",
    "ExecCommandEnd",
    "ExecCommandOutputDelta",
    "GuardianAssessment",
    "ImageGenerationEnd",
    "McpInvocation",
    "McpListToolsResponse",
    "McpToolCallBegin",
    "McpToolCallEnd",
    "PatchApplyBegin",
    "PatchApplyEnd",
    "SubAgentActivity",
    "TurnDiff",
    "UndoCompleted",
    "ViewImageToolCall",
    "WebSearchBegin",
    "WebSearchEnd",
]


@frozen(kw_only=True, slots=False)
class McpInvocation(Wire):
    """The tool and the MCP server of a call."""

    server: str
    tool: str
    arguments: Any = nullable()


@frozen(kw_only=True, slots=False)
class ApplyPatchApprovalRequest(EventMsg):
    """A request for approval of a patch."""

    tag: ClassVar[str] = "apply_patch_approval_request"

    call_id: str
    changes: Any = optional()
    reason: str | None = optional()
    grant_root: str | None = optional()


@frozen(kw_only=True, slots=False)
class CollabAgentInteractionEnd(EventMsg):
    """A message was sent to another agent."""

    tag: ClassVar[str] = "collab_agent_interaction_end"

    call_id: str | None = optional()
    completed_at_ms: Any = optional()
    sender_thread_id: str | None = optional()
    receiver_thread_id: str | None = optional()
    receiver_agent_nickname: str | None = optional()
    receiver_agent_role: str | None = optional()
    prompt: str | None = optional()
    status: Any = optional()


@frozen(kw_only=True, slots=False)
class CollabAgentSpawnEnd(EventMsg):
    """This agent has started another agent."""

    tag: ClassVar[str] = "collab_agent_spawn_end"

    call_id: str | None = optional()
    completed_at_ms: Any = optional()
    sender_thread_id: str | None = optional()
    new_thread_id: str | None = optional()
    new_agent_nickname: str | None = optional()
    new_agent_role: str | None = optional()
    prompt: str | None = optional()
    model: str | None = optional()
    reasoning_effort: Any = optional()
    status: Any = optional()


@frozen(kw_only=True, slots=False)
class CollabCloseEnd(EventMsg):
    """An agent was closed."""

    tag: ClassVar[str] = "collab_close_end"

    call_id: str | None = optional()
    completed_at_ms: Any = optional()
    sender_thread_id: str | None = optional()
    receiver_thread_id: str | None = optional()
    receiver_agent_nickname: str | None = optional()
    receiver_agent_role: str | None = optional()
    status: Any = optional()


@frozen(kw_only=True, slots=False)
class CollabResumeEnd(EventMsg):
    """A closed agent was started again."""

    tag: ClassVar[str] = "collab_resume_end"

    call_id: str | None = optional()
    completed_at_ms: Any = optional()
    sender_thread_id: str | None = optional()
    receiver_thread_id: str | None = optional()
    receiver_agent_nickname: str | None = optional()
    receiver_agent_role: str | None = optional()
    status: Any = optional()


@frozen(kw_only=True, slots=False)
class CollabWaitingEnd(EventMsg):
    """Waiting for other agents ended."""

    tag: ClassVar[str] = "collab_waiting_end"

    call_id: str | None = optional()
    completed_at_ms: Any = optional()
    sender_thread_id: str | None = optional()
    agent_statuses: Any = optional()
    statuses: Any = optional()


@frozen(kw_only=True, slots=False)
class DynamicToolCallRequest(EventMsg):
    """A tool of the client is called."""

    tag: ClassVar[str] = "dynamic_tool_call_request"


@frozen(kw_only=True, slots=False)
class DynamicToolCallResponse(EventMsg):
    """A tool of the client answered."""

    tag: ClassVar[str] = "dynamic_tool_call_response"

    call_id: str | None = optional()
    turn_id: str | None = optional()
    completed_at_ms: Any = optional()
    namespace: str | None = optional()
    tool: str | None = optional()
    arguments: Any = optional()
    content_items: Any = optional()
    success: bool | None = optional()
    error: Any = optional()
    duration: Any = optional()


@frozen(kw_only=True, slots=False)
class ExecApprovalRequest(EventMsg):
    """A request for approval of a command."""

    tag: ClassVar[str] = "exec_approval_request"

    call_id: str
    command: Any = optional()
    cwd: str | None = optional()
    reason: str | None = optional()


@frozen(kw_only=True, slots=False)
class ExecCommandBegin(EventMsg):
    """A command starts."""

    tag: ClassVar[str] = "exec_command_begin"

    call_id: str
    command: Any = optional()
    cwd: str | None = optional()
    parsed_cmd: Any = optional()


@frozen(kw_only=True, slots=False)
class ExecCommandEnd(EventMsg):
    """A command ended. *aggregated_output* may be truncated in the middle to 10,000 bytes, other outputs emptied."""

    tag: ClassVar[str] = "exec_command_end"

    call_id: str
    process_id: str | None = optional()
    turn_id: str | None = optional()
    command: Any = optional()
    cwd: str | None = optional()
    parsed_cmd: Any = optional()
    source: Any = optional()
    interaction_input: Any = optional()
    stdout: str | None = optional()
    stderr: str | None = optional()
    aggregated_output: str | None = optional()
    exit_code: int | None = optional()
    duration: Any = optional()
    formatted_output: str | None = optional()
    status: Any = optional()
    completed_at_ms: Any = optional()
    plugin_id: str | None = optional()
    script_path: str | None = optional()


@frozen(kw_only=True, slots=False)
class ExecCommandOutputDelta(EventMsg):
    """A piece of a command's output; *chunk* is base64."""

    tag: ClassVar[str] = "exec_command_output_delta"

    call_id: str
    stream: str | None = optional()
    chunk: Any = optional()


@frozen(kw_only=True, slots=False)
class GuardianAssessment(EventMsg):
    """A risk assessment (removed from newer versions)."""

    tag: ClassVar[str] = "guardian_assessment"


@frozen(kw_only=True, slots=False)
class ImageGenerationEnd(EventMsg):
    """An image was made; *result* is base64."""

    tag: ClassVar[str] = "image_generation_end"

    call_id: str
    status: str | None = optional()
    revised_prompt: str | None = optional()
    result: str | None = optional()
    saved_path: str | None = optional()
    generation_id: str | None = optional()
    input_images: Any = optional()
    transparent_background: Any = optional()
    failure: Any = optional()


@frozen(kw_only=True, slots=False)
class McpListToolsResponse(EventMsg):
    """The tools of all MCP servers."""

    tag: ClassVar[str] = "mcp_list_tools_response"

    tools: Any


@frozen(kw_only=True, slots=False)
class McpToolCallBegin(EventMsg):
    """An MCP tool is called."""

    tag: ClassVar[str] = "mcp_tool_call_begin"

    call_id: str
    invocation: McpInvocation


@frozen(kw_only=True, slots=False)
class McpToolCallEnd(EventMsg):
    """An MCP tool answered. *result*: {"Ok": ...} or {"Err": text}."""

    tag: ClassVar[str] = "mcp_tool_call_end"

    call_id: str
    turn_id: str | None = optional()
    invocation: McpInvocation
    app_name: str | None = optional()
    action_name: str | None = optional()
    connector_id: str | None = optional()
    link_id: str | None = optional()
    plugin_id: str | None = optional()
    mcp_app_resource_uri: str | None = optional()
    mcp_app_ui: Any = optional()
    read_only_hint: bool | None = optional()
    duration: Any = optional()
    result: Any = optional()


@frozen(kw_only=True, slots=False)
class PatchApplyBegin(EventMsg):
    """A patch is about to be applied."""

    tag: ClassVar[str] = "patch_apply_begin"

    call_id: str
    auto_approved: bool | None = optional()
    changes: Any = optional()


@frozen(kw_only=True, slots=False)
class PatchApplyEnd(EventMsg):
    """An attempt to apply a patch ended. *changes*: path -> {type: add, delete or update, ...}."""

    tag: ClassVar[str] = "patch_apply_end"

    call_id: str
    turn_id: str | None = optional()
    stdout: str | None = optional()
    stderr: str | None = optional()
    success: bool
    changes: Any = optional()
    status: Any = optional()


@frozen(kw_only=True, slots=False)
class SubAgentActivity(EventMsg):
    """An activity of an agent that this agent has started."""

    tag: ClassVar[str] = "sub_agent_activity"

    event_id: str | None = optional()
    occurred_at_ms: Any = optional()
    agent_thread_id: str | None = optional()
    agent_path: str | None = optional()
    kind: Any = optional()
    model: str | None = optional()
    reasoning_effort: Any = optional()


@frozen(kw_only=True, slots=False)
class TurnDiff(EventMsg):
    """All changes of the turn as one diff."""

    tag: ClassVar[str] = "turn_diff"

    unified_diff: str


@frozen(kw_only=True, slots=False)
class UndoCompleted(EventMsg):
    """The last turn's changes were undone."""

    tag: ClassVar[str] = "undo_completed"

    success: bool | None = optional()
    message: str | None = optional()


@frozen(kw_only=True, slots=False)
class ViewImageToolCall(EventMsg):
    """The agent looked at an image."""

    tag: ClassVar[str] = "view_image_tool_call"

    call_id: str
    path: str | None = optional()


@frozen(kw_only=True, slots=False)
class WebSearchBegin(EventMsg):
    """A web search starts."""

    tag: ClassVar[str] = "web_search_begin"

    call_id: str


@frozen(kw_only=True, slots=False)
class WebSearchEnd(EventMsg):
    """A web search ended."""

    tag: ClassVar[str] = "web_search_end"

    call_id: str
    query: str
    action: Any = optional()
    results: Any = optional()
