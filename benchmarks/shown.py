"""
The sessions that bench_see.py shows: one of 50 MB, one of 50,000 items, and both in the format of Claude Code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import home as year
from data import meta, text

from rollout import load_history
from rollout.codec import encode_item, encode_json

_BEGAN_MS = 1_767_225_600_000
_STEPS = 8
_Line = tuple[str, dict[str, Any]]


def make_big(folder: Path, size: int) -> Path:
    """
    Make one session of *size* bytes as 0.169 writes it, with patches, commands, reasoning, and what they print.
    """
    year.make_home(folder, 20, big_size=size)
    session_id = json.loads((folder / "manifest.json").read_text())["big"][0]
    return next(folder.rglob(f"*{session_id}.jsonl"))


def make_many(path: Path, count: int) -> int:
    """
    Make one session of at least *count* items that a reader sees, as 0.36 writes it; return their number.
    """
    random_ = Random(6)
    turns = -(-count // (2 * _STEPS + 2))
    lines: list[_Line] = [("session_meta", meta("00000000-0000-7000-8000-000000000006"))]
    for number in range(turns):
        lines += _turn(random_, number)
    with path.open("wb") as file:
        for number, (kind, payload) in enumerate(lines):
            file.write(encode_item(kind, payload, time_ms=_BEGAN_MS + 700 * number))
    return turns * (2 * _STEPS + 2)


def _turn(random_: Random, number: int) -> Iterator[_Line]:
    said, answer = text(random_, 90), f"{text(random_, 150)}\n\n- `{text(random_, 30)}`\n- **{text(random_, 20)}**\n"
    yield from _both("user", said)
    for step in range(_STEPS):
        call_id = f"call_{number}_{step}"
        thought = [{"type": "summary_text", "text": text(random_, 100)}]
        given = encode_json({"command": ["bash", "-lc", f"rg {text(random_, 20)!r} src"]})
        code = int(random_.random() < 0.05)
        ended = {"output": text(random_, random_.randint(50, 600)), "metadata": {"exit_code": code}}
        yield "response_item", {"type": "reasoning", "summary": thought}
        yield "response_item", {"type": "function_call", "name": "shell", "arguments": given, "call_id": call_id}
        yield "response_item", {"type": "function_call_output", "call_id": call_id, "output": encode_json(ended)}
    yield from _both("assistant", answer)


def _both(role: str, said: str) -> Iterator[_Line]:
    kind, part = ("user_message", "input_text") if role == "user" else ("agent_message", "output_text")
    yield "event_msg", {"type": kind, "message": said}
    yield "response_item", {"type": "message", "role": role, "content": [{"type": part, "text": said}]}


def as_claude(source: Path, target: Path) -> int:
    """
    Write a session in the format of Claude Code, which some peers read: messages, reasoning, calls and outputs.
    """
    rows = list(_claude_rows(source))
    target.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return len(rows)


def _claude_rows(source: Path) -> Iterator[dict[str, Any]]:
    parent: str | None = None
    for number, (role, content, at) in enumerate(_claude_content(source)):
        own_id = f"00000000-0000-4000-8000-{number:012d}"
        message: dict[str, Any] = {"role": role, "content": content}
        if role == "assistant":
            used = {"input_tokens": 1, "output_tokens": 1}
            message |= {"id": f"msg_{number}", "type": "message", "model": "claude", "usage": used}
            message |= {"stop_reason": "end_turn", "stop_sequence": None}
        yield {"parentUuid": parent, "isSidechain": False, "userType": "external", "cwd": "/home/dev/demo",
               "sessionId": source.stem[-36:], "version": "2.0.0", "type": role, "message": message, "uuid": own_id,
               "timestamp": at}  # fmt: skip
        parent = own_id


def _claude_content(source: Path) -> Iterator[tuple[str, Any, str | None]]:
    document = load_history(source).document()
    for item in (item for turn in document.turns for item in turn.items):
        at = item.timestamp
        if item.kind == "user":
            yield "user", item.text, at
        elif item.kind == "agent":
            yield "assistant", [{"type": "text", "text": item.text}], at
        elif item.kind == "reasoning":
            yield "assistant", [{"type": "thinking", "thinking": item.text, "signature": ""}], at
        elif call := item.call:
            given = {"command": call.input, "description": call.tool}
            yield "assistant", [{"type": "tool_use", "id": f"t{item.key}", "name": "Bash", "input": given}], at
            answer = {"type": "tool_result", "tool_use_id": f"t{item.key}", "content": call.output or ""}
            yield "user", [answer | {"is_error": call.is_failed}], at
