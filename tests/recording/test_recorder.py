from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import attrs
import pytest

from rollout import (
    AmbiguousSessionError,
    EncodeError,
    MissingSessionMetaError,
    Recorder,
    RecorderClosedError,
    SessionBusyError,
    SessionNotFoundError,
    UnsupportedSessionError,
    keep_all,
    load_history,
    schema,
)
from rollout.codec import encode_item, format_timestamp
from tests.recording.helpers import lines_of, payloads_of
from tests.rollouts import user_item as message


def write_session(home: Path, *lines: tuple[str, dict[str, Any], int | None], session_id: str | None = None) -> Path:
    folder = home / "sessions" / "2026" / "11" / "21"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"rollout-2026-11-21T01-25-37-{session_id or uuid4()}.jsonl"
    path.write_bytes(b"".join(encode_item(kind, payload, time_ms=0, ordinal=n) for kind, payload, n in lines))
    return path


def meta(session_id: str, **fields: Any) -> dict[str, Any]:
    return {"id": session_id, "timestamp": "t", "cwd": "/", "originator": "o", "cli_version": "1", **fields}


class TestCreation:
    def test_file_is_there_before_anything_is_recorded(self, recorder: Recorder) -> None:
        assert recorder.path.is_file()

    def test_file_lies_under_the_local_day_and_is_named_after_time_and_id(self, home: Path) -> None:
        with Recorder(home=home) as recorder:
            local = time.localtime()

        expected = home / f"sessions/{local.tm_year}/{local.tm_mon:02d}/{local.tm_mday:02d}"
        assert recorder.path.parent == expected
        assert re.fullmatch(
            rf"rollout-{local.tm_year}-\d\d-\d\dT\d\d-\d\d-\d\d-{recorder.session_id}\.jsonl", recorder.path.name
        )

    def test_first_line_is_the_meta_in_the_order_of_the_seed(self, home: Path, tmp_path: Path) -> None:
        with Recorder(home=home, cwd=tmp_path, instructions="be brief", originator="me", cli_version="1.2") as recorder:
            pass

        (line,) = lines_of(recorder.path)
        assert list(line) == ["timestamp", "type", "payload"]
        assert line["payload"] == {
            "id": recorder.session_id,
            "timestamp": line["timestamp"],
            "cwd": str(tmp_path),
            "originator": "me",
            "cli_version": "1.2",
            "instructions": "be brief",
        }
        assert list(line["payload"]) == ["id", "timestamp", "cwd", "originator", "cli_version", "instructions"]

    def test_instructions_are_null_and_source_is_absent_unless_given(self, home: Path) -> None:
        with Recorder(home=home) as plain, Recorder(home=home, source="cli", model_provider="openai") as told:
            pass

        assert lines_of(plain.path)[0]["payload"]["instructions"] is None
        assert "source" not in lines_of(plain.path)[0]["payload"]
        assert lines_of(told.path)[0]["payload"]["source"] == "cli"
        assert lines_of(told.path)[0]["payload"]["model_provider"] == "openai"

    def test_meta_holds_what_git_says_of_the_folder(self, home: Path, tmp_path: Path) -> None:
        git = ["git", "-c", "user.name=n", "-c", "user.email=e@example.com", "-C", str(tmp_path)]
        subprocess.run([*git, "init", "-qb", "trunk"], check=True)
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "m"], check=True)
        subprocess.run([*git, "remote", "add", "origin", "https://me:secret@example.com/x.git"], check=True)

        with Recorder(home=home, cwd=tmp_path) as recorder:
            pass

        told = lines_of(recorder.path)[0]["payload"]["git"]
        assert list(told) == ["commit_hash", "branch", "repository_url"]
        assert told["branch"] == "trunk"
        assert told["repository_url"] == "https://example.com/x.git"

    def test_own_id_is_of_version_7_and_a_given_one_of_any(self, home: Path) -> None:
        given = uuid4()

        with Recorder(home=home) as own, Recorder(home=home, session_id=given) as told:
            pass

        assert UUID(own.session_id).version == 7
        assert told.session_id == str(given)

    @pytest.mark.parametrize("session_id", ["", "x", "../../etc/passwd", "0" * 31])
    def test_an_id_that_is_no_uuid_is_refused_and_leaves_nothing(self, home: Path, session_id: str) -> None:
        with pytest.raises(ValueError, match="UUID"):
            Recorder(home=home, session_id=session_id)

        assert not home.exists()

    def test_a_queue_without_room_is_refused_and_leaves_nothing(self, home: Path) -> None:
        with pytest.raises(ValueError, match="queue_size"):
            Recorder(queue_size=0)
        with pytest.raises(ValueError, match="queue_size"):
            Recorder.resume("x.jsonl", queue_size=-1)

        assert not home.exists()

    def test_home_is_codex_home_by_default(self, home: Path) -> None:
        with Recorder() as recorder:
            assert recorder.path.is_relative_to(home)

    def test_an_os_error_reaches_the_caller_unchanged_and_frees_the_lock(self, home: Path) -> None:
        home.mkdir()
        (home / "sessions").write_text("in the way")
        session_id = str(uuid4())

        with pytest.raises(FileExistsError):
            Recorder(home=home, session_id=session_id)

        assert not (home / "thread-writer-locks" / f"{session_id}.lock").exists()

    def test_a_second_recorder_of_the_same_id_is_refused_while_the_first_goes_on(self, recorder: Recorder) -> None:
        with pytest.raises(SessionBusyError):
            Recorder(session_id=recorder.session_id)

        recorder.user_message("still here")
        recorder.flush()
        assert len(lines_of(recorder.path)) == 3


