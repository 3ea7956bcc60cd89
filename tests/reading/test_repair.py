from __future__ import annotations

import json
import os
import stat
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout import Recorder, list_sessions, load_history, read_lines, repair, verify
from rollout import repair as repair_function
from rollout.reading import _blocks as blocks_module
from tests import rollouts, zstd

LINES = rollouts.encode(rollouts.seed_session("one", "two")).splitlines()
META, PROMPT, EVENT, *REST = LINES


def put(home: Path, *lines: bytes, end: bytes = b"\n", **place: Any) -> Path:
    return rollouts.put(home, b"\n".join(lines) + end, **place)


def content(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


@pytest.mark.promise("repair")
def test_every_complete_line_is_in_the_copy_unchanged_and_the_rest_is_not(home: Path) -> None:
    path = put(
        home,
        b"\xef\xbb\xbf" + META,
        PROMPT + EVENT,
        EVENT[:30] + PROMPT,
        b"\0" * 512 + EVENT,
        b"garbage",
        b"",
        b'{"a":1}',
        PROMPT + b"\r",
        EVENT[:30],
        end=b"",
    )
    before = path.read_bytes()

    done = repair(path)

    assert content(done.copy) == [META, PROMPT, EVENT, PROMPT, EVENT, b'{"a":1}', PROMPT]
    assert path.read_bytes() == before
    assert [fault.kind for fault in done.after.faults] == ["bad-line"]


@pytest.mark.parametrize("is_paginated", [False, True])
def test_items_that_codex_does_not_read_are_put_into_the_form_that_it_reads(home: Path, is_paginated: bool) -> None:
    text = {"type": "message", "role": "user", "content": "hi"}
    tools = [{"type": "text", "text": "hello"}, {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}]
    thinking = {"type": "thinking", "thinking": "hm"}
    items = [text, {"type": "message", "role": "assistant", "content": tools}, thinking]
    session = rollouts.paginated_session("a") if is_paginated else rollouts.seed_session("a")
    lines = [*session, *(("response_item", item) for item in items)]
    path = rollouts.put(home, rollouts.encode(lines, first_ordinal=0 if is_paginated else None))

    done = repair(path)

    written = [json.loads(line)["payload"] for line in content(done.copy)[len(session) :]]
    assert [item["type"] for item in written] == ["message", "message", "function_call", "thinking"]
    assert [item["content"][0]["text"] for item in written[:2]] == ["hi", "hello"]
    assert [fault.kind for fault in done.after.faults] == ["call-without-output", "unread-by-codex"]
    assert done.actions == ("put into the form that Codex reads, if it has one; otherwise unchanged",) * 3


def test_a_session_without_faults_is_copied_byte_for_byte(home: Path) -> None:
    path = rollouts.put(home, rollouts.encode(rollouts.paginated_session("a", "b"), first_ordinal=0))

    done = repair(path)

    assert done.copy.read_bytes() == path.read_bytes()
    assert done.actions == ()


def test_the_report_lists_each_fault_and_its_action(home: Path) -> None:
    done = repair(put(home, META, b"garbage", PROMPT, EVENT[:30], end=b""))

    report = json.loads(done.report.read_bytes())

    assert (report["original"], report["copy"]) == (str(done.original), str(done.copy))
    assert (report["schema_version"], report["lines_in_original"], report["lines_in_copy"]) == (2, 2, 2)
    assert report["faults"] == [
        {
            "kind": "bad-json",
            "lineno": 2,
            "offset": len(META) + 1,
            "size": 7,
            "message": "not JSON (Expected object or value)",
            "action": "left out",
        },
        {
            "kind": "torn-tail",
            "lineno": 4,
            "offset": len(META) + len(PROMPT) + 10,
            "size": 30,
            "message": done.before.faults[1].message,
            "action": "left out",
        },
    ]
    assert report["faults_in_copy"] == []


def test_copy_and_report_are_for_their_owner_only_and_not_in_the_list_of_sessions(home: Path) -> None:
    done = repair(put(home, META, PROMPT))

    modes = [stat.S_IMODE(path.stat().st_mode) for path in (done.copy.parent, done.copy, done.report)]
    assert modes == [0o700, 0o600, 0o600]
    assert done.copy == home / "repaired" / done.original.name
    assert sorted(done.copy.parent.iterdir()) == sorted([done.copy, done.report])
    assert [item.path for item in list_sessions(home=home).items] == [done.original]


def test_the_copy_of_a_file_outside_any_home_is_in_the_same_folder(tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_bytes(META + b"\n")

    done = repair(path)

    assert done.copy == tmp_path / "some.jsonl.repaired"
    assert done.report == tmp_path / "some.jsonl.repaired.report.json"


@pytest.mark.parametrize("there", ["copy", "report"])
def test_repair_overwrites_no_file(home: Path, tmp_path: Path, there: str) -> None:
    path = put(home, META)
    in_the_way = tmp_path / ("copy" if there == "copy" else "copy.report.json")
    in_the_way.symlink_to(tmp_path / "nowhere")

    with pytest.raises(FileExistsError, match=in_the_way.name):
        repair(path, to=tmp_path / "copy")

    assert [p for p in tmp_path.iterdir() if p.name.startswith("copy")] == [in_the_way]


def test_repair_on_a_full_disk_leaves_no_files(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(home, META)

    def fail(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        repair(path)

    assert list(path.parent.iterdir()) == [path]
    assert list((home / "repaired").iterdir()) == []


def test_a_missing_meta_is_created_from_the_name_and_the_first_lines(home: Path) -> None:
    path = put(home, PROMPT, EVENT, *REST)

    done = repair(path)

    meta = load_history(done.copy).meta
    assert (meta.id, meta.cwd, meta.timestamp) == (rollouts.ID, "/home/dev/demo", json.loads(PROMPT)["timestamp"])
    assert content(done.copy)[1:] == [PROMPT, EVENT, *REST]
    assert done.after.is_whole


def test_a_created_meta_has_the_folder_of_the_first_turn_context(home: Path) -> None:
    context = rollouts.encode([("turn_context", {"cwd": "/elsewhere"})])[:-1]

    done = repair(put(home, EVENT, context))

    assert load_history(done.copy).meta.cwd == "/elsewhere"


def test_an_empty_file_becomes_a_session_without_turns(home: Path) -> None:
    done = repair(put(home, end=b""))

    history = load_history(done.copy)
    assert (history.session_id, history.turns, history.meta.cwd) == (rollouts.ID, (), "/")
    assert history.meta.timestamp == "2026-11-21T01:25:37.000Z"


def test_a_meta_is_not_created_if_the_name_has_no_id(tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_bytes(PROMPT + b"\n")

    done = repair(path)

    assert done.actions == ("not created: the file name contains no id",)
    assert content(done.copy) == [PROMPT]


def test_ordinals_of_a_paginated_session_are_made_ascending(home: Path) -> None:
    lines = rollouts.encode(rollouts.paginated_session("a"), first_ordinal=0).splitlines()
    unnumbered = lines[4].replace(b'"ordinal":4,', b"")
    path = put(home, *lines[:3], lines[2], lines[3], unnumbered, lines[1], *lines[7:])

    done = repair(path)

    with read_lines(done.copy) as reader:
        copied = list(reader)
    assert [line.ordinal for line in copied] == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert [line.payload for line in copied[3:7]] == [json.loads(lines[n])["payload"] for n in (2, 3, 4, 1)]
    assert done.after.is_whole


def test_a_paginated_session_without_its_meta_stays_paginated(home: Path) -> None:
    lines = rollouts.encode(rollouts.paginated_session("a"), first_ordinal=0).splitlines()

    done = repair(put(home, *lines[1:]))

    assert load_history(done.copy).meta.history_mode == "paginated"
    assert [line.ordinal for line in read_lines(done.copy)] == list(range(len(lines)))


def test_a_repaired_session_can_be_resumed(home: Path, tmp_path: Path) -> None:
    done = repair(put(home, META, PROMPT + EVENT, EVENT[:30], end=b""))
    done.copy.replace(done.original)

    with Recorder.resume(done.original) as recorder:
        recorder.agent_message("goes on")

    assert verify(done.original).is_whole
    assert len(load_history(done.original).lines) == 5


def test_bytes_that_are_not_utf8_are_replaced_so_that_codex_reads_them(home: Path) -> None:
    bad = EVENT.replace(b"one", b"\xff")

    done = repair(put(home, META, bad))

    assert content(done.copy) == [META, EVENT.replace(b"one", "\ufffd".encode())]


@pytest.mark.parametrize("suffix", ["", ".zst"])
def test_a_line_too_long_to_read_is_copied(home: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setattr(blocks_module, "MAX_LINE_SIZE", 1000)
    long = bytes(range(1, 256)).replace(b"\n", b"") * 20_000
    data = b"\n".join([META, long, EVENT]) + b"\n"
    if suffix:
        data = zstd.compress(data)

    done = repair(rollouts.put(home, data, suffix=suffix))

    assert done.copy.read_bytes().split(b"\n") == [META, long, EVENT, b""]
    assert done.copy.suffix == ".jsonl"


@pytest.mark.promise("growth")
@pytest.mark.parametrize("suffix", ["", ".zst"])
def test_bad_lines_that_are_copied_are_not_read_again(home: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    data = META + b"\n" + b'{"a":1}\n' * 100
    if suffix:
        data = zstd.compress(data)
    path, opened = rollouts.put(home, data, suffix=suffix), []
    for name in ("_repair", "_verify", "_lines"):
        module = import_module(f"rollout.reading.{name}")
        real = module.open_rollout
        monkeypatch.setattr(module, "open_rollout", lambda path, real=real: (opened.append(path), real(path))[1])

    done = repair(path)

    assert content(done.copy) == [META, *[b'{"a":1}'] * 100]
    # Once for the faults before, once for the copy, once for the faults after.
    assert len(opened) == 3


ENDS = st.lists(st.sampled_from([b"\n", b"", b"\r\n", b"\n\n"]))
WHOLE = st.sampled_from(LINES)
TORN = st.builds(lambda line, n: line[: n % len(line)], WHOLE, st.integers(0))


def write_damaged_file(factory: pytest.TempPathFactory, parts: list[bytes], ends: list[bytes]) -> Path:
    path = factory.mktemp("home") / f"rollout-2026-11-21T01-25-37-{rollouts.ID}.jsonl"
    path.write_bytes(b"".join(part + end for part, end in zip(parts, [*ends, *[b"\n"] * len(parts)], strict=False)))
    return path


@pytest.mark.promise("repair")
@given(parts=st.lists(st.one_of(WHOLE, TORN, st.just(b"\0" * 8))), ends=ENDS)
def test_every_complete_line_is_found_at_any_place_after_a_crash_or_an_append(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], ends: list[bytes]
) -> None:
    done = repair_function(write_damaged_file(tmp_path_factory, parts, ends))

    assert [line for line in content(done.copy) if line in LINES] == [part for part in parts if part in LINES]
    assert done.after.is_whole


@pytest.mark.promise("repair")
@given(parts=st.lists(st.one_of(WHOLE, TORN, st.sampled_from([b"\xff", b"{", b"}", b'"', b"[1]"]))), ends=ENDS)
def test_no_line_that_the_reader_reads_is_missing_from_the_copy(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], ends: list[bytes]
) -> None:
    path = write_damaged_file(tmp_path_factory, parts, ends)

    done = repair_function(path)

    with read_lines(path) as before, read_lines(done.copy) as after:
        kept = [line.payload for line in after]
        assert [line.payload for line in before if line.payload not in kept] == []
    assert {fault.kind for fault in done.after.faults} <= {"bad-line"}
