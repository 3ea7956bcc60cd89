from __future__ import annotations

from pathlib import Path

import pytest

from rollout import Recorder, SessionNotFoundError, find_session, list_sessions, load_history, read_lines, verify
from rollout.store import delete, fork
from tests.rollouts import ID, bare_session, encode, event, message, meta, paginated_session, put, seed_session
from tests.store.deaths import deaths

CHILD = "02b1fbb5-7abd-7c53-8766-f128212a613b"


def prompts(path: Path) -> list[str | None]:
    return [turn.prompt for turn in load_history(path).turns]


def test_a_fork_is_a_new_session_with_all_lines_of_the_original(home: Path) -> None:
    path = put(home, seed_session("one", "two"))

    forked = fork(ID)

    history = load_history(forked)
    assert history.session_id != ID
    assert find_session(history.session_id) == forked
    assert history.lines[0].payload["forked_from_id"] == ID
    assert [line.raw for line in history.lines[1:]] == [line.raw for line in read_lines(path)]
    assert forked.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == encode(seed_session("one", "two"))
    with Recorder.resume(forked) as recorder:
        recorder.user_message("three")
    assert prompts(forked) == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("at", "expected"),
    [(0, []), (1, ["a"]), (2, ["a", "b"]), (3, ["a", "b", "c"]), (-1, ["a", "b"]), (-3, [])],
)
@pytest.mark.parametrize("era", ["seed", "paginated", "bare"])
def test_a_fork_ends_after_the_given_turn(home: Path, era: str, at: int, expected: list[str]) -> None:
    sessions = {
        "seed": encode(seed_session("a", "b", "c")),
        "paginated": encode(paginated_session("a", "b", "c"), first_ordinal=0),
        "bare": bare_session("a", "b", "c"),
    }
    put(home, sessions[era])

    forked = fork(ID, at=at)

    assert prompts(forked) == expected
    assert verify(forked).is_whole


@pytest.mark.parametrize("at", [4, -4])
def test_a_fork_at_a_missing_turn_is_refused(home: Path, at: int) -> None:
    put(home, seed_session("a", "b", "c"))

    with pytest.raises(ValueError, match="is out of range"):
        fork(ID, at=at)

    assert len(list_sessions().items) == 1


def test_a_fork_of_a_paginated_session_has_new_ordinals(home: Path) -> None:
    put(home, encode(paginated_session("a"), first_ordinal=0))

    forked = fork(ID)

    assert [line.ordinal for line in read_lines(forked)] == list(range(9))
    with Recorder.resume(forked) as recorder:
        recorder.user_message("b")
    assert verify(forked).is_whole


def test_a_fork_of_a_session_before_the_envelope_has_lines_that_codex_reads(home: Path) -> None:
    put(home, bare_session("a"))

    forked = fork(ID)

    lines = list(read_lines(forked))
    assert not any(line.is_bare for line in lines)
    assert {line.type for line in lines} == {"session_meta", "response_item"}
    assert all(line.timestamp for line in lines)
    assert {"cwd", "originator", "cli_version"} <= lines[0].payload.keys()
    assert lines[0].payload["cwd"] == "/home/dev/demo"


def referring(home: Path, *, end: int = 9, of: str = ID, session_id: str = CHILD) -> Path:
    base = {"thread_id": of, "end_ordinal_exclusive": end, "end_byte_offset": 1}
    lines = [
        meta(session_id, history_mode="paginated", history_base=base),
        message("user", f"after {end}"),
    ]
    lines[0][1]["session_id"] = session_id
    return put(home, encode(lines, first_ordinal=end), session_id=session_id, timestamp="2026-11-21T03-00-00")


def test_a_fork_by_reference_is_loaded_with_its_inherited_lines(home: Path) -> None:
    parent = put(home, encode(paginated_session("a", "b"), first_ordinal=0))
    child = referring(home)

    history = load_history(child)

    assert [turn.prompt for turn in history.turns] == ["a", "after 9"]
    assert [line.ordinal for line in history.inherited] == list(range(9))
    assert len(history.lines) == 2
    assert history.missing_base is None
    assert history.to_input()[:-1] == load_history(fork(parent, at=1)).to_input()


def test_a_fork_of_a_fork_by_reference_needs_no_other_file(home: Path) -> None:
    put(home, encode(paginated_session("a", "b"), first_ordinal=0))
    child = referring(home)

    forked = fork(child)
    child.unlink()
    delete(ID)

    assert prompts(forked) == ["a", "after 9"]
    assert [line.ordinal for line in read_lines(forked)] == list(range(len(list(read_lines(forked)))))
    meta_of_fork = load_history(forked).lines[0].payload
    assert "history_base" not in meta_of_fork
    assert meta_of_fork["session_id"] == meta_of_fork["id"] != CHILD


def test_a_reference_beyond_the_end_of_a_session_inherits_all_of_its_lines(home: Path) -> None:
    put(home, encode(paginated_session("a"), first_ordinal=0))

    history = load_history(referring(home, end=99))

    assert [line.ordinal for line in history.inherited] == list(range(9))


def test_a_reference_means_the_file_with_that_id_and_no_other_file_of_the_thread(home: Path) -> None:
    put(home, encode(paginated_session("a"), first_ordinal=0))
    reverted = encode(paginated_session("reverted"), first_ordinal=0)
    put(home, reverted, session_id=f"{ID}_{ID[:-1]}0", timestamp="2026-11-21T02-00-00")

    history = load_history(referring(home))

    assert [turn.prompt for turn in history.turns] == ["a", "after 9"]


def test_a_reference_to_a_missing_session_is_reported(home: Path) -> None:
    child = referring(home)

    history = load_history(child)

    assert (history.missing_base, history.inherited) == (ID, ())
    assert [turn.prompt for turn in history.turns] == ["after 9"]
    with pytest.raises(SessionNotFoundError):
        fork(child)


def test_a_session_that_references_itself_is_loaded(home: Path) -> None:
    child = referring(home, of=CHILD)

    assert len(load_history(child).inherited) <= 64


def test_a_fork_of_a_live_session_ends_with_its_last_complete_line(recorder: Recorder) -> None:
    recorder.user_message("one")
    recorder.flush()
    with recorder.path.open("ab") as file:
        file.write(b'{"timestamp":"2026')

    forked = fork(recorder.session_id)

    assert prompts(forked) == ["one"]
    assert verify(forked).is_whole


def test_unknown_lines_are_copied_byte_for_byte(home: Path) -> None:
    novel = b'{"timestamp":"t", "type":"novel",  "payload":{"b":1e400000,"a":[]}}\n'.replace(b"1e400000", b"1.50")
    put(home, encode(seed_session("one")) + novel)

    assert fork(ID).read_bytes().endswith(novel)


def test_a_line_too_deep_to_be_numbered_is_left_out(home: Path) -> None:
    lines = [*paginated_session("a"), event("deep", value=0)]
    deep = encode(lines, first_ordinal=0).replace(b'"value":0', b'"value":' + b"[" * 200 + b"]" * 200)
    put(home, deep)

    forked = fork(ID)

    assert [line.ordinal for line in read_lines(forked)] == list(range(9))


def test_a_kill_at_any_moment_leaves_a_complete_fork_or_none(home: Path) -> None:
    put(home, seed_session("one"))
    count = 0

    for _ in deaths(lambda: fork(ID)):
        count += 1
        others = [item.path for item in list_sessions().items if item.session_id != ID]
        assert all(verify(path).is_whole and prompts(path) == ["one"] for path in others)
        for path in others:
            path.unlink()

    assert count >= 4
