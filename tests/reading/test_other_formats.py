"""
Files that are no rollouts but contain a session: the output of ``codex exec --json``, and the document of the
TypeScript CLI. Each is read as a rollout, with nothing left out.
"""

from __future__ import annotations

import io
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout import MissingSessionMetaError, Recorder, UnsupportedSessionError, follow, load_history, read_lines, verify
from rollout.codec import RolloutLine, encode_json
from rollout.document import Item
from rollout.export import export_html, export_markdown
from rollout.interpret import Filters
from rollout.reading import Bounds, LineReader, decode_backwards, format_of, open_rollout, raw_lines, repair
from rollout.search import search, update_index
from rollout.sessions import list_sessions
from rollout.stats import session_stats
from rollout.store import archive, compress, fork
from tests.rollouts import ID, encode, put, seed_session

THREAD = "01a21c4b-2b30-7ad0-b702-a32b259c0e6c"
# As the real 0.169.0 prints it, with one item of each kind.
STREAM: list[dict[str, Any]] = [
    {"type": "thread.started", "thread_id": THREAD},
    {"type": "item.completed", "item": {"id": "item_0", "type": "error", "message": "no metadata of the model"}},
    {"type": "turn.started"},
    {"type": "item.completed", "item": {"id": "item_1", "type": "reasoning", "text": "**Thinking** hard"}},
    {"type": "item.started", "item": {"id": "item_2", "type": "command_execution", "command": "ls /nowhere",
     "aggregated_output": "", "exit_code": None, "status": "in_progress"}},
    {"type": "item.completed", "item": {"id": "item_2", "type": "command_execution", "command": "ls /nowhere",
     "aggregated_output": "ls: cannot access\n", "exit_code": 2, "status": "failed"}},
    {"type": "item.started", "item": {"id": "item_3", "type": "todo_list", "items": [{"text": "one", "completed": True},
     {"text": "two", "completed": False}]}},
    {"type": "item.updated", "item": {"id": "item_3", "type": "todo_list", "items": [{"text": "one", "completed": True},
     {"text": "two", "completed": True}]}},
    {"type": "item.started", "item": {"id": "item_4", "type": "file_change", "status": "in_progress",
     "changes": [{"path": "/p/new.txt", "kind": "add"}]}},
    {"type": "item.completed", "item": {"id": "item_4", "type": "file_change", "changes": [{"path": "/p/new.txt",
     "kind": "add"}], "status": "completed"}},
    {"type": "item.completed", "item": {"id": "item_5", "type": "mcp_tool_call", "server": "docs", "tool": "find",
     "arguments": {"q": "x"}, "result": {"content": [{"type": "text", "text": "found"}]}, "error": None,
     "status": "completed"}},
    {"type": "item.completed", "item": {"id": "item_6", "type": "web_search", "query": "rollout files"}},
    {"type": "item.completed", "item": {"id": "item_7", "type": "collab_tool_call", "tool": "spawn", "prompt": "dig"}},
    {"type": "item.completed", "item": {"id": "item_3", "type": "todo_list",
     "items": [{"text": "one", "completed": True}, {"text": "two", "completed": True}]}},
    {"type": "item.completed", "item": {"id": "item_8", "type": "agent_message", "text": "Done: new.txt exists."}},
    {"type": "turn.completed", "usage": {"input_tokens": 500, "cached_input_tokens": 50, "output_tokens": 100,
     "reasoning_output_tokens": 25}},
]  # fmt: skip
# As the real 0.42.0 prints it.
EVENTS: list[dict[str, Any]] = [
    {"provider": "mock", "workdir": "/home/dev/p", "model": "gpt-5-codex", "approval": "never",
     "sandbox": "danger-full-access", "reasoning effort": "none", "reasoning summaries": "auto"},
    {"prompt": "list the files"},
    {"id": "0", "msg": {"type": "task_started", "model_context_window": 272000}},
    {"id": "0", "msg": {"type": "agent_reasoning", "text": "**Thinking** hard"}},
    {"id": "0", "msg": {"type": "exec_command_begin", "call_id": "c1", "command": ["sh", "-c", "ls /nowhere"],
     "cwd": "/home/dev/p", "parsed_cmd": []}},
    {"id": "0", "msg": {"type": "exec_command_output_delta", "call_id": "c1", "stream": "stderr", "chunk": "bHM="}},
    {"id": "0", "msg": {"type": "exec_command_end", "call_id": "c1", "stdout": "", "stderr": "ls: cannot access\n",
     "aggregated_output": "ls: cannot access\n", "exit_code": 2, "duration": {"secs": 1, "nanos": 0},
     "formatted_output": "ls: cannot access\n"}},
    {"id": "0", "msg": {"type": "patch_apply_begin", "call_id": "c3", "auto_approved": True,
     "changes": {"/p/new.txt": {"add": {"content": "hello\n"}}}}},
    {"id": "0", "msg": {"type": "patch_apply_end", "call_id": "c3", "stdout": "Success.", "stderr": "",
     "success": True}},
    {"id": "0", "msg": {"type": "agent_message", "message": "Done: new.txt exists."}},
    {"id": "0", "msg": {"type": "token_count", "info": {"total_token_usage": {"input_tokens": 500,
     "cached_input_tokens": 50, "output_tokens": 100, "reasoning_output_tokens": 25, "total_tokens": 600},
     "last_token_usage": None, "model_context_window": 272000}}},
]  # fmt: skip
DOCUMENT: dict[str, Any] = {
    "session": {"timestamp": "2025-05-20T10:00:00.000Z", "id": "8d6f", "instructions": "x"},
    "items": [
        {"role": "user", "content": [{"type": "input_text", "text": "hi"}], "type": "message"},
        {"type": "function_call", "name": "shell", "call_id": "c1", "arguments": '{"command":["ls"]}', "id": "f"},
        {"type": "function_call_output", "call_id": "c1", "output": '{"output":"a.txt\\n","metadata":{"exit_code":0}}'},
        {"id": "m", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]},
    ],
}


