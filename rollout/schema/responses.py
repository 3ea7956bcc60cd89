"""
Response items: the input and output of the model, in the form of the Responses API.

Codex of September 2025 never writes *id*; later versions write it if it exists. The *output* of a tool is a string in
all versions up to September 2025; later it may also be a list of content items.
"""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import field, frozen

from rollout.schema._wire import RolloutItem, Wire, nullable, optional

__all__ = [
    "AdditionalTools",
    "AgentMessageItem",
    "Compaction",
    "CompactionTrigger",
    "ConfigurationUpdate",
    "ContentItem",
    "ContextCompaction",
    "CustomToolCall",
    "CustomToolCallOutput",
    "EncryptedContent",
    "FunctionCall",
    "FunctionCallOutput",
    "GhostSnapshot",
    "ImageGenerationCall",
    "InputAudio",
    "InputImage",
    "InputText",
    "LocalShellAction",
    "LocalShellCall",
    "Message",
    "OutputText",
    "Reasoning",
    "ReasoningText",
    "ResponseItem",
    "SummaryText",
    "ToolSearchCall",
    "ToolSearchOutput",
    "UnknownContentItem",
    "UnknownResponseItem",
    "WebSearchAction",
    "WebSearchCall",
]


@frozen(kw_only=True, slots=False)
class ContentItem(Wire):
    """A part of a message."""


@frozen(kw_only=True, slots=False)
class InputText(ContentItem):
    """Text for the model."""

    tag: ClassVar[str] = "input_text"

    text: str


@frozen(kw_only=True, slots=False)
class InputImage(ContentItem):
    """An image for the model, by address, as a data URL, or as a *file_id*. *detail*: auto, low, high, original."""

    tag: ClassVar[str] = "input_image"

    image_url: str | None = optional()
    file_id: str | None = optional()
    detail: str | None = optional()


@frozen(kw_only=True, slots=False)
class InputAudio(ContentItem):
    """Audio for the model, by address or as a *file_id*."""

    tag: ClassVar[str] = "input_audio"

    audio_url: str | None = optional()
    file_id: str | None = optional()


@frozen(kw_only=True, slots=False)
class OutputText(ContentItem):
    """Text from the model."""

    tag: ClassVar[str] = "output_text"

    text: str
    annotations: Any = optional()
    logprobs: Any = optional()


@frozen(kw_only=True, slots=False)
class EncryptedContent(ContentItem):
    """Content that only the service can read."""

    tag: ClassVar[str] = "encrypted_content"

    encrypted_content: str


@frozen(kw_only=True, slots=False)
class SummaryText(ContentItem):
    """A paragraph of a reasoning summary."""

    tag: ClassVar[str] = "summary_text"

    text: str


@frozen(kw_only=True, slots=False)
class ReasoningText(ContentItem):
    """Raw reasoning."""

    tag: ClassVar[str] = "reasoning_text"
    aliases: ClassVar[tuple[str, ...]] = ("text",)

    text: str


@frozen(kw_only=True, slots=False)
class UnknownContentItem(ContentItem):
    """
    An unknown content item.

    *payload* is the plain value; *reason* is the reason why it matches no class.
    """

    is_unknown: ClassVar[bool] = True

    payload: Any
    reason: str = field(default="", eq=False)


@frozen(kw_only=True, slots=False)
class ResponseItem(RolloutItem):
    """
    One item of the conversation with the model.

    *internal_chat_message_metadata_passthrough* (mid 2026) carries the turn_id.
    """

    line_type: ClassVar[str] = "response_item"

    internal_chat_message_metadata_passthrough: Any = optional()


@frozen(kw_only=True, slots=False)
class UnknownResponseItem(ResponseItem):
    """
    A response item that this package does not know. The default policy does not record it.

    *payload* is the plain value; *reason* is the reason why it matches no class.
    """

    is_unknown: ClassVar[bool] = True

    payload: Any
    reason: str = field(default="", eq=False)


@frozen(kw_only=True, slots=False)
class Message(ResponseItem):
    """A message. *role*: user, assistant, developer, system; *phase*: commentary or final_answer."""

    tag: ClassVar[str] = "message"

    id: str | None = optional()
    role: str
    author: str | None = optional()
    content: tuple[ContentItem, ...]
    status: str | None = optional()
    encrypted_content: str | None = optional()
    phase: str | None = optional()


@frozen(kw_only=True, slots=False)
class Reasoning(ResponseItem):
    """The reasoning of the model."""

    tag: ClassVar[str] = "reasoning"

    id: str | None = optional()
    summary: tuple[ContentItem, ...]
    content: tuple[ContentItem, ...] | None = nullable()
    encrypted_content: str | None = nullable()


@frozen(kw_only=True, slots=False)
class LocalShellAction(Wire):
    """The command of a local shell call. *timeout_ms*: milliseconds."""

    tag: ClassVar[str] = "exec"

    command: tuple[str, ...]
    timeout_ms: int | None = nullable()
    working_directory: str | None = nullable()
    env: Any = nullable()
    user: str | None = nullable()


