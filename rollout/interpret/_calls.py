"""
The calls of a session: a call that several lines describe is one call.

The lines belong together by the call's id, then by the id of the completed item. A call whose line is between a script
of the model (code mode, since gpt-5.6) and the output of the script was made by the script.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32

from attrs import define

from rollout.interpret._outcomes import Outcome
from rollout.interpret._parts import dict_of, text_of
from rollout.interpret._state import from_plain, is_number_list, stored

__all__ = ["CALLS_MAX", "SCRIPT_TOOL", "CallState", "CallTracker", "call_kind", "key_of", "tool_of"]

# Maximum number of calls that are remembered; an output usually follows its call soon.
CALLS_MAX = 2000
# Number of lines for which a call is remembered after its output: its event may follow.
_CLOSED_LINES = 32
SCRIPT_TOOL = "exec"
_KINDS = {
    "shell": "command", "local_shell": "command", "exec_command": "command", "shell_command": "command",
    "write_stdin": "command", "unified_exec": "command", "user_shell": "command", "container.exec": "command",
    "apply_patch": "patch", "web_search": "web", "view_image": "image", "image_generation": "image",
    "update_plan": "plan", "spawn_agent": "agent", "send_input": "agent", "wait_agent": "agent",
    "close_agent": "agent", "followup_task": "agent", "send_message": "agent",
}  # fmt: skip


def tool_of(payload: Mapping[str, Any]) -> str:
    """
    Return the name of the tool in a call; if there is no name, the type of the call.

    A tool of an MCP server has the same name in each form: ``mcp__server__tool``.
    """
    kind = payload.get("type")
    name, namespace = payload.get("name"), payload.get("namespace")
    if isinstance(name, str) and name:
        if namespace is None:
            return name
        is_mcp = isinstance(namespace, str) and namespace.startswith("mcp__") and not name.startswith("mcp__")
        return f"{namespace.rstrip('_')}__{name}" if is_mcp else name
    if kind in ("patch_apply_begin", "patch_apply_end", "FileChange"):
        return "apply_patch"
    if kind in ("exec_command_begin", "exec_command_end", "CommandExecution"):
        return _command_tool(payload)
    if kind in ("mcp_tool_call_begin", "mcp_tool_call_end", "McpToolCall"):
        given = payload.get("invocation")
        given = given if isinstance(given, dict) else payload
        names = [text_of(given.get(key)) for key in ("server", "tool")]
        return "__".join(["mcp", *filter(None, names)]) if any(names) else "mcp"
    if kind == "DynamicToolCall":
        return text_of(payload.get("tool")) or "dynamic"
    if kind == "Extension":
        return text_of(payload.get("kind")) or "extension"
    return _TYPES.get(str(kind)) or str(kind).removesuffix("_call")


_TYPES = {
    "web_search_begin": "web_search", "web_search_end": "web_search", "WebSearch": "web_search",
    "view_image_tool_call": "view_image", "ImageView": "view_image",
    "image_generation_end": "image_generation", "ImageGeneration": "image_generation",
    "FunctionCallOutput": "",
}  # fmt: skip


def _command_tool(payload: Mapping[str, Any]) -> str:
    source = text_of(payload.get("source"))
    if source in ("user_shell", "userShell"):
        return "user_shell"
    return "exec_command" if source.startswith("unified_exec") else "shell"


def call_kind(tool: str, payload: Mapping[str, Any]) -> str:
    """
    Return the kind of a call, by its tool: see `rollout.interpret.CallBegan`.
    """
    if tool == SCRIPT_TOOL and payload.get("type") == "custom_tool_call":
        return "script"
    if tool.startswith("mcp__"):
        return "mcp"
    return "dynamic" if payload.get("type") == "DynamicToolCall" else _KINDS.get(tool, "function")


def key_of(payload: Mapping[str, Any]) -> str:
    """
    Return the id by which the lines of a call belong together; empty if the line has none.
    """
    key = payload.get("call_id")
    if type(key) is str and key:
        return key
    key = key or payload.get("id")
    if payload.get("type") in ("tool_search_call", "tool_search_output") and payload.get("call_id") is None:
        # A search on the server: the ids of the call and of its output differ.
        return "tool_search"
    return key if isinstance(key, str) else "" if key is None else str(key)


class CallState:
    """
    The facts known about a call so far.

    Attributes:
        index: Number of the call in the session.
        tool: Name of the tool.
        parent: Number of the call whose script made this call; None for a call of the model.
        is_called: Whether its response item was read.
        is_answered: Whether the response item with its output was read.
        is_settled: Whether the most trusted evidence has stated whether it failed.
        is_running: Whether its command goes on after its output.
        is_script: Whether it is a script, which may make calls.
        is_failed: Whether it failed, as far as is known.
        duration: Seconds that it took; None if unknown.
        exit_code: Exit code of the command; None if unknown.
        checksum: Checksum of its output; 0 without an output.
        number: Number of the last line about it.
    """

    # As attributes of the class, values that most calls keep need no time when a call is created.
    is_called = is_answered = is_settled = is_running = is_failed = is_script = False
    duration: float | None = None
    exit_code: int | None = None
    checksum = 0
    reason = ""

    def __init__(self, index: int, tool: str, parent: int | None, number: int) -> None:
        self.index, self.tool, self.parent, self.number = index, tool, parent, number

    def end(self, outcome: Outcome, *, is_item: bool) -> None:
        """
        Note the outcome that a line states.
        """
        if outcome.is_running:
            self.is_running = True
        elif not (is_item and self.is_settled):
            self.is_running = False
            # An output that says nothing about a failure is that of a successful call, unless an event said more.
            if outcome.is_failed is not None:
                self.is_failed, self.reason = outcome.is_failed, outcome.reason
                if not is_item:
                    self.is_settled = True
        if self.exit_code is None:
            self.exit_code = outcome.exit_code
        if self.duration is None and not outcome.is_running:
            self.duration = outcome.duration

    def is_repeated(self, text: str | None) -> bool:
        """
        Note an output, and return whether an earlier line has the same one.
        """
        if not text:
            return text is not None and self.checksum != 0
        checksum = crc32(text.strip().encode("utf-8", "surrogatepass")) or 1
        is_same, self.checksum = checksum == self.checksum, checksum
        return is_same


@define(eq=False, repr=False)
class CallTracker:
    """
    The calls that later lines may continue. All fields have plain forms, so an index can store them.
    """

    count: int = stored(0)
    # A tuple is a call of the model about which one line was read: number of the call, tool, number of the line. Until
    # a second line comes, it takes a third of the time of a `CallState`.
    calls: dict[str, CallState | tuple[int, str, int]] = stored(dict)
    # Numbers of the calls whose scripts run.
    scripts: list[int] = stored(list, check=is_number_list)

    def find(self, key: str, number: int) -> CallState | None:
        """
        Return the call with an id; None if it is not known, or ended many lines before the line with this number.
        """
        call = self.calls.get(key) if key else None
        if isinstance(call, tuple):
            call = self.calls[key] = _called(*call)
        return None if call is None or _is_closed(call, number) else call

    def begin(self, key: str, payload: Mapping[str, Any], number: int, *, is_item: bool) -> CallState:
        """
        Add a call.
        """
        tool = tool_of(payload)
        parent = None
        if self.scripts and not is_item and tool != "user_shell":
            parent = self.scripts[-1]
            # A script has no other tool for commands.
            tool = "exec_command" if tool == "shell" else tool
        call = CallState(self.count, tool, parent, number)
        self.count += 1
        if tool == SCRIPT_TOOL and payload.get("type") == "custom_tool_call":
            call.is_script = True
            self.scripts.append(call.index)
            del self.scripts[:-CALLS_MAX]
        if key:
            # The new call is the last one.
            self.calls.pop(key, None)
            self.calls[key] = call
            if len(self.calls) > CALLS_MAX:
                self.forget(number)
        return call

    def add(self, key: str, tool: str, number: int) -> int | None:
        """
        Add a call of the model that is no script, and return its number; None if its call is known from an event.
        """
        calls = self.calls
        known = calls.pop(key, None)
        if known is not None and not isinstance(known, tuple) and not known.is_called:
            calls[key] = known
            return None
        index = self.count
        self.count = index + 1
        calls[key] = (index, tool, number)
        if len(calls) > CALLS_MAX:
            self.forget(number)
        return index

    def answer(self, call: CallState, outcome: Outcome, number: int, *, is_item: bool) -> None:
        """
        Note the outcome of a call.
        """
        call.number = number
        call.end(outcome, is_item=is_item)
        if is_item:
            call.is_answered = True
            if self.scripts and not outcome.is_running:
                self._end_script(call, outcome)

    def _end_script(self, call: CallState, outcome: Outcome) -> None:
        if call.is_script:
            if call.index in self.scripts:
                self.scripts.remove(call.index)
        elif outcome.is_script:
            # The output of a call that waited for the script that was started last.
            self.scripts.pop()

    def forget(self, number: int) -> None:
        """
        Forget the calls that have ended, and the oldest others, down to half of the maximum.
        """
        known = [(key, call) for key, call in self.calls.items() if not _is_closed(call, number)]
        self.calls = dict(known[-CALLS_MAX // 2 :])

    def to_plain(self, number: int) -> dict[str, Any]:
        """
        Return the state as plain values.
        """
        calls = {
            key: _pack(_called(*call) if isinstance(call, tuple) else call)
            for key, call in self.calls.items()
            if not _is_closed(call, number)
        }
        return {"count": self.count, "calls": calls, "scripts": self.scripts}

    @classmethod
    def from_plain(cls, plain: Any) -> CallTracker:
        """
        Return the tracker of which `to_plain` returned the state.

        Raises:
            ValueError: The value is not such a state.
        """
        own = from_plain(cls, plain)
        own.calls = {key: _unpack(packed) for key, packed in dict_of(dict_of(plain).get("calls")).items()}
        return own


def _called(index: int, tool: str, number: int) -> CallState:
    call = CallState(index, tool, None, number)
    call.is_called = True
    return call


def _is_closed(call: CallState | tuple[int, str, int], number: int) -> bool:
    if isinstance(call, tuple):
        return False
    return call.is_answered and not call.is_running and number - call.number > _CLOSED_LINES


_FLAGS = ("is_called", "is_answered", "is_settled", "is_running", "is_failed", "is_script")
_NONE = type(None)
_PACKED: tuple[tuple[type, ...], ...] = (
    (int,), (str,), (int, _NONE), (int,), (int,), (int, float, _NONE), (int, _NONE), (int,), (str,)
)  # fmt: skip


def _pack(call: CallState) -> list[Any]:
    flags = sum(getattr(call, name) << place for place, name in enumerate(_FLAGS))
    return [
        call.index, call.tool, call.parent, call.number, flags, call.duration, call.exit_code,
        call.checksum, call.reason,
    ]  # fmt: skip


def _unpack(packed: Any) -> CallState:
    if type(packed) is not list or len(packed) != len(_PACKED) or not all(map(_is_of_kind, packed, _PACKED)):
        raise ValueError(f"not the state of a session: a call is {str(packed)[:80]}")
    index, tool, parent, number, flags, duration, exit_code, checksum, reason = packed
    call = CallState(index, tool, parent, number)
    for place, name in enumerate(_FLAGS):
        setattr(call, name, bool(flags >> place & 1))
    call.duration, call.exit_code, call.checksum, call.reason = duration, exit_code, checksum, reason
    return call


def _is_of_kind(value: Any, kinds: tuple[type, ...]) -> bool:
    return type(value) in kinds
