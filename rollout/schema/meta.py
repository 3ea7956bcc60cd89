"""
Lines about the session itself: its meta, the settings of a turn, compaction, and newer lines with state.
"""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import field, frozen

from rollout.schema._wire import RolloutItem, Wire, nullable, optional

__all__ = [
    "Compacted",
    "DynamicToolsUpdated",
    "ForkReference",
    "GitInfo",
    "HistoryBase",
    "InterAgentCommunication",
    "InterAgentCommunicationMetadata",
    "RealtimeItem",
    "RetainedContext",
    "RolloutReference",
    "SandboxPolicy",
    "SecurityRiskScore",
    "SessionMeta",
    "StateMarker",
    "TurnContext",
    "UnknownItem",
    "WorldState",
]


@frozen(kw_only=True, slots=False)
class GitInfo(Wire):
    """The state of the working folder's repository when the session began."""

    commit_hash: str | None = optional()
    branch: str | None = optional()
    repository_url: str | None = optional()


@frozen(kw_only=True, slots=False)
class HistoryBase(Wire):
    """The origin of a forked session's history; *thread_id* is the id of the rollout."""

    thread_id: str
    end_ordinal_exclusive: int | None = optional()
    end_byte_offset: int | None = optional()


@frozen(kw_only=True, slots=False)
class SessionMeta(RolloutItem):
    """
    The first line of a session; if a file has several, the first is the session's.

    September 2025 wrote id, timestamp, cwd, originator, cli_version, instructions, git. Files before
    0.32 have neither cwd nor originator nor cli_version.
    """

    line_type: ClassVar[str] = "session_meta"

    session_id: str | None = optional()
    id: str
    forked_from_id: str | None = optional()
    forked_from_ordinal_exclusive: int | None = optional()
    parent_thread_id: str | None = optional()
    timestamp: str
    cwd: str | None = optional()
    originator: str | None = optional()
    cli_version: str | None = optional()
    instructions: str | None = nullable()
    source: Any = optional()
    thread_source: Any = optional()
    agent_nickname: str | None = optional()
    agent_role: str | None = optional()
    agent_path: str | None = optional()
    model_provider: str | None = optional()
    base_instructions: Any = optional()
    dynamic_tools: Any = optional()
    memory_mode: str | None = optional()
    selected_capability_roots: Any = optional()
    runtime_workspace_roots: Any = optional()
    account_scoped: Any = optional()
    history_mode: str | None = optional()
    history_base: HistoryBase | None = optional()
    subagent_history_start_ordinal: int | None = optional()
    multi_agent_version: Any = optional()
    context_window: Any = optional()
    git: GitInfo | None = optional()


@frozen(kw_only=True, slots=False)
class SandboxPolicy(Wire):
    """The permissions of a turn's commands. September 2025 tags it with *mode*, later versions with *type*."""

    mode: str | None = optional()
    type: str | None = optional()
    writable_roots: tuple[str, ...] | None = optional()
    network_access: Any = optional()
    exclude_tmpdir_env_var: bool | None = optional()
    exclude_slash_tmp: bool | None = optional()


@frozen(kw_only=True, slots=False)
class TurnContext(RolloutItem):
    """The settings of a turn. Later versions write it several times per turn: the last one is valid."""

    line_type: ClassVar[str] = "turn_context"

    turn_id: str | None = optional()
    root_turn_id: str | None = optional()
    cwd: str
    workspace_roots: Any = optional()
    current_date: str | None = optional()
    timezone: str | None = optional()
    approval_policy: Any
    approvals_reviewer: Any = optional()
    sandbox_policy: SandboxPolicy | None = optional()
    permission_profile: Any = optional()
    active_permission_profile: Any = optional()
    network: Any = optional()
    file_system_sandbox_policy: Any = optional()
    model: str
    comp_hash: str | None = optional()
    personality: str | None = optional()
    collaboration_mode: Any = optional()
    multi_agent_version: Any = optional()
    realtime_active: bool | None = optional()
    effort: str | None = optional()
    summary: Any = optional()
    user_instructions: str | None = optional()
    truncation_policy: Any = optional()
    disabled_plugin_ids: Any = optional()
    cyber_access_program: Any = optional()
    multi_agent_mode: Any = optional()


