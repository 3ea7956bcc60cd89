"""
The end of a call, in the forms in which Codex shows it: an event of a legacy session, an item of a paginated one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from attrs import frozen

from rollout.codec import decode_json
from rollout.interpret import FileChange, changes_in

__all__ = ["CallEnd", "Item", "event", "joined_text"]

Item: TypeAlias = "dict[str, Any]"

_COMMAND_TOOLS = frozenset({"shell", "exec_command", "shell_command", "local_shell", "container.exec"})
_NANOS = 1_000_000_000


def event(kind: str, /, **fields: Any) -> Item:
    """
    Return an event as an item of `Recorder.record`.
    """
    return {"type": "event_msg", "payload": {"type": kind, **fields}}


def joined_text(content: Any) -> str:
    """
    Return the texts of a message's parts, each on a line of its own.
    """
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, (list, tuple)) else ()
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    return "\n".join(text for text in texts if isinstance(text, str))


@frozen
class CallEnd:
    """
    The end of a call.

    Args:
        call_id: Id of the call.
        name: Name of the tool.
        arguments: Arguments as in the call: JSON text, or the input of a custom tool.
        output: Output as it is recorded: text, or a list of content parts.
        text: The text in the output, without the header or the JSON object around the output of a command.
        is_failed: Whether the call failed.
        exit_code: Exit code of a command.
        seconds: Duration.
    """

    call_id: str
    name: str
    arguments: Any
    output: Any
    text: str
    is_failed: bool
    exit_code: int
    seconds: float

    def to_event(self, originator: str, turn_id: str | None) -> Item:
        """
        Return the event for a legacy session: the end of a patch, or of an MCP call.
        """
        patch = self._patch_fields()
        if patch is not None:
            # Codex 0.169.0 does not show a patch with the id of a turn of which it knows no beginning.
            turn = {"turn_id": turn_id} if turn_id else {}
            return event("patch_apply_end", call_id=self.call_id, **turn, success=not self.is_failed, **patch)
        server, tool = self._mcp_names(originator)
        invocation = {"server": server, "tool": tool, "arguments": _arguments_of(self.arguments)}
        result = {"Ok": self._mcp_result()}
        return event(
            "mcp_tool_call_end", call_id=self.call_id, invocation=invocation, duration=self._duration, result=result
        )

    def to_completed_item(self, originator: str, cwd: str) -> Item:
        """
        Return the item for a paginated session.
        """
        patch = self._patch_fields()
        if patch is not None:
            return {"type": "FileChange", "id": self.call_id, **patch}
        arguments = _arguments_of(self.arguments)
        ended: Item = {"id": self.call_id, "status": self._status, "duration": self._duration}
        command = _command_in(arguments) if self.name in _COMMAND_TOOLS else None
        if command is not None:
            return {
                "type": "CommandExecution",
                "command": command,
                # Codex 0.169.0 does not show a command whose folder is not a URL.
                "cwd": Path(cwd).as_uri(),
                "parsed_cmd": [{"type": "unknown", "cmd": command[-1]}],
                "source": "agent",
                "aggregated_output": self.text,
                "exit_code": self.exit_code,
                **ended,
            }
        if self.name.startswith("mcp__"):
            server, tool = self._mcp_names(originator)
            result = self._mcp_result()
            return {
                "type": "McpToolCall", "server": server, "tool": tool, "arguments": arguments, "result": result, **ended
            }  # fmt: skip
        return {
            "type": "DynamicToolCall",
            "tool": self.name,
            "arguments": arguments,
            "content_items": _content_items(self.output),
            "success": not self.is_failed,
            **ended,
        }

    @property
    def _status(self) -> str:
        return "failed" if self.is_failed else "completed"

    @property
    def _duration(self) -> Item:
        nanos = round(self.seconds * _NANOS)
        return {"secs": nanos // _NANOS, "nanos": nanos % _NANOS}

    def _patch_fields(self) -> Item | None:
        if self.name != "apply_patch":
            return None
        arguments = _arguments_of(self.arguments)
        text = arguments.get("input", arguments.get("patch")) if isinstance(arguments, dict) else None
        changes = changes_in(text) if isinstance(text, str) else ()
        if not changes:
            return None
        streams = {"stdout": "" if self.is_failed else self.text, "stderr": self.text if self.is_failed else ""}
        return {"changes": dict(map(_wire_change, changes)), "status": self._status, **streams}

    def _mcp_names(self, originator: str) -> tuple[str, str]:
        """
        Return the server and the tool of the tool's name: ``mcp__server__tool``, or a function of the program.
        """
        server, mark, tool = self.name.removeprefix("mcp__").partition("__")
        return (server, tool) if mark and self.name.startswith("mcp__") else (originator, self.name)

    def _mcp_result(self) -> Item:
        return {"content": [{"type": "text", "text": self.text}], "isError": self.is_failed}


def _arguments_of(value: Any) -> Any:
    """
    Return the arguments of a call as JSON values; text that is no JSON, as of a custom tool, is the argument ``input``.
    """
    if not isinstance(value, str):
        return value
    try:
        return decode_json(value)
    except ValueError:
        return {"input": value} if value else {}


def _command_in(arguments: Any) -> list[str] | None:
    value = arguments.get("command", arguments.get("cmd")) if isinstance(arguments, Mapping) else None
    if isinstance(value, str):
        return ["sh", "-c", value]
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        return value
    return None


def _content_items(output: Any) -> list[Item]:
    if not isinstance(output, list):
        return [{"type": "inputText", "text": joined_text(output)}]
    items: list[Item] = []
    for part in output:
        if isinstance(part, Mapping) and isinstance(part.get("image_url"), str):
            items.append({"type": "inputImage", "imageUrl": part["image_url"]})
        elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
            items.append({"type": "inputText", "text": part["text"]})
    return items


def _wire_change(change: FileChange) -> tuple[str, Item]:
    if change.kind == "update":
        return change.path, {"type": "update", "unified_diff": _with_hunks(change.diff), "move_path": change.moved_to}
    lines = [line[1:] for line in change.diff.split("\n")] if change.diff else []
    return change.path, {"type": change.kind, "content": "".join(f"{line}\n" for line in lines)}


def _with_hunks(diff: str) -> str:
    """
    Return the lines of a patch as a unified diff, which Codex parses: each hunk has a heading with numbers of lines.
    The true numbers are unknown; the hunks follow each other.
    """
    hunks: list[list[str]] = []
    for line in diff.split("\n"):
        if line.startswith("@@") or not hunks:
            hunks.append([])
        if not line.startswith("@@"):
            hunks[-1].append(line if line[:1] in ("+", "-", " ") else f" {line}")
    old = new = 1
    parts: list[str] = []
    for lines in filter(None, hunks):
        removed = sum(line[0] != "+" for line in lines)
        added = sum(line[0] != "-" for line in lines)
        parts += [f"@@ -{old},{removed} +{new},{added} @@", *lines]
        old, new = old + removed, new + added
    return "".join(f"{part}\n" for part in parts)