class TestRecord:
    def test_takes_items_of_the_schema_dicts_of_the_api_and_whole_rollout_items(self, recorder: Recorder) -> None:
        recorder.record(schema.UserMessage(message="typed"), message("of the API"))
        recorder.record({"type": "event_msg", "payload": {"type": "agent_message", "message": "whole"}})

        recorder.flush()
        assert [line["type"] for line in lines_of(recorder.path)] == [
            "session_meta",
            "event_msg",
            "response_item",
            "event_msg",
        ]

    def test_takes_objects_that_dump_themselves(self, recorder: Recorder) -> None:
        class Dumping:
            def model_dump(self, *, mode: str, exclude_unset: bool) -> dict[str, Any]:
                assert (mode, exclude_unset) == ("json", True)
                return message("dumped")

        recorder.record(Dumping())

        recorder.flush()
        assert payloads_of(recorder.path) == [message("dumped")]

    def test_writes_the_metadata_beside_a_payload(self, recorder: Recorder) -> None:
        recorder.record({"type": "response_item", "payload": message("x"), "metadata": {"client_authored": False}})

        recorder.flush()
        assert lines_of(recorder.path)[1]["metadata"] == {"client_authored": False}

    def test_keeps_the_item_as_it_was_when_it_is_changed_later(self, home: Path) -> None:
        item = message("before")

        with Recorder(home=home) as recorder:
            recorder.record(item)
            item["content"][0]["text"] = "after"
            item["role"] = "assistant"

        assert payloads_of(recorder.path) == [message("before")]

    def test_drops_what_the_policy_drops(self, home: Path) -> None:
        delta = {"type": "event_msg", "payload": {"type": "agent_message_delta", "delta": "x"}}
        typed = schema.AgentReasoningSectionBreak()

        with Recorder(home=home) as recorder, Recorder(home=home, policy=keep_all) as all_of_it:
            recorder.record(delta, typed, {"type": "ghost_snapshot", "ghost_commit": {}})
            all_of_it.record(delta, typed)

        assert payloads_of(recorder.path) == [{"type": "ghost_snapshot", "ghost_commit": {}}]
        assert payloads_of(all_of_it.path) == [delta["payload"], {"type": "agent_reasoning_section_break"}]

    def test_refuses_what_has_no_json_form_by_its_path_and_records_the_items_beside_it(
        self, recorder: Recorder
    ) -> None:
        bad = message("x")
        bad["content"][0]["text"] = {1, 2}

        with pytest.raises(EncodeError) as refused:
            recorder.record(message("left"), bad, message("right"))

        recorder.flush()
        assert refused.value.path == "content[0].text"
        assert payloads_of(recorder.path) == [message("left"), message("right")]

    @pytest.mark.parametrize("item", [None, 1, "text", [], {}, {"type": 1}, {"type": "event_msg"}, object()])
    def test_refuses_what_is_no_item(self, recorder: Recorder, item: Any) -> None:
        with pytest.raises(EncodeError):
            recorder.record(item)

    def test_of_one_call_is_stamped_with_one_time_not_the_time_of_writing(self, home: Path, tmp_path: Path) -> None:
        with Recorder(home=home, cwd=tmp_path) as recorder:
            before = format_timestamp(time.time_ns() // 1_000_000)
            recorder.record(message("a"), message("b"))
            after = format_timestamp(time.time_ns() // 1_000_000)

        first, second = (line["timestamp"] for line in lines_of(recorder.path)[1:])
        assert first == second
        assert before <= first <= after

    def test_after_close_raises_even_if_the_policy_would_drop_it(self, recorder: Recorder) -> None:
        recorder.close()

        with pytest.raises(RecorderClosedError):
            recorder.record(message("x"))
        with pytest.raises(RecorderClosedError):
            recorder.record({"type": "dropped"})

    def test_from_many_threads_writes_every_item_once_and_each_threads_in_order(self, home: Path) -> None:
        def produce(number: int) -> None:
            barrier.wait(10)
            for i in range(200):
                recorder.record(message(f"{number}:{i}"))

        barrier = threading.Barrier(8)
        threads = [threading.Thread(target=produce, args=(n,)) for n in range(8)]
        with Recorder(home=home) as recorder:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)

        texts = [payload["content"][0]["text"] for payload in payloads_of(recorder.path)]
        assert len(texts) == 1600
        for n in range(8):
            assert [text for text in texts if text.startswith(f"{n}:")] == [f"{n}:{i}" for i in range(200)]

    def test_a_lone_surrogate_is_written_as_the_replacement_character(self, recorder: Recorder) -> None:
        recorder.user_message("a\ud800b")

        recorder.flush()
        assert payloads_of(recorder.path)[1]["message"] == "a\ufffdb"


class TestConvenience:
    def test_user_message_writes_the_item_and_the_event_codex_lists_by(self, recorder: Recorder) -> None:
        recorder.user_message("hello")

        recorder.flush()
        assert payloads_of(recorder.path) == [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]},
            {"type": "user_message", "message": "hello", "kind": "plain"},
        ]

    def test_agent_message_writes_the_event_and_the_item(self, recorder: Recorder) -> None:
        recorder.agent_message("hello")

        recorder.flush()
        assert payloads_of(recorder.path) == [
            {"type": "agent_message", "message": "hello"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]},
        ]

    def test_reasoning_writes_the_event_and_the_item(self, recorder: Recorder) -> None:
        recorder.reasoning("hm")

        recorder.flush()
        assert payloads_of(recorder.path) == [
            {"type": "agent_reasoning", "text": "hm"},
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "hm"}],
                "content": None,
                "encrypted_content": None,
            },
        ]

    def test_tool_call_and_output_are_tied_by_an_id_and_hold_json_as_text(self, recorder: Recorder) -> None:
        call_id = recorder.tool_call("shell", {"command": ["ls", "/é"]})
        recorder.tool_output(call_id, {"exit_code": 0}, seconds=1.5)

        recorder.flush()
        assert payloads_of(recorder.path) == [
            {"type": "function_call", "name": "shell", "arguments": '{"command":["ls","/é"]}', "call_id": call_id},
            {
                "type": "mcp_tool_call_end",
                "call_id": call_id,
                "invocation": {"server": "rollout", "tool": "shell", "arguments": {"command": ["ls", "/é"]}},
                "duration": {"secs": 1, "nanos": 500_000_000},
                "result": {"Ok": {"content": [{"type": "text", "text": '{"exit_code":0}'}], "isError": False}},
            },
            {"type": "function_call_output", "call_id": call_id, "output": '{"exit_code":0}'},
        ]

    def test_tool_call_keeps_text_and_id_as_given(self, recorder: Recorder) -> None:
        call_id = recorder.tool_call("shell", "{}", call_id="call_1")
        recorder.tool_output(call_id, "plain")

        recorder.flush()
        assert [payload["call_id"] for payload in payloads_of(recorder.path)] == ["call_1"] * 3
        assert payloads_of(recorder.path)[2]["output"] == "plain"

    def test_turn_context_has_what_every_codex_needs_and_what_is_given(
        self, recorder: Recorder, tmp_path: Path
    ) -> None:
        recorder.turn_context(model="m", effort="high")

        recorder.flush()
        assert payloads_of(recorder.path) == [
            {
                "cwd": str(tmp_path),
                "approval_policy": "never",
                "sandbox_policy": {"mode": "read-only", "type": "read-only"},
                "model": "m",
                "effort": "high",
                "summary": "auto",
            }
        ]

    def test_turn_context_refuses_a_field_that_is_none(self, recorder: Recorder) -> None:
        with pytest.raises(TypeError, match="modle"):
            recorder.turn_context(modle="m")


