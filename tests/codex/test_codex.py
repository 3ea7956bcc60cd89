"""
The real Codex and rollout read, list and resume each other's sessions.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from driver import Codex
from model import Model, assistant_message, function_call, reasoning, shell_call

from rollout import Recorder, SessionBusyError, codex_2025_policy, list_sessions, load_history, repair, verify
from rollout.codec import encode_item, encode_line
from rollout.schema._plain import snapshot

HOSTILE = "printf '\\033[31mred\\033[0m <script>alert(1)</script> \\0 \\200 caf\\303\\251 \\r\\n\\t'; exit 3"


def record_every_item(recorder: Recorder) -> None:
    recorder.turn_context(model="gpt-5-codex")
    recorder.user_message("ours: naïve ☃ / 🎉")
    recorder.reasoning("**Thinking** of it")
    call_id = recorder.tool_call("shell", {"command": ["ls"]})
    recorder.tool_output(call_id, "note.txt\n")
    recorder.agent_message("There is a note.")


def conversation(items: list[dict[str, Any]]) -> list[Any]:
    """
    Return the items without the additions of Codex: developer messages, environment contexts, ids.
    """
    kept = []
    for item in items:
        text = "".join(part.get("text", "") for part in item.get("content") or [] if item["type"] == "message")
        if item["type"] == "message" and (item["role"] == "developer" or text.startswith("<environment_context>")):
            continue
        kept.append({key: value for key, value in item.items() if key not in ("id", "status", "phase")})
    return kept


def sent_before(model: Model, prompt: str) -> list[Any]:
    """
    Return the items that the model received before a prompt.
    """
    request = next(r for r in model.received if prompt in json.dumps(r["input"][-1], ensure_ascii=False))
    return conversation(request["input"][:-1])


def without_nulls(items: list[Any]) -> list[Any]:
    return [{key: value for key, value in item.items() if value is not None} for item in items]


def assert_read_completely(path: Path) -> None:
    history = load_history(path)
    raw = path.read_bytes().splitlines()
    assert history.skipped == ()
    assert len(history.lines) == len(raw)
    for line, written in zip(history.lines, raw, strict=True):
        assert line.raw == written
        assert encode_line(line) == written + b"\n"
        assert "Unknown" not in repr(line.item)
        assert json.dumps(snapshot(line.item)) == json.dumps(line.payload)


class TestReading:
    def test_every_session_codex_records_is_read_completely_and_encodes_to_the_same_bytes(
        self, codex: Codex, model: Model
    ) -> None:
        tool, arguments = ("exec_command", {"cmd": HOSTILE}) if codex.version == "0.169.0" else (
            "shell", {"command": ["sh", "-c", HOSTILE]}
        )  # fmt: skip
        model.answers = [
            [reasoning("**Plan** naïve ☃"), function_call(tool, arguments, "call_1")],
            [shell_call("echo hello; seq 1 3000", "call_2")],
            [reasoning("done"), assistant_message("é 🎉 /")],
            [assistant_message("and on")],
        ]

        path = codex.record("first: naïve ☃ / 🎉")
        codex.resume(load_history(path).session_id, "second")

        assert_read_completely(path)
        history = load_history(path)
        assert [turn.prompt for turn in history.turns] == ["first: naïve ☃ / 🎉", "second"]
        assert history.session_id in path.name
        assert history.meta.cwd == str(codex.cwd)
        assert history.meta.cli_version == codex.version
        outputs = [item for item in history.to_input() if item["type"] == "function_call_output"]
        assert "\x1b[31mred" in outputs[0]["output"] or "\\u001b[31mred" in outputs[0]["output"]

    def test_the_policy_of_codex_2025_keeps_every_line_that_codex_of_that_time_writes(
        self, codex: Codex, model: Model
    ) -> None:
        model.answers = [[reasoning("plan"), shell_call("echo hello", "call_1")], [assistant_message("done")]]
        lines = load_history(codex.record("first")).lines
        dropped = {line.payload.get("type") for line in lines if not codex_2025_policy(line.type, line.payload)}

        if codex.version == "0.169.0":
            assert "task_started" in dropped
        else:
            assert dropped == set()

    def test_input_equals_the_input_codex_sends(self, codex: Codex, model: Model) -> None:
        model.answers = [[reasoning("plan"), shell_call("echo hello", "call_1")], [assistant_message("done")]]
        path = codex.record("first")
        ours = conversation(load_history(path).to_input())

        codex.resume(load_history(path).session_id, "and then?")

        assert without_nulls(sent_before(model, "and then?")) == without_nulls(ours)


class TestResuming:
    def test_codex_resumes_a_recorded_session_and_sends_all_of_it(self, codex: Codex, model: Model) -> None:
        with Recorder(home=codex.home, cwd=codex.cwd) as recorder:
            record_every_item(recorder)
        ours = conversation(load_history(recorder.path).to_input())

        codex.resume(recorder.session_id, "theirs")

        assert without_nulls(sent_before(model, "theirs")) == without_nulls(ours)
        assert [turn.prompt for turn in load_history(recorder.path).turns] == ["ours: naïve ☃ / 🎉", "theirs"]
        assert_read_completely(recorder.path)

    def test_codex_resumes_its_session_after_a_recorder_resumed_it(
        self, seed: Codex, start_codex: Callable[[str], Codex], model: Model
    ) -> None:
        path = seed.record("one")
        session_id = load_history(path).session_id

        with Recorder.resume(session_id, home=seed.home) as recorder:
            recorder.user_message("two")
            recorder.agent_message("two, indeed")
        seed.resume(session_id, "three")
        start_codex("0.169.0").resume(session_id, "four")

        assert [turn.prompt for turn in load_history(path).turns] == ["one", "two", "three", "four"]
        texts = json.dumps(sent_before(model, "three"))
        assert "two, indeed" in texts
        texts = json.dumps(sent_before(model, "four"))
        assert "two, indeed" in texts
        assert_read_completely(path)

    def test_resuming_a_current_session_continues_its_ordinals(self, current: Codex, model: Model) -> None:
        path = current.record("one")
        session_id = load_history(path).session_id

        with Recorder.resume(path) as recorder:
            recorder.user_message("two")
            recorder.agent_message("two, indeed")
        current.resume(session_id, "three")

        lines = load_history(path).lines
        assert [line.ordinal for line in lines] == list(range(len(lines)))
        assert "two, indeed" in json.dumps(sent_before(model, "three"))
        assert_read_completely(path)

    def test_codex_refuses_lines_without_ordinals_in_a_current_session(self, current: Codex) -> None:
        path = current.record("one")
        with path.open("ab") as file:
            file.write(encode_item("event_msg", {"type": "agent_message", "message": "x"}, time_ms=0))

        done = current.exec("resume", load_history(path).session_id, "two")

        assert done.returncode != 0

    def test_codex_resumes_a_torn_session_after_a_recorder_resumed_it(self, codex: Codex, model: Model) -> None:
        with Recorder(home=codex.home) as recorder:
            recorder.user_message("before")
        with recorder.path.open("ab") as file:
            file.write(b'{"timestamp":"2026-11-21T01:25:37.122Z","type":"resp')
        with Recorder.resume(recorder.path) as resumed:
            resumed.user_message("after")

        codex.resume(recorder.session_id, "theirs")

        texts = [part["text"] for item in sent_before(model, "theirs") for part in item["content"]]
        assert texts == ["before", "after"]


class TestShowing:
    def test_current_codex_lists_a_recorded_session_with_preview_folder_and_repository(
        self, current: Codex, project: Path
    ) -> None:
        git = ["git", "-c", "user.name=n", "-c", "user.email=n@example.com", "-C", str(project)]
        subprocess.run([*git, "init", "-qb", "trunk"], check=True)
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "m"], check=True)
        subprocess.run([*git, "remote", "add", "origin", "https://me:secret@example.com/x.git"], check=True)
        with Recorder(home=current.home, cwd=project) as recorder:
            record_every_item(recorder)

        with current.app_server() as server:
            (thread,) = server.call("thread/list", {"limit": 10})["data"]

        assert thread["id"] == recorder.session_id
        assert thread["path"] == str(recorder.path)
        assert thread["preview"] == "ours: naïve ☃ / 🎉"
        assert thread["cwd"] == str(project)
        assert thread["gitInfo"]["branch"] == "trunk"
        assert thread["gitInfo"]["originUrl"] == "https://example.com/x.git"
        assert len(thread["gitInfo"]["sha"]) == 40

    def test_current_codex_reads_the_turns_of_a_recorded_session(self, current: Codex) -> None:
        with Recorder(home=current.home, cwd=current.cwd) as recorder:
            record_every_item(recorder)
            recorder.user_message("again")
            recorder.agent_message("again, indeed")

        with current.app_server() as server:
            read = server.call("thread/read", {"threadId": recorder.session_id, "includeTurns": True})

        said = [
            [item.get("text") or item["content"][0]["text"] for item in turn["items"] if "Message" in item["type"]]
            for turn in read["thread"]["turns"]
        ]
        assert said == [["ours: naïve ☃ / 🎉", "There is a note."], ["again", "again, indeed"]]


class TestLock:
    @pytest.mark.promise("two writers")
    def test_codex_refuses_a_session_with_an_open_recorder(self, current: Codex) -> None:
        with Recorder(home=current.home) as recorder:
            recorder.user_message("ours")
            recorder.flush()
            before = recorder.path.read_bytes()

            done = current.exec("resume", recorder.session_id, "theirs")

            assert done.returncode != 0
            assert "already has an active writer" in done.stderr + done.stdout
            assert recorder.path.read_bytes() == before
        current.resume(recorder.session_id, "theirs")

    @pytest.mark.promise("two writers")
    def test_a_recorder_refuses_a_session_that_codex_has_open(self, current: Codex) -> None:
        with Recorder(home=current.home) as recorder:
            recorder.user_message("ours")

        with current.app_server() as server:
            server.call("thread/resume", {"threadId": recorder.session_id})
            with pytest.raises(SessionBusyError):
                Recorder.resume(recorder.path)

        with Recorder.resume(recorder.path) as resumed:
            resumed.user_message("ours again")
        assert list((current.home / "thread-writer-locks").glob("*-*.lock")) == []


class TestRepair:
    @pytest.mark.promise("repair")
    def test_current_codex_resumes_a_repaired_session(self, current: Codex, model: Model) -> None:
        path = current.record("one")
        current.resume(load_history(path).session_id, "two")
        lines = path.read_bytes().splitlines(keepends=True)
        # The result of two writers and a crash: a repeated line, a torn line, and a last line without its ordinal.
        unnumbered = re.sub(rb'"ordinal":\d+,', b"", lines[-1])
        path.write_bytes(b"".join([*lines[:-2], lines[-3], lines[-1][:40] + lines[-2], unnumbered]))
        broken = current.exec("resume", load_history(path).session_id, "three")

        done = repair(path)
        done.copy.replace(path)
        current.resume(load_history(path).session_id, "three")

        assert broken.returncode != 0
        assert done.after.is_whole
        assert [turn.prompt for turn in load_history(path).turns] == ["one", "two", "three"]
        assert verify(path).is_whole
        assert "one" in json.dumps(sent_before(model, "three"))

    @pytest.mark.promise("repair")
    def test_codex_resumes_a_session_with_a_rebuilt_meta(self, codex: Codex, model: Model) -> None:
        with Recorder(home=codex.home, cwd=codex.cwd) as recorder:
            record_every_item(recorder)
        recorder.path.write_bytes(b"".join(recorder.path.read_bytes().splitlines(keepends=True)[1:]))

        repair(recorder.path).copy.replace(recorder.path)
        codex.resume(recorder.session_id, "theirs")

        assert "There is a note." in json.dumps(sent_before(model, "theirs"))


def write_home(home: Path) -> None:
    """
    Write sessions into a home: of several days and years, of the same second, and some that the seed does not list.
    """
    for number in range(60):
        year, month, day = [(2025, 9, 12), (2025, 12, 31), (2026, 1, 1), (2026, 11, 21)][number % 4]
        session_id = UUID(int=number * 7919 % 61 << 64 | 4 << 76, version=4)
        stamp = f"{year}-{month:02d}-{day:02d}T10-00-{number // 12:02d}"
        folder = home / "sessions" / str(year) / f"{month:02d}" / f"{day:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        meta = {"id": str(session_id), "timestamp": "2025-09-12T10:00:00.000Z", "cwd": "/", "originator": "o"}
        meta.update(cli_version="0.36.0", instructions=None)
        said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": f"q{number}"}]}
        lines: list[tuple[str, dict[str, Any]]] = [("session_meta", meta)]
        lines += [("response_item", said)] * (12 if number % 7 == 3 else 1)
        if number % 5 != 2:
            lines.append(("event_msg", {"type": "user_message", "message": f"q{number}", "kind": "plain"}))
        lines.append(("event_msg", {"type": "agent_message", "message": f"a{number}"}))
        data = b"".join(encode_item(kind, payload, time_ms=0) for kind, payload in lines)
        (folder / f"rollout-{stamp}-{session_id}.jsonl").write_bytes(data)


class TestListingOfTheSeed:
    @pytest.mark.parametrize("page_size", [1, 3, 7, 25, 100])
    def test_pages_have_the_same_paths_in_the_same_order(self, seed: Codex, page_size: int) -> None:
        write_home(seed.home)
        theirs, ours = [], []

        with seed.mcp() as server:
            cursor = None
            while True:
                page = server.call("listConversations", {"pageSize": page_size, "cursor": cursor})
                cursor = page.get("nextCursor")
                if not page["items"]:
                    break
                theirs.append([item["path"] for item in page["items"]])
                if cursor is None:
                    break
        token = None
        while True:
            own = list_sessions(home=seed.home, page_size=page_size, cursor=token, codex_filter=True)
            ours.append([str(item.path) for item in own.items])
            token = own.next_cursor
            if token is None:
                break

        assert ours == theirs
        assert 30 < sum(map(len, ours)) < 60

    def test_cursors_are_accepted_in_both_directions_and_lead_to_the_same_page(self, seed: Codex) -> None:
        write_home(seed.home)

        with seed.mcp() as server:
            first = server.call("listConversations", {"pageSize": 5})
            own_first = list_sessions(home=seed.home, page_size=5, codex_filter=True)
            by_our_token = server.call("listConversations", {"pageSize": 5, "cursor": str(own_first.next_cursor)})
        by_their_token = list_sessions(home=seed.home, page_size=5, cursor=first["nextCursor"], codex_filter=True)

        assert first["nextCursor"] == str(own_first.next_cursor)
        assert [item["path"] for item in by_our_token["items"]] == [str(item.path) for item in by_their_token.items]
        assert by_our_token["items"] != first["items"]

    def test_loading_returns_the_same_messages(self, seed: Codex, model: Model) -> None:
        model.answers = [[reasoning("plan")], [assistant_message("done")]]
        path = seed.record("one")
        with Recorder.resume(path) as recorder:
            recorder.user_message("two")
            recorder.agent_message("two, indeed")

        with seed.mcp() as server:
            theirs = server.call("resumeConversation", {"path": str(path)})["initialMessages"]

        kinds = ("user_message", "agent_message", "agent_reasoning")
        ours = [line.payload for line in load_history(path).lines if line.payload.get("type") in kinds]
        assert [message for message in theirs if message["type"] in kinds] == ours
        assert len(ours) >= 4


def message(role: str, text: str) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def turn(number: int) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("response_item", message("user", f"u{number}")),
        ("event_msg", {"type": "user_message", "message": f"u{number}"}),
        ("response_item", message("assistant", f"a{number}")),
    ]


def rolled_back(count: int) -> tuple[str, dict[str, Any]]:
    return "event_msg", {"type": "thread_rolled_back", "num_turns": count}


ENVIRONMENT = ("response_item", message("user", "<environment_context>\n  <cwd>/x</cwd>\n</environment_context>"))
DEVELOPER = ("response_item", message("developer", "orders"))
BARE = ("compacted", {"message": "summary"})
REPLACED = ("compacted", {"message": "", "replacement_history": [message("user", "r1"), message("assistant", "r2")]})
CALL = {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "c1"}
PATCH = {"type": "custom_tool_call", "name": "apply_patch", "input": "x", "call_id": "c2"}
SHELL = {"type": "local_shell_call", "call_id": "c3", "status": "completed", "action": {"type": "exec", "command": []}}

CASES = {
    "plain": [*turn(1), *turn(2)],
    "compacted without replacement": [*turn(1), *turn(2), BARE, *turn(3)],
    "compacted twice": [*turn(1), BARE, *turn(2), BARE, *turn(3)],
    "compacted with replacement": [*turn(1), *turn(2), REPLACED, *turn(3)],
    "compacted to nothing": [*turn(1), ("compacted", {"message": "", "replacement_history": []}), *turn(2)],
    "rolled back one": [*turn(1), *turn(2), *turn(3), rolled_back(1), *turn(4)],
    "rolled back twice": [*turn(1), *turn(2), rolled_back(1), *turn(3), rolled_back(2), *turn(4)],
    "rolled back more than there are": [*turn(1), *turn(2), rolled_back(9), *turn(3)],
    "rolled back over a compaction": [*turn(1), *turn(2), REPLACED, *turn(3), rolled_back(2), *turn(4)],
    "rolled back up to a compaction": [*turn(1), BARE, *turn(2), rolled_back(1), *turn(3)],
    "rolled back a turn that ended in compaction": [*turn(1), *turn(2), REPLACED, rolled_back(1), *turn(3)],
    "environment before a turn is rolled back with it": [*turn(1), ENVIRONMENT, *turn(2), rolled_back(1), *turn(3)],
    "environment before the first turn stays": [ENVIRONMENT, *turn(1), rolled_back(9), *turn(2)],
    "developer message between them prevents that": [
        *turn(1),
        ENVIRONMENT,
        DEVELOPER,
        *turn(2),
        rolled_back(1),
        *turn(3),
    ],
    "unanswered calls": [*turn(1), *(("response_item", call) for call in (CALL, PATCH, SHELL)), *turn(2)],
    "output without a call": [
        *turn(1),
        ("response_item", {"type": "function_call_output", "call_id": "c9", "output": "x"}),
        *turn(2),
    ],
    "items that are not sent": [
        *turn(1),
        ("response_item", {"type": "ghost_snapshot", "ghost_commit": {"id": "x"}}),
        ("response_item", {"type": "frobnicate"}),
        *turn(2),
    ],
}


def texts_and_calls(items: list[Any]) -> list[Any]:
    texts: list[Any] = []
    for item in items:
        if item["type"] != "message":
            texts.append((item["type"], item.get("call_id"), item.get("output")))
        elif item["role"] != "developer":
            texts += [part["text"] for part in item["content"]]
    return texts


@pytest.mark.parametrize("case", CASES)
def test_input_equals_the_input_current_codex_sends(current: Codex, model: Model, case: str) -> None:
    session_id = str(uuid4())
    meta = {"id": session_id, "timestamp": "2026-11-21T10:00:00.000Z", "cwd": str(current.cwd), "originator": "o"}
    lines = [("session_meta", {**meta, "cli_version": "1", "instructions": None}), *CASES[case]]
    folder = current.home / "sessions" / "2026" / "11" / "21"
    folder.mkdir(parents=True)
    path = folder / f"rollout-2026-11-21T10-00-00-{session_id}.jsonl"
    now = time.time_ns() // 1_000_000
    path.write_bytes(b"".join(encode_item(kind, payload, time_ms=now) for kind, payload in lines))
    ours = texts_and_calls(load_history(path).to_input())

    current.resume(session_id, "theirs")

    theirs = texts_and_calls(model.received[0]["input"])
    # After the history, Codex adds its environment context and the new prompt.
    assert theirs[: len(ours)] == ours
    assert [text for text in theirs[len(ours) :] if not text.startswith("<environment_context>")] == ["theirs"]