def stream(objects: list[dict[str, Any]]) -> bytes:
    return b"".join(encode_json(each).encode() + b"\n" for each in objects)


def write(tmp_path: Path, data: bytes, name: str = "saved.jsonl") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def originals(lines: list[RolloutLine]) -> list[Any]:
    """
    Return the objects from which lines were made, in order, as the documentation says where they are.
    """
    found: list[Any] = []
    for line in lines:
        if "original" in line.extra:
            found.append(line.extra["original"])
        elif "id" in line.extra:
            found.append({"id": line.extra["id"], "msg": line.payload})
    return found


def items_of(path: Path) -> list[Item]:
    return [item for turn in load_history(path).document().turns for item in turn.items]


def texts(path: Path) -> list[tuple[str, str]]:
    return [(item.kind, item.call.output or "" if item.call else item.text.strip()) for item in items_of(path)]


class TestExecJson:
    def test_of_today_is_read_as_a_session(self, tmp_path: Path) -> None:
        path = write(tmp_path, stream(STREAM))

        history = load_history(path)
        stats = session_stats(path)

        assert format_of(path) == "exec-json"
        assert (history.session_id, history.meta.timestamp, history.meta.source) == (
            THREAD,
            "2026-11-27T09:16:58.000Z",
            "exec",
        )
        assert [text for kind, text in texts(path) if kind != "plan"] == [
            "no metadata of the model", "**Thinking** hard", "ls: cannot access\n", "", "found", "",
            items_of(path)[-2].text.strip(), "Done: new.txt exists.",
        ]  # fmt: skip
        assert [[step.status for step in item.plan] for item in items_of(path) if item.plan] == [
            ["completed", "pending"], ["completed", "completed"],
        ]  # fmt: skip
        assert {name: (tool.calls, tool.failures) for name, tool in stats.tools.items()} == {
            "shell": (1, 1), "apply_patch": (1, 0), "mcp__docs__find": (1, 0), "web_search": (1, 0),
        }  # fmt: skip
        assert (stats.turns, stats.tokens and stats.tokens.total_tokens, stats.duration) == (1, 600, None)
        assert [line["content"][0]["text"] for line in history.to_input()] == ["Done: new.txt exists."]

    def test_of_2025_is_read_as_a_session(self, tmp_path: Path) -> None:
        path = write(tmp_path, stream(EVENTS))

        history = load_history(path)
        stats = session_stats(path)

        assert format_of(path) == "exec-json"
        assert (history.meta.cwd, history.meta.model_provider) == ("/home/dev/p", "mock")
        assert history.session_id == load_history(path).session_id
        assert [turn.prompt for turn in history.turns] == ["list the files"]
        assert [text for _, text in texts(path)] == [
            "list the files", "**Thinking** hard", "ls: cannot access\n", "Success.", "Done: new.txt exists.",
        ]  # fmt: skip
        changes = [change for item in items_of(path) if item.call for change in item.call.changes]
        assert [(change.kind, change.path, change.diff) for change in changes] == [("add", "/p/new.txt", "+hello")]
        assert {name: (tool.calls, tool.failures) for name, tool in stats.tools.items()} == {
            "shell": (1, 1), "apply_patch": (1, 0),
        }  # fmt: skip
        assert (stats.turns, stats.tokens and stats.tokens.total_tokens) == (1, 600)
        assert [part.model for part in stats.parts][-1] == "gpt-5-codex"

    @pytest.mark.parametrize("objects", [STREAM, EVENTS])
    def test_nothing_is_left_out(self, tmp_path: Path, objects: list[dict[str, Any]]) -> None:
        path = write(tmp_path, stream(objects))

        lines = [*read_lines(path)]

        key = encode_json
        assert sorted(map(key, originals(lines))) == sorted(map(key, objects))
        assert verify(path).is_whole
        assert verify(path).format == "exec-json"
        assert len([*decode_backwards(path)]) == len(lines)

    @given(st.data())
    def test_a_file_that_is_cut_anywhere_keeps_its_whole_objects(self, data: st.DataObject) -> None:
        from tempfile import TemporaryDirectory

        objects = data.draw(st.sampled_from([STREAM, EVENTS]))
        raw = stream(objects)
        cut = data.draw(st.integers(len(encode_json(objects[0])), len(raw)))
        with TemporaryDirectory() as folder:
            path = write(Path(folder), raw[:cut])
            reader = read_lines(path)
            found = originals([*reader])

        whole = raw[:cut].splitlines(keepends=True)
        is_torn = not whole[-1].endswith(b"\n") and whole[-1].rstrip(b"\n") + b"\n" not in raw.splitlines(keepends=True)
        assert len(found) == len(whole) - is_torn
        assert len(reader.skipped) == is_torn

    def test_of_0_42_with_the_first_new_form_is_read(self, tmp_path: Path) -> None:
        objects = [
            {"type": "session.created", "session_id": THREAD},
            {"type": "item.completed", "item": {"id": "item_0", "item_type": "assistant_message", "text": "Four."}},
        ]
        path = write(tmp_path, stream(objects))

        assert texts(path) == [("agent", "Four.")]
        assert session_stats(path).turns == 1
        assert originals([*read_lines(path)]) == objects

    def test_failures_of_a_turn_are_shown_once(self, tmp_path: Path) -> None:
        objects = [
            STREAM[0], {"type": "turn.started"}, {"type": "error", "message": "Reconnecting... 1/5"},
            {"type": "error", "message": "out of tokens"},
            {"type": "turn.failed", "error": {"message": "out of tokens"}},
        ]  # fmt: skip
        path = write(tmp_path, stream(objects))

        assert [item.text for item in items_of(path)] == ["Reconnecting... 1/5", "out of tokens"]
        assert [turn.status for turn in load_history(path).document().turns if turn.number] == ["failed"]

    def test_two_runs_in_one_file_keep_their_calls_apart(self, tmp_path: Path) -> None:
        path = write(tmp_path, stream(STREAM) * 2)

        assert session_stats(path).tools["shell"].calls == 2
        assert session_stats(path).turns == 2

    def test_messages_of_codex_around_the_objects_are_counted_as_unreadable(self, tmp_path: Path) -> None:
        path = write(tmp_path, b"Reading additional input from stdin...\n\n" + stream(STREAM) + b"ERROR codex_core\n")

        history = load_history(path)

        assert [line.lineno for line in history.skipped] == [1, len(history.lines) + 2]
        assert len(originals([*history.lines])) == len(STREAM)

    def test_objects_of_unknown_kinds_are_kept(self, tmp_path: Path) -> None:
        objects = [
            STREAM[0], {"type": "turn.paused", "why": "lunch"}, {"type": "thread.renamed", "name": "x"}, {"odd": 1},
            {"type": "item.completed", "item": {"id": "item_1", "type": 5}},
        ]  # fmt: skip
        path = write(tmp_path, stream(objects))

        lines = [*read_lines(path)]

        assert len(lines) == len(objects)
        assert all(word in encode_json([line.payload for line in lines]) for word in ("lunch", "turn.paused", "odd"))

    def test_an_object_that_codex_could_not_have_written_is_kept_as_it_is(self, tmp_path: Path) -> None:
        path = write(tmp_path, stream(STREAM[:1]) + b'{"type":"turn.x","n":NaN}\n[1]\n\xff{"type":1}\n')

        history = load_history(path)

        assert len(history.lines) + len(history.skipped) == 4

    @pytest.mark.parametrize("first", [0, 1, 2])
    def test_a_file_without_its_beginning_gets_an_id_that_stays(self, tmp_path: Path, first: int) -> None:
        for objects in (STREAM, EVENTS):
            path = write(tmp_path, stream(objects[first:]))

            assert format_of(path) == "exec-json"
            assert load_history(path).session_id == load_history(path).session_id

    def test_a_prompt_at_the_end_is_not_lost(self, tmp_path: Path) -> None:
        path = write(tmp_path, stream(EVENTS[:2]))

        assert [turn.prompt for turn in load_history(path).turns] == ["list the files"]

    def test_a_long_line_is_skipped(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rollout.reading._blocks.MAX_LINE_SIZE", 300)
        path = write(tmp_path, stream([STREAM[0], {"type": "turn.x", "text": "x" * 1000}, STREAM[2]]))

        history = load_history(path)

        assert (len(history.lines), len(history.skipped)) == (2, 1)


class TestOldJson:
    @pytest.mark.parametrize("indent", [0, 2])
    def test_is_read_as_a_session(self, tmp_path: Path, indent: int) -> None:
        import json

        path = write(tmp_path, json.dumps(DOCUMENT, indent=indent or None).encode(), "rollout-2025-05-20-8d6f.json")

        history = load_history(path)

        assert format_of(path) == "old-json"
        assert (history.session_id, history.meta.timestamp) == ("8d6f", "2025-05-20T10:00:00.000Z")
        assert [line.payload for line in history.lines] == [DOCUMENT["session"], *DOCUMENT["items"]]
        assert [turn.prompt for turn in history.turns] == ["hi"]
        assert session_stats(path).tools["shell"].calls == 1
        assert [item["type"] for item in history.to_input()] == [item["type"] for item in DOCUMENT["items"]]
        assert verify(path).format == "old-json"
        assert verify(path).is_whole

    def test_keeps_what_else_is_in_it(self, tmp_path: Path) -> None:
        odd: dict[str, Any] = {
            **DOCUMENT,
            "version": 7,
            "items": [{"role": "user", "content": "hi"}, 5, *DOCUMENT["items"]],
        }
        path = write(tmp_path, encode_json(odd).encode(), "a.json")

        history = load_history(path)

        assert history.lines[0].extra == {"original": {"version": 7}}
        assert history.lines[1].payload == {"type": "message", "role": "user", "content": "hi"}
        assert [line.reason for line in history.skipped] == ["not an object but int"]
        assert len(history.lines) == 2 + len(DOCUMENT["items"])

    @pytest.mark.parametrize(
        "value", [{"session": 5, "items": []}, {"items": 5}, {"session": {"id": 7}, "items": None}]
    )
    def test_with_other_values_has_no_readable_session_or_only_its_meta(self, tmp_path: Path, value: Any) -> None:
        path = write(tmp_path, encode_json(value).encode(), "a.json")

        try:
            assert len(load_history(path).lines) == 1
        except MissingSessionMetaError as error:
            assert "a.json" in str(error)

    def test_that_is_cut_off_keeps_its_whole_items(self, tmp_path: Path) -> None:
        raw = encode_json(DOCUMENT).encode()
        items = [encode_json(item).encode() for item in DOCUMENT["items"]]
        for cut in range(raw.index(items[0]) + len(items[0]), len(raw)):
            path = write(tmp_path, raw[:cut], "a.json")
            count = sum(item in raw[:cut] for item in items)

            history = load_history(path)

            assert [line.payload for line in history.lines[1:]] == DOCUMENT["items"][:count]

    def test_that_is_no_json_at_all_is_an_error_that_names_the_file(self, tmp_path: Path) -> None:
        path = write(tmp_path, b'{"session": oh no', "a.json")

        with pytest.raises(MissingSessionMetaError, match=r"a\.json"):
            load_history(path)
        assert [fault.kind for fault in verify(path).faults] == ["torn-tail", "missing-meta"]

    def test_that_has_many_ends_and_no_item_is_given_up_soon(self, tmp_path: Path) -> None:
        path = write(tmp_path, b'{"session": [' + b"}" * 300, "a.json")

        with pytest.raises(MissingSessionMetaError):
            load_history(path)

    def test_that_is_too_long_is_not_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rollout.reading._other_formats.MAX_LINE_SIZE", 50)
        path = write(tmp_path, encode_json(DOCUMENT).encode(), "a.json")

        with read_lines(path) as lines:
            assert [*lines] == []
        assert len(lines.skipped) == 1

    def test_items_that_codex_cannot_read_are_counted(self, tmp_path: Path) -> None:
        deep = "[" * 600 + "]" * 600
        session = encode_json(DOCUMENT["session"])
        path = write(tmp_path, f'{{"session":{session},"items":[{{"type":"message","x":{deep}}}]}}'.encode(), "a.json")

        history = load_history(path)

        assert (len(history.lines), len(history.skipped)) in ((1, 1), (2, 0))


class TestHome:
    @pytest.mark.parametrize(
        ("objects", "name"),
        [
            (STREAM, f"rollout-2026-11-27T09-16-58-{THREAD}.jsonl"),
            (EVENTS, f"rollout-2025-09-27T09-16-58-{ID[:-1]}0.jsonl"),
            (None, "rollout-2025-05-20-8d6f.json"),
        ],
    )
    def test_lists_searches_and_moves_them(self, home: Path, objects: Any, name: str) -> None:
        folder = home / "sessions" / "2026" / "11" / "27"
        folder.mkdir(parents=True)
        raw = encode_json(DOCUMENT).encode() if objects is None else stream(objects)
        path = write(folder, raw, name)
        word = "hello" if objects is None else "exists"

        (listed,) = list_sessions(home=home).items
        without = [hit.session_id for hit in search(word, home=home)]
        update_index(home=home)
        hits = [*search(word, home=home)]

        assert listed.problem is None
        assert listed.started_at is not None
        assert listed.session_id == load_history(path).session_id
        assert without == [hit.session_id for hit in hits] == [listed.session_id]
        assert list_sessions(home=home).items[0].session_id == listed.session_id
        path.write_bytes(raw if objects is None else raw + stream(objects[-2:]))
        update_index(home=home)
        assert [hit.session_id for hit in search(word, home=home)][:1] == [listed.session_id]
        assert archive(listed.session_id, home=home) == home / "archived_sessions" / name

    def test_compresses_them_as_they_are(self, home: Path) -> None:
        raw = stream(STREAM)
        path = put(home, raw, session_id=THREAD)

        compressed = compress(THREAD, home=home, min_age=0)

        assert not path.exists()
        assert load_history(compressed).session_id == THREAD
        assert [item.problem for item in list_sessions(home=home).items] == [None]
        with LineReader(compressed, bounds=Bounds(size=10**6, unpacked_size=10)) as lines:
            assert [*lines] == []

    def test_makes_a_session_of_one_by_a_fork(self, home: Path) -> None:
        put(home, stream(STREAM), session_id=THREAD)

        path = fork(THREAD, home=home)

        assert format_of(path) == "rollout"
        assert ("agent", "Done: new.txt exists.") in texts(path)

    @pytest.mark.parametrize("data", [stream(STREAM), encode_json(DOCUMENT).encode()])
    def test_never_appends_to_one_and_does_not_follow_it(self, home: Path, data: bytes) -> None:
        path = put(home, data, session_id=THREAD)

        with pytest.raises(UnsupportedSessionError, match="rollout fork"):
            Recorder.resume(path, home=home)
        with pytest.raises(ValueError, match="not a rollout"):
            follow(path)
        assert path.read_bytes() == data


def test_an_export_and_a_repaired_copy_contain_everything(tmp_path: Path) -> None:
    path = write(tmp_path, stream(STREAM))
    history = load_history(path)

    assert "Done: new.txt exists." in "".join(export_html(history))
    assert "Done: new.txt exists." in "".join(export_markdown(history))
    assert originals([*read_lines(repair(path).copy)]) == STREAM


def test_a_translated_file_is_read_from_any_position(tmp_path: Path) -> None:
    path = write(tmp_path, stream(STREAM))
    file, _ = open_rollout(path)
    with file:
        whole = file.read()
        for position in (len(whole) - 5, 3, 700, 0):
            assert file.seek(position) == position
            assert file.read(10) == whole[position : position + 10]
        file.seek(len(whole) + 10)
        assert file.read() == b""
        raw = file.raw
        raw.seek(0)
        assert raw.seek(5, io.SEEK_CUR) == 5
        with pytest.raises(io.UnsupportedOperation):
            raw.seek(0, io.SEEK_END)
        assert file.fileno() > 0
        file.seek(0)
        assert [line.raw for line in raw_lines(file)] == whole.splitlines()


@pytest.mark.parametrize(
    "data",
    [
        encode(seed_session("one")),
        b"\xef\xbb\xbf" + encode(seed_session("one")),
        b'{"id":"x","timestamp":"2025-09-01T00:00:00Z"}\n{"type":"message","msg":{}}\n',
        b'{"type":"message","role":"user"}\n',
        b'{"type":"error"}\n',
        b"",
        b"\0\0\0\0{",
        b"\0{",
        b"[]",
    ],
)
def test_other_files_are_read_as_rollouts(tmp_path: Path, data: bytes) -> None:
    assert format_of(write(tmp_path, data)) == "rollout"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "bom-be"])
def test_a_file_in_utf_16_is_named_as_such(home: Path, encoding: str) -> None:
    text = encode(seed_session("one")).decode()
    data = b"\xfe\xff" + text.encode("utf-16-be") if encoding == "bom-be" else text.encode(encoding)
    path = put(home, data)

    with pytest.raises(OSError, match="UTF-16") as caught:
        load_history(path)
    report = verify(path)

    assert str(path) in str(caught.value)
    assert [(fault.kind, fault.size) for fault in report.faults] == [("utf-16", len(data))]
    assert "iconv" in report.faults[0].message
    assert "UTF-16" in (list_sessions(home=home).items[0].problem or "")
    with pytest.raises(OSError, match="UTF-16"):
        repair(path)


def test_the_times_of_codex_exec_are_unknown_not_empty(home: Path) -> None:
    path = put(home, stream(STREAM), session_id=THREAD)
    since = datetime(2030, 1, 1, tzinfo=timezone.utc)

    assert {item.timestamp for item in items_of(path)} == {None}
    assert [hit.timestamp for hit in search("exists", home=home)] == [None]
    assert [hit.timestamp for hit in search("exists", home=home, filters=Filters(since=since))] == []