class TestLife:
    def test_path_id_and_state_are_told(self, home: Path) -> None:
        recorder = Recorder(home=home)

        assert not recorder.closed
        assert repr(recorder) == f"<Recorder {recorder.session_id} open {recorder.path}>"
        recorder.close()
        assert recorder.closed
        assert "closed" in repr(recorder)

    def test_flush_returns_when_everything_recorded_is_in_the_file(self, recorder: Recorder) -> None:
        recorder.user_message("x" * 100_000)

        recorder.flush()

        assert recorder.stats.written_lines == 3
        assert recorder.stats.written_bytes == recorder.path.stat().st_size
        assert recorder.stats.queued == recorder.stats.pending == 0
        assert recorder.stats.last_error is None

    def test_flush_after_close_raises(self, recorder: Recorder) -> None:
        recorder.close()

        with pytest.raises(RecorderClosedError):
            recorder.flush()

    def test_close_twice_is_fine(self, recorder: Recorder) -> None:
        recorder.close()
        recorder.close()

        assert recorder.closed

    def test_leaving_the_body_writes_everything_and_frees_the_lock(self, home: Path) -> None:
        with Recorder(home=home) as recorder:
            recorder.user_message("x")

        assert len(lines_of(recorder.path)) == 3
        assert [path.name for path in (home / "thread-writer-locks").iterdir()] == [".coordination.lock"]

    def test_an_exception_of_the_body_passes_and_what_came_before_is_written(self, home: Path) -> None:
        with pytest.raises(ZeroDivisionError), Recorder(home=home) as recorder:
            recorder.user_message("x")
            raise ZeroDivisionError

        assert len(lines_of(recorder.path)) == 3

    def test_forgetting_a_recorder_warns_and_still_writes_everything(self, home: Path) -> None:
        recorder = Recorder(home=home)
        recorder.user_message("x")
        path = recorder.path
        thread = recorder._writer._thread

        with pytest.warns(ResourceWarning, match="was not closed"):
            del recorder
        thread.join(10)

        assert len(lines_of(path)) == 3