@frozen(kw_only=True, slots=False)
class Compacted(RolloutItem):
    """
    The history up to here was replaced by a summary, or by *replacement_history* if present.

    *window_id* was a number in older versions (then the window_number).
    """

    line_type: ClassVar[str] = "compacted"

    message: str
    replacement_history: Any = optional()
    replacement_history_metadata: Any = optional()
    guardian_history: Any = optional()
    retained_context: Any = optional()
    mcp_resource_origins: Any = optional()
    window_number: int | None = optional()
    first_window_id: str | None = optional()
    previous_window_id: str | None = optional()
    window_id: Any = optional()
    compaction_response_id: str | None = optional()
    latest_token_usage_record: Any = optional()
    resume_metadata: Any = optional()


@frozen(kw_only=True, slots=False)
class WorldState(RolloutItem):
    """The environment as shown to the model: a full snapshot, or a patch of the previous snapshot."""

    line_type: ClassVar[str] = "world_state"

    full: bool
    state: Any


@frozen(kw_only=True, slots=False)
class DynamicToolsUpdated(RolloutItem):
    """The tools of the client, from this line on (0.169.0)."""

    line_type: ClassVar[str] = "dynamic_tools_updated"

    thread_id: str | None = optional()
    tools: Any


@frozen(kw_only=True, slots=False)
class InterAgentCommunication(RolloutItem):
    """A message from one agent to others."""

    line_type: ClassVar[str] = "inter_agent_communication"

    id: str | None = optional()
    author: str
    recipient: str
    other_recipients: tuple[str, ...] | None = optional()
    content: Any
    encrypted_content: str | None = optional()
    trigger_turn: bool | None = optional()
    internal_chat_message_metadata_passthrough: Any = optional()


@frozen(kw_only=True, slots=False)
class InterAgentCommunicationMetadata(RolloutItem):
    """Information whether the previous message starts a turn."""

    line_type: ClassVar[str] = "inter_agent_communication_metadata"

    trigger_turn: bool


@frozen(kw_only=True, slots=False)
class SecurityRiskScore(RolloutItem):
    """Scores of a risk monitor. Not to be shown to the model or the user."""

    line_type: ClassVar[str] = "security_risk_score"

    scores: Any
    call_id: str | None = optional()
    action: Any = optional()
    sampled_at: Any = optional()


@frozen(kw_only=True, slots=False)
class RetainedContext(RolloutItem):
    """Evidence kept for later turns; its fields depend on its own ``type``."""

    line_type: ClassVar[str] = "retained_context"

    type: str


@frozen(kw_only=True, slots=False)
class RealtimeItem(RolloutItem):
    """A piece of a voice conversation."""

    line_type: ClassVar[str] = "realtime_item"

    id: str | None = optional()
    realtime_session_id: str | None = optional()
    type: str | None = optional()
    role: str | None = optional()
    text: str | None = optional()
    turn_id: str | None = optional()
    item_id: str | None = optional()
    outcome: Any = optional()
    presentation: Any = optional()


@frozen(kw_only=True, slots=False)
class RolloutReference(RolloutItem):
    """A reference to the file that the history continues (mid 2026; later `SessionMeta.history_base`)."""

    line_type: ClassVar[str] = "rollout_reference"


@frozen(kw_only=True, slots=False)
class ForkReference(RolloutItem):
    """A reference to the session that this one was forked from (mid 2026; later `SessionMeta.history_base`)."""

    line_type: ClassVar[str] = "fork_reference"


@frozen(kw_only=True, slots=False)
class StateMarker(RolloutItem):
    """The mark between requests in files before 0.32; it has no content."""

    line_type: ClassVar[str] = "state"

    record_type: str


@frozen(kw_only=True, slots=False)
class UnknownItem(RolloutItem):
    """
    A line of an unknown type, or a line whose payload does not match its type.

    *line_type* is the type of the line; *payload* is the plain value; *reason* is the reason why it matches no class.
    """

    is_unknown: ClassVar[bool] = True

    line_type: str  # type: ignore[misc]  # each item has its own
    payload: Any
    reason: str = field(default="", eq=False)