@frozen(kw_only=True, slots=False)
class LocalShellCall(ResponseItem):
    """A command of the built-in shell tool. *status*: completed, in_progress, incomplete."""

    tag: ClassVar[str] = "local_shell_call"

    id: str | None = optional()
    call_id: str | None = nullable()
    status: str
    action: LocalShellAction
    encrypted_content: str | None = optional()


@frozen(kw_only=True, slots=False)
class FunctionCall(ResponseItem):
    """A tool call; *arguments* is a string that contains JSON."""

    tag: ClassVar[str] = "function_call"

    id: str | None = optional()
    name: str
    namespace: str | None = optional()
    arguments: str
    call_id: str
    status: str | None = optional()
    encrypted_content: str | None = optional()
    encrypted_function_args: Any = optional()


@frozen(kw_only=True, slots=False)
class FunctionCallOutput(ResponseItem):
    """
    The output of a tool: a string, or a list of content items; kept as it is.

    An output of no call has no *call_id* but a *name*: Codex 0.169.0 tells the model so that a goal was set.
    """

    tag: ClassVar[str] = "function_call_output"

    id: str | None = optional()
    call_id: str | None = optional()
    name: str | None = optional()
    namespace: str | None = optional()
    output: Any


@frozen(kw_only=True, slots=False)
class CustomToolCall(ResponseItem):
    """A call of a tool with free text as input, such as apply_patch."""

    tag: ClassVar[str] = "custom_tool_call"

    id: str | None = optional()
    status: str | None = optional()
    call_id: str
    name: str
    namespace: str | None = optional()
    input: str
    encrypted_content: str | None = optional()


@frozen(kw_only=True, slots=False)
class CustomToolCallOutput(ResponseItem):
    """The output of a custom tool."""

    tag: ClassVar[str] = "custom_tool_call_output"

    id: str | None = optional()
    call_id: str
    name: str | None = optional()
    output: Any


@frozen(kw_only=True, slots=False)
class WebSearchAction(Wire):
    """The action of a web search. *type*: search (query), open_page (url), find_in_page (url, pattern), other."""

    type: str
    query: str | None = optional()
    queries: Any = optional()
    url: str | None = optional()
    pattern: str | None = optional()


@frozen(kw_only=True, slots=False)
class WebSearchCall(ResponseItem):
    """A call of the web search tool of the service."""

    tag: ClassVar[str] = "web_search_call"

    id: str | None = optional()
    status: str | None = optional()
    action: WebSearchAction | None = optional()
    encrypted_content: str | None = optional()


@frozen(kw_only=True, slots=False)
class GhostSnapshot(ResponseItem):
    """A commit that Codex made of the working folder (late 2025); no longer written, and never sent to a model."""

    tag: ClassVar[str] = "ghost_snapshot"

    ghost_commit: Any


@frozen(kw_only=True, slots=False)
class Compaction(ResponseItem):
    """A summary that only the service can read."""

    tag: ClassVar[str] = "compaction"
    aliases: ClassVar[tuple[str, ...]] = ("compaction_summary",)

    id: str | None = optional()
    encrypted_content: str


@frozen(kw_only=True, slots=False)
class ContextCompaction(ResponseItem):
    """Marks where the service compacted the context."""

    tag: ClassVar[str] = "context_compaction"

    id: str | None = optional()
    encrypted_content: str | None = optional()


@frozen(kw_only=True, slots=False)
class CompactionTrigger(ResponseItem):
    """A request to compact the context; Codex never records it."""

    tag: ClassVar[str] = "compaction_trigger"

    id: str | None = optional()


@frozen(kw_only=True, slots=False)
class ConfigurationUpdate(ResponseItem):
    """A change of the model's settings within the conversation (0.169.0)."""

    tag: ClassVar[str] = "configuration_update"

    reasoning: Any = optional()


@frozen(kw_only=True, slots=False)
class AdditionalTools(ResponseItem):
    """Tools that were offered later; recorded since 0.169.0."""

    tag: ClassVar[str] = "additional_tools"

    id: str | None = optional()
    role: str
    tools: Any


@frozen(kw_only=True, slots=False)
class AgentMessageItem(ResponseItem):
    """A message between agents (the item; the event of this name is `events.AgentMessage`)."""

    tag: ClassVar[str] = "agent_message"

    id: str | None = optional()
    author: str
    recipient: str
    content: tuple[ContentItem, ...]


@frozen(kw_only=True, slots=False)
class ToolSearchCall(ResponseItem):
    """A search for tools by the model."""

    tag: ClassVar[str] = "tool_search_call"

    id: str | None = optional()
    call_id: str | None = nullable()
    status: str | None = optional()
    execution: Any
    arguments: Any
    encrypted_content: str | None = optional()


@frozen(kw_only=True, slots=False)
class ToolSearchOutput(ResponseItem):
    """The tools that a search found."""

    tag: ClassVar[str] = "tool_search_output"

    id: str | None = optional()
    call_id: str | None = nullable()
    status: Any
    execution: Any
    tools: Any


@frozen(kw_only=True, slots=False)
class ImageGenerationCall(ResponseItem):
    """An image that the model made; *result* is base64."""

    tag: ClassVar[str] = "image_generation_call"

    id: str | None = optional()
    status: str
    revised_prompt: str | None = optional()
    result: str
    encrypted_content: str | None = optional()