class TestResume:
    def test_appends_and_writes_no_second_meta(self, home: Path) -> None:
        with Recorder(home=home) as first:
            first.user_message("one")

        with Recorder.resume(first.path) as second:
            second.user_message("two")

        assert second.session_id == first.session_id
        assert second.path == first.path
        assert [line["type"] for line in lines_of(first.path)].count("session_meta") == 1
        assert [turn.prompt for turn in load_history(first.path).turns] == ["one", "two"]

    def test_finds_the_session_by_id_and_by_its_beginning(self, home: Path) -> None:
        with Recorder(home=home) as recorder:
            pass

        for name in (recorder.session_id, recorder.session_id[:20]):
            with Recorder.resume(name, home=home) as resumed:
                assert resumed.path == recorder.path

    def test_of_an_unknown_or_ambiguous_id_raises(self, home: Path) -> None:
        ids = [f"01a1fbb5-7abd-7c53-8766-f128212a613{n}" for n in "ab"]
        for session_id in ids:
            write_session(home, ("session_meta", meta(session_id), None), session_id=session_id)

        with pytest.raises(SessionNotFoundError):
            Recorder.resume("ffff", home=home)
        with pytest.raises(AmbiguousSessionError):
            Recorder.resume("01a1", home=home)

    def test_of_a_session_whose_meta_is_torn_has_the_id_of_its_name_and_not_that_of_copied_lines(
        self, home: Path
    ) -> None:
        with Recorder(home=home) as other, Recorder(home=home) as recorder:
            other.user_message("one")
            recorder.user_message("one")
        recorder.path.write_bytes(b'{"timestamp":"2026\n' + other.path.read_bytes())

        with Recorder.resume(recorder.path) as resumed:
            resumed.user_message("two")

        assert resumed.session_id == recorder.session_id
        assert load_history(recorder.path).session_id == recorder.session_id
        assert load_history(recorder.path).document().session_id == recorder.session_id

    def test_closes_off_a_torn_tail_and_keeps_it(self, home: Path) -> None:
        with Recorder(home=home) as recorder:
            recorder.user_message("whole")
        with recorder.path.open("ab") as file:
            file.write(b'{"timestamp":"2026')

        with Recorder.resume(recorder.path) as resumed:
            resumed.user_message("after")

        history = load_history(recorder.path)
        assert [turn.prompt for turn in history.turns] == ["whole", "after"]
        assert [skipped.lineno for skipped in history.skipped] == [4]
        assert b'\n{"timestamp":"2026\n' in recorder.path.read_bytes()

    def test_that_records_nothing_leaves_the_file_as_it_was(self, home: Path) -> None:
        session_id = str(uuid4())
        path = write_session(home, ("session_meta", meta(session_id), None), session_id=session_id)
        with path.open("ab") as file:
            file.write(b"torn")
        os.utime(path, (1, 1))
        before = path.read_bytes()

        Recorder.resume(path).close()

        assert path.read_bytes() == before
        assert path.stat().st_mtime == 1

    def test_of_a_busy_session_raises_and_frees_nothing(self, recorder: Recorder) -> None:
        with pytest.raises(SessionBusyError):
            Recorder.resume(recorder.path)

        with pytest.raises(SessionBusyError):
            Recorder.resume(recorder.path)

    @pytest.mark.parametrize("fields", [{}, {"history_mode": "legacy"}, {"history_mode": None}])
    def test_of_a_session_without_numbers_writes_none(self, home: Path, fields: dict[str, Any]) -> None:
        session_id = str(uuid4())
        path = write_session(home, ("session_meta", meta(session_id, **fields), None), session_id=session_id)

        with Recorder.resume(path) as recorder:
            recorder.user_message("x")

        assert all("ordinal" not in line for line in lines_of(path))

    def test_of_a_paginated_session_goes_on_with_its_numbers(self, home: Path) -> None:
        session_id = str(uuid4())
        path = write_session(
            home,
            ("session_meta", meta(session_id, history_mode="paginated"), 0),
            ("response_item", message("a"), 1),
            ("response_item", message("gap"), 7),
            session_id=session_id,
        )
        with path.open("ab") as file:
            file.write(b'{"timestamp":"t","ordinal":8,"ty')

        with Recorder.resume(path) as recorder:
            recorder.record(message("x"), message("y"))

        readable = load_history(path).lines
        assert [line.ordinal for line in readable] == [0, 1, 7, 8, 9]

    @pytest.mark.parametrize(
        ("last_ordinal", "fields"),
        [(None, {}), (2**64 - 1, {}), (-1, {}), (1, {"subagent_history_start_ordinal": 3})],
    )
    def test_of_a_paginated_session_whose_numbers_are_broken_is_refused(
        self, home: Path, last_ordinal: int | None, fields: dict[str, Any]
    ) -> None:
        session_id = str(uuid4())
        path = write_session(
            home,
            ("session_meta", meta(session_id, history_mode="paginated", **fields), 0),
            ("response_item", message("a"), last_ordinal),
            session_id=session_id,
        )
        before = path.read_bytes()

        with pytest.raises(UnsupportedSessionError, match=r"ordinal|incomplete"):
            Recorder.resume(path)

        assert path.read_bytes() == before
        with Recorder(home=home, session_id=session_id):
            pass

    def test_of_an_unknown_history_mode_is_refused(self, home: Path) -> None:
        path = write_session(home, ("session_meta", meta(str(uuid4()), history_mode="quantum"), None))

        with pytest.raises(UnsupportedSessionError, match="quantum"):
            Recorder.resume(path)

    def test_of_a_file_before_the_envelope_is_refused(self, home: Path) -> None:
        path = write_session(home)
        path.write_text(f'{{"id":"{uuid4()}","timestamp":"t","instructions":null}}\n')

        with pytest.raises(UnsupportedSessionError, match=r"0\.32"):
            Recorder.resume(path)

    def test_of_a_compressed_or_archived_session_is_refused(self, home: Path) -> None:
        archived = home / "archived_sessions" / f"rollout-2026-11-21T01-25-37-{uuid4()}.jsonl"

        with pytest.raises(UnsupportedSessionError, match="compressed"):
            Recorder.resume("x.jsonl.zst")
        with pytest.raises(UnsupportedSessionError, match="archived"):
            Recorder.resume(archived)

    @pytest.mark.parametrize("content", ["", "\n"])
    def test_of_a_file_that_does_not_say_whose_it_is_is_refused(self, home: Path, content: str) -> None:
        path = write_session(home)
        path.write_text(content)

        with pytest.raises(MissingSessionMetaError):
            Recorder.resume(path)

    def test_of_a_session_with_a_hostile_id_is_refused(self, home: Path) -> None:
        path = write_session(home, ("session_meta", meta("../../x"), None))

        with pytest.raises(UnsupportedSessionError, match="UUID"):
            Recorder.resume(path)

        assert sorted(entry.name for entry in home.iterdir()) == ["sessions", "thread-writer-locks"]
        assert not (home / "x.lock").exists()

    def test_does_not_follow_a_link(self, home: Path, tmp_path: Path) -> None:
        session_id = str(uuid4())
        path = write_session(home, ("session_meta", meta(session_id), None), session_id=session_id)
        link = tmp_path / path.name
        link.symlink_to(path)

        with pytest.raises(OSError, match="symbolic"):
            Recorder.resume(link)

        Recorder.resume(path).close()

    @pytest.mark.parametrize(
        "name", ["other.jsonl", "rollout-2026-11-21T01-25-37-1acc47ac-de4e-436d-b575-ee0cc3b9a0a7.jsonl"]
    )
    def test_of_a_file_of_another_name_locks_the_session_its_meta_says(self, home: Path, name: str) -> None:
        session_id = str(uuid4())
        path = write_session(home, ("session_meta", meta(session_id), None), session_id=session_id)
        renamed = path.rename(path.with_name(name))

        with Recorder.resume(renamed) as recorder:
            assert recorder.session_id == session_id
            with pytest.raises(SessionBusyError):
                Recorder(home=home, session_id=session_id)

    def test_of_a_file_outside_any_home_locks_by_the_given_home(self, home: Path, tmp_path: Path) -> None:
        session_id = str(uuid4())
        path = write_session(home, ("session_meta", meta(session_id), None), session_id=session_id)
        lone = path.rename(tmp_path / path.name)

        with Recorder.resume(lone, home=tmp_path / "locks") as recorder:
            recorder.user_message("x")

        assert (tmp_path / "locks" / "thread-writer-locks").is_dir()
        assert len(lines_of(lone)) == 3


