"""
Lines of calls and outputs, and documents made from lines.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rollout.codec import RolloutLine, decode_line, encode_item, encode_json
from rollout.document import Document, DocumentBuilder, Item, Turn
from rollout.interpret import FileChange
from tests.rollouts import TIME_MS, Line, event, item, meta

__all__ = [
    "CHANGES",
    "PATCH",
    "builder_of",
    "call",
    "command",
    "command_output",
    "completed",
    "decoded",
    "document_of",
    "items_of",
    "keys_of",
    "make_old",
    "output",
    "output_with_code",
    "script",
    "script_output",
    "texts_of",
]

PATCH = """*** Begin Patch
*** Update File: a.py
*** Move to: b.py
@@ def f
-old
+new
 same
*** End of File
*** Add File: c.txt
+hi
*** Delete File: d.txt
*** End Patch"""
CHANGES = (
    FileChange("a.py", "update", "@@ def f\n-old\n+new\n same", "b.py"),
    FileChange("c.txt", "add", "+hi"),
    FileChange("d.txt", "delete", ""),
)

# Seconds since 1970: 2026-11-18.
_OLD = 1_795_000_000


def call(tool: str, arguments: Any, call_id: str = "c1") -> Line:
    """
    Return a call of a tool; *arguments* are JSON text, or a value.
    """
    text = arguments if isinstance(arguments, str) else encode_json(arguments)
    return "response_item", {"type": "function_call", "name": tool, "arguments": text, "call_id": call_id}


def command(tool: str, text: str, call_id: str = "c1") -> Line:
    """
    Return a call of a shell with a command of one word.
    """
    return call(tool, {"command": [text]}, call_id)


def output(value: Any, call_id: str = "c1") -> Line:
    """
    Return the output of a call, as in the file.
    """
    return "response_item", {"type": "function_call_output", "call_id": call_id, "output": value}


def output_with_code(value: object, call_id: str = "c1", code: int = 0, *, seconds: float = 0.4) -> Line:
    """
    Return an output; a text with its exit code and duration, in the JSON of Codex 0.36.
    """
    if isinstance(value, str):
        value = encode_json({"output": value, "metadata": {"exit_code": code, "duration_seconds": seconds}})
    return output(value, call_id)


def command_output(text: str, call_id: str = "c1", *, code: int = 0) -> Line:
    """
    Return the output of a command with its exit code, in the text form of later versions of Codex.
    """
    return output(f"Exit code: {code}\nWall time: 0.1 seconds\nOutput:\n{text}", call_id)


def script(text: str, call_id: str = "s1") -> Line:
    """
    Return the call of a script of the model, as Codex writes in code mode.
    """
    return item("custom_tool_call", name="exec", input=text, call_id=call_id)


def script_output(state: str, *texts: str, call_id: str = "s1") -> Line:
    """
    Return the output of a script; *state* is completed, failed, running or terminated.
    """
    heads = [f"Script {state}\nWall time 0.5 seconds\nOutput:\n", *texts]
    parts = [{"type": "input_text", "text": text} for text in heads]
    return item("custom_tool_call_output", call_id=call_id, output=parts)


def completed(kind: str, /, **fields: Any) -> Line:
    """
    Return the event of a completed item.
    """
    return event("item_completed", item={"type": kind, **fields})


def decoded(line: Line) -> RolloutLine:
    """
    Return a line as it is read, without a time.
    """
    return RolloutLine(timestamp=None, type=line[0], payload=line[1])


def builder_of(lines: list[Line], *, step_ms: int = 1000) -> DocumentBuilder:
    """
    Return a builder with the lines of a session, each *step_ms* later than the one before.
    """
    builder = DocumentBuilder(Path("rollout.jsonl"))
    for number, (kind, payload) in enumerate(lines, 1):
        builder.add(decode_line(encode_item(kind, payload, time_ms=TIME_MS + number * step_ms)), number)
    return builder


def document_of(lines: list[Line], **kwargs: Any) -> Document:
    """
    Return the document of a session with these lines after its session_meta.
    """
    document = builder_of([meta(), *lines], **kwargs).document
    assert document is not None
    return document


def items_of(lines: list[Line], **kwargs: Any) -> list[Item]:
    """
    Return the items of such a document.
    """
    return [one for turn in document_of(lines, **kwargs).turns for one in turn.items]


def texts_of(items: list[Item]) -> list[tuple[str, str]]:
    """
    Return the kinds and texts of items.
    """
    return [(one.kind, one.text) for one in items]


def keys_of(turns: list[Turn]) -> list[str]:
    """
    Return the keys of all lines of turns, sorted.
    """
    of_items = [key for turn in turns for one in turn.items for key in one.lines]
    return sorted([*of_items, *(key for turn in turns for keys in turn.others.values() for key in keys)])


def make_old(path: Path) -> Path:
    """
    Set the modification time of a file to long ago, so that its session does not count as live.
    """
    os.utime(path, (_OLD, _OLD))
    return path
