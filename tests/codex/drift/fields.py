"""
Ask a Codex which types of lines and which fields it knows, by the errors with which it refuses lines.

A line with an unknown type is refused with the list of the known ones. A line with a field of the wrong type is refused
only if Codex knows the field. So words from everywhere are added to lines that Codex has recorded: from the schema of
this package, from the recorded lines, and from the types of the app server. Not found are fields of any type, and of
numbers with a fraction.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
from agent_session import record
from driver import Codex
from reading import Finding

from rollout import load_history, schema
from rollout.codec import RolloutLine
from rollout.interpret import Interpreter, Unknown
from rollout.schema import LINE_TYPES, EventMsg, Wire

Line = dict[str, Any]
PLACES = ("line", "event_msg", "item_completed")

# No field of a line has this type.
_WRONG = 12.5
_GROUP = 25
_THREAD = "01a1fbb5-7abd-7c53-8766-f128212a613b"
_ERROR = re.compile(r"line_ordinal=Some\((\d+)\) error=(.*)$")
_KNOWN = re.compile(r"unknown variant `zzz`, expected one of (.*?)(?: at line|$)")
_COLORS = re.compile(r"\x1b\[[0-9;]*m")
_CALL = {"call_id": "c", "sender_thread_id": _THREAD, "status": "running"}
_RECEIVED = {**_CALL, "receiver_thread_id": _THREAD}
_NO_TIME = {"secs": 0, "nanos": 0}
# Events with which Codex 0.169.0 reads sessions of other versions, and which the scenario does not record.
_READ_ONLY: dict[str, dict[str, Any]] = {
    "collab_agent_spawn_end": {**_CALL, "prompt": "p", "model": "m", "reasoning_effort": "low"},
    "collab_agent_interaction_end": {**_RECEIVED, "prompt": "p"},
    "collab_resume_end": _RECEIVED,
    "collab_close_end": _RECEIVED,
    "collab_waiting_end": {"call_id": "c", "sender_thread_id": _THREAD, "statuses": {}},
    "sub_agent_activity": {
        "event_id": "e", "occurred_at_ms": 1, "agent_thread_id": _THREAD, "agent_path": "/root/a", "kind": "started",
    },
    "dynamic_tool_call_response": {
        "call_id": "c", "turn_id": "t", "tool": "t", "arguments": {}, "content_items": [], "success": True,
        "duration": _NO_TIME,
    },
    "exec_command_end": {
        "call_id": "c", "turn_id": "t", "command": [], "cwd": "file:///", "parsed_cmd": [], "stdout": "",
        "stderr": "", "exit_code": 0, "duration": _NO_TIME, "formatted_output": "", "status": "completed",
        "source": "agent",
    },
    "mcp_tool_call_end": {
        "call_id": "c", "invocation": {"server": "s", "tool": "t", "arguments": None}, "duration": _NO_TIME,
        "result": {"Ok": {"content": []}},
    },
    "image_generation_end": {"call_id": "c", "status": "s", "result": "r"},
    "view_image_tool_call": {"call_id": "c", "path": "file:///x"},
    "entered_review_mode": {"target": {"type": "uncommittedChanges"}},
    "exited_review_mode": {"review_output": None},
    "error": {"message": "m"},
    "warning": {"message": "m"},
    "thread_rolled_back": {"num_turns": 1},
}  # fmt: skip
# Events that Codex 0.169.0 knows but sends only to its clients: none has ever been seen in a file.
_UNRECORDED = frozenset({
    "agent_message_content_delta", "auth_recovery_completed", "auth_recovery_started",
    "collab_agent_interaction_begin", "collab_agent_spawn_begin", "collab_close_begin", "collab_resume_begin",
    "collab_waiting_begin", "deprecation_notice", "elicitation_abandoned", "elicitation_request",
    "environment_connected", "environment_disconnected", "guardian_warning", "hook_completed", "hook_started",
    "image_generation_begin", "item_started", "mcp_startup_complete", "mcp_startup_update", "model_reroute",
    "model_verification", "patch_apply_updated", "plan_delta", "raw_response_completed", "raw_response_item",
    "realtime_conversation_closed", "realtime_conversation_list_voices_response", "realtime_conversation_realtime",
    "realtime_conversation_sdp", "realtime_conversation_started", "reasoning_content_delta",
    "reasoning_raw_content_delta", "request_permissions", "request_user_input", "safety_buffering",
    "terminal_interaction", "thread_queue_changed", "turn_moderation_metadata",
})  # fmt: skip


def unknown_names(codex: Codex, folder: Path) -> Iterator[Finding]:
    """
    Yield the types and fields that a Codex knows and this package does not.

    Args:
        codex: The Codex, with a home of its own.
        folder: Sessions that this Codex has recorded.
    """
    found = _refused(codex, [_with_type(place) for place in PLACES])
    if not found:
        yield Finding("not asked", "types and fields", "this version does not say which line it refuses")
        return
    yield from _unknown_types(found)
    unseen = {kind: {"type": "event_msg", "payload": {"type": kind, **own}} for kind, own in _READ_ONLY.items()}
    bases = {**unseen, **_recorded(folder)}
    # Another version may need other fields.
    unread = _refused(codex, list(bases.values()))
    bases = {name: line for number, (name, line) in enumerate(bases.items()) if number not in unread}
    words = sorted(_words(bases.values()) | _words_of_schema() | _words_of_server(codex))
    groups = [(name, words[start : start + _GROUP]) for name in bases for start in range(0, len(words), _GROUP)]
    refused = _refused(codex, [_with_words(bases[name], group) for name, group in groups])
    single = [(name, word) for number in refused for name, group in [groups[number]] for word in group]
    known = _refused(codex, [_with_words(bases[name], [word]) for name, word in single])
    for number in sorted(known):
        name, word = single[number]
        # An event without fields refuses every field.
        if "unit struct" not in known[number] and _is_unmodelled(bases[name], word):
            yield Finding("unmodelled", f"{name}.{word}", known[number][:100])


def _with_type(place: str) -> Line:
    if place == "line":
        return {"type": "zzz", "payload": {}}
    if place == "event_msg":
        return {"type": "event_msg", "payload": {"type": "zzz"}}
    item = {"type": "zzz", "id": "x"}
    payload = {"type": "item_completed", "thread_id": _THREAD, "turn_id": "t", "item": item, "completed_at_ms": 1}
    return {"type": "event_msg", "payload": payload}


def _unknown_types(found: Mapping[int, str]) -> Iterator[Finding]:
    events = {name for kind in _classes(EventMsg) for name in (kind.tag, *kind.aliases)}
    known = [LINE_TYPES.__contains__, (events | _UNRECORDED).__contains__, _is_known_item]
    for number, (place, is_known) in enumerate(zip(PLACES, known, strict=True)):
        listed = _KNOWN.search(found.get(number, ""))
        names = re.findall(r"`(\w+)`", listed[1]) if listed else []
        yield from (Finding("unknown", f"{name} in {place}") for name in names if not is_known(name))


def _is_known_item(name: str) -> bool:
    item = {**_with_type("item_completed")["payload"], "item": {"type": name, "id": "x"}}
    facts = Interpreter().feed(RolloutLine(timestamp=None, type="event_msg", payload=item))
    return not any(isinstance(fact, Unknown) for fact in facts)


def _classes(family: type[Wire]) -> list[type[Any]]:
    kinds = (getattr(schema, name) for name in schema.__all__)
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, family)]


def _recorded(folder: Path) -> dict[str, Line]:
    """
    Return one recorded line of each type.
    """
    found: dict[str, Line] = {}
    for path in sorted(folder.rglob("rollout-*.jsonl")):
        for line in load_history(path).lines:
            name = f"{line.type}/{line.payload['type']}" if "type" in line.payload else line.type
            if line.payload.get("type") != "item_completed":
                found.setdefault(name, {"type": line.type, "payload": line.payload})
    return found


def _with_words(line: Line, words: Iterable[str]) -> Line:
    payload = line["payload"]
    return {**line, "payload": {**payload, **{word: _WRONG for word in words if word not in payload}}}


def _is_unmodelled(line: Line, word: str) -> bool:
    item = RolloutLine(timestamp=None, type=line["type"], payload={**line["payload"], word: None}).item
    return word in item.extra


def _words(values: Iterable[Any]) -> set[str]:
    found: set[str] = set()
    for value in values:
        if isinstance(value, dict):
            found.update(key for key in value if re.fullmatch(r"[a-z][A-Za-z_]{1,59}", key))
            found |= _words(value.values())
        elif isinstance(value, (list, tuple)):
            found |= _words(value)
    return found


def _words_of_schema() -> set[str]:
    return {
        field.metadata.get("key") or field.name
        for kind in _classes(Wire)
        for field in attrs.fields(kind)
        if not field.name.startswith("_")
    }


def _words_of_server(codex: Codex) -> set[str]:
    """
    Return the names in the types of the app server, also in the spelling of files.
    """
    with TemporaryDirectory() as folder:
        command = [codex.binary, "app-server", "generate-json-schema", "--out", folder]
        subprocess.run(command, env=codex.env, capture_output=True, check=False, timeout=60)
        found = _words(json.loads(path.read_text()) for path in Path(folder).rglob("*.json"))
    return found | {re.sub(r"(?<!^)(?=[A-Z])", "_", word).lower() for word in found}


def _refused(codex: Codex, lines: list[Line]) -> dict[int, str]:
    """
    Return the lines that Codex refuses in a session, by number from 0, each with the error.
    """
    rec = record(codex, "paginated")
    assert rec.path is not None
    first = len(rec.path.read_bytes().splitlines())
    with rec.path.open("a") as file:
        for number, line in enumerate(lines):
            envelope = {"timestamp": "2026-11-27T10:00:00.000Z", "ordinal": first + number, **line}
            file.write(json.dumps(envelope) + "\n")
    found = {}
    for text in _log_of_resume(codex, rec.session_id).splitlines():
        error = _ERROR.search(_COLORS.sub("", text))
        if error and int(error[1]) >= first:
            found[int(error[1]) - first] = error[2].strip()
    return found


def _log_of_resume(codex: Codex, session_id: str) -> str:
    requests = [
        {"id": 0, "method": "initialize", "params": {"clientInfo": {"name": "drift", "version": "1"}}},
        {"method": "initialized"},
        {"id": 1, "method": "thread/resume", "params": {"threadId": session_id}},
    ]
    log = codex.home / "refused.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [codex.binary, "app-server"],
            env={**codex.env, "RUST_LOG": "codex_thread_store=warn,codex_rollout=trace,codex_state=off"},
            cwd=codex.cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.writelines(json.dumps({"jsonrpc": "2.0", **request}) + "\n" for request in requests)
            process.stdin.flush()
            for line in process.stdout:
                if json.loads(line).get("id") == 1:
                    break
            process.kill()
    return log.read_text()