def test_lines_read_from_one_session_can_be_recorded_into_another(home: Path) -> None:
    with Recorder(home=home) as first:
        first.user_message("x")
        first.tool_call("shell", {})

    with Recorder(home=home, policy=keep_all) as second:
        second.record({"type": "novel", "payload": {"a": 1}})
        second.record(*load_history(first.path).items[1:])
    with Recorder(home=home, policy=keep_all) as third:
        third.record(*load_history(second.path).items[1:])

    assert payloads_of(second.path) == [{"a": 1}, *payloads_of(first.path)]
    assert [line["type"] for line in lines_of(third.path)] == [line["type"] for line in lines_of(second.path)]
    assert payloads_of(third.path) == payloads_of(second.path)


def test_a_recorder_at_module_level_is_closed_when_the_program_ends(home: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import rollout\nrec = rollout.Recorder()\nrec.user_message('global')\nprint(rec.path)\n")

    done = subprocess.run([os.sys.executable, script], capture_output=True, text=True, timeout=60, check=True)  # type: ignore[attr-defined]

    assert done.stderr == ""
    assert [turn.prompt for turn in load_history(done.stdout.strip()).turns] == ["global"]


def test_an_item_evolved_from_a_read_one_keeps_what_is_not_known(recorder: Recorder) -> None:
    recorder.record({**message("a"), "novel": 1})
    recorder.flush()
    item = load_history(recorder.path).items[-1]

    recorder.record(attrs.evolve(item, role="developer"))

    recorder.flush()
    assert payloads_of(recorder.path)[-1] == {**message("a"), "role": "developer", "novel": 1}
