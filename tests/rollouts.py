"""
Small rollouts in the forms that the versions of Codex wrote, and the prompts of a rollout.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rollout import load_history
from rollout.codec import encode_item, encode_json

ID = "01a1fbb5-7abd-7c53-8766-f128212a613b"
TURN_ID = "01a1fbb5-7ad4-76d0-a532-df9d735e9862"
TIME_MS = 1_795_224_337_122
GIT = {"commit_hash": "be2a9a36c5c57141a624d780bfb26eab219d1c6d", "branch": "master"}

Line = tuple[str, dict[str, Any]]


def meta(session_id: str = ID, **fields: Any) -> Line:
    own = {"id": session_id, "timestamp": "2026-11-21T01:25:37.094Z", "cwd": "/home/dev/demo", "originator": "codex"}
    return "session_meta", {**own, "cli_version": "0.36.0", "instructions": None, **fields}


def message(role: str, text: Any) -> Line:
    kind = "output_text" if role == "assistant" else "input_text"
    return item("message", role=role, content=[{"type": kind, "text": text}])


def event(kind: str, /, **fields: Any) -> Line:
    return "event_msg", {"type": kind, **fields}


def item(kind: str, /, **fields: Any) -> Line:
    return "response_item", {"type": kind, **fields}


def user_item(text: Any) -> dict[str, Any]:
    """
    Return a message of the user as recorders take it; *text* may be of any type.
    """
    return message("user", text)[1]


def token_count(usage: dict[str, int], **fields: Any) -> Line:
    """
    Return the event with the usage of a session's first request.
    """
    return event("token_count", info={"total_token_usage": usage, "last_token_usage": usage}, **fields)


def surroundings(cwd: str = "/home/dev/demo") -> Line:
    return message("user", f"<environment_context>\n  <cwd>{cwd}</cwd>\n</environment_context>")


def prompt(text: str) -> list[Line]:
    return [message("user", text), event("user_message", message=text, kind="plain")]


def answer(text: str) -> list[Line]:
    return [event("agent_message", message=text), message("assistant", text)]


def seed_session(*prompts: str, session_id: str = ID) -> list[Line]:
    """
    Return the lines of a session as 0.36.0 and 0.42.0 write them.
    """
    lines = [meta(session_id, git=GIT), surroundings()]
    for text in prompts:
        lines += [*prompt(text), *answer(f"answer to {text}")]
    return lines


def paginated_session(*prompts: str) -> list[Line]:
    """
    Return the lines of a session as 0.169.0 writes them: without user_message events, each turn between task_started
    and task_complete.
    """
    lines = [meta(session_id=ID, cli_version="0.169.0", history_mode="paginated", source="exec")]
    for number, text in enumerate(prompts):
        turn_id = f"{TURN_ID[:-1]}{number}"
        user = {"type": "UserMessage", "id": "u", "content": [{"type": "text", "text": text, "text_elements": []}]}
        lines += [
            event("task_started", turn_id=turn_id, started_at=1, model_context_window=258400),
            message("developer", "orders"),
            surroundings(),
            ("world_state", {"full": True, "state": {}}),
            message("user", text),
            event("item_completed", thread_id=ID, turn_id=turn_id, item=user),
            message("assistant", f"answer to {text}"),
            event("task_complete", turn_id=turn_id, last_agent_message=f"answer to {text}"),
        ]
    return lines


def bare_session(*prompts: str, cwd: str | None = "/home/dev/demo") -> bytes:
    """
    Return the bytes of a session as versions before 0.32 write them: payloads without an envelope.
    """
    values: list[Any] = [{"id": ID, "timestamp": "2026-11-21T01:25:10.660Z", "instructions": None, "git": GIT}]
    messages = [surroundings(cwd)] if cwd else []
    messages += [
        line for text in prompts for line in (message("user", text), message("assistant", f"answer to {text}"))
    ]
    for _, payload in messages:
        values += [{"record_type": "state"}, payload]
    return b"".join(encode_json(value).encode() + b"\n" for value in values)


def encode(lines: list[Line], *, first_ordinal: int | None = None) -> bytes:
    ordinals = [None if first_ordinal is None else first_ordinal + n for n in range(len(lines))]
    return b"".join(
        encode_item(kind, payload, time_ms=TIME_MS, ordinal=n)
        for (kind, payload), n in zip(lines, ordinals, strict=True)
    )


def put(
    home: Path,
    data: bytes | list[Line],
    *,
    session_id: str = ID,
    timestamp: str = "2026-11-21T01-25-37",
    day: str | None = None,
    folder: Path | None = None,
    suffix: str = "",
) -> Path:
    """
    Write a rollout into a home and return its path. Its folder is by default that of the day in *timestamp*.
    """
    day = timestamp[:10] if day is None else day
    folder = folder or home.joinpath("sessions", *day.split("-"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"rollout-{timestamp}-{session_id}.jsonl{suffix}"
    path.write_bytes(data if isinstance(data, bytes) else encode(data))
    return path


def prompts_of(path: Path) -> list[str | None]:
    """
    Return the prompts of the turns of a rollout.
    """
    return [turn.prompt for turn in load_history(path).turns]
