from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from rollout import Recorder
from rollout.search import Index, index_path, update_index
from rollout.store import delete
from tests.cli.conftest import Run
from tests.rollouts import ID, encode, message, meta, put, seed_session

OTHER = "01a1fbb5-7abd-7c53-8766-f128212a613c"
KEY = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5"
TORN = encode(seed_session("one"))[:-5]


def test_an_undamaged_session_has_no_faults(home: Path, run: Run) -> None:
    path = put(home, seed_session("one"))

    assert run("verify", ID).out == f"{path}: 6 lines, no faults\n"
    assert run("verify", ID).status == 0
    assert run("verify", "--all", "--json").json["sessions"] == [
        {"path": str(path), "lines": 6, "faults": [], "secrets": [], "error": None}
    ]


def test_verify_prints_line_and_byte_of_each_fault(home: Path, run: Run) -> None:
    path = put(home, TORN)
    put(home, seed_session("other", session_id=OTHER), session_id=OTHER)

    done = run("verify", "--all", screen=True)

    assert done.status == 1
    assert done.out.startswith(f"{path}:6: byte ")
    assert "torn-tail: the file ends inside this line" in done.out
    assert "2 sessions, 1 with problems" in done.err
    assert run("verify", ID, "--json").json["sessions"][0]["faults"][0]["kind"] == "torn-tail"


def test_verify_finds_keys_without_printing_them(home: Path, run: Run) -> None:
    put(home, [meta(), message("user", f"My token is {KEY}.")])

    done = run("verify", ID, "--secrets")

    assert done.status == 1
    assert ":2: " in done.out
    assert KEY not in done.out + run("verify", ID, "--secrets", "--json").out
    assert run("verify", ID).status == 0


def test_verify_of_an_unreadable_file_is_an_error(home: Path, run: Run) -> None:
    path = put(home, seed_session("one"))

    gone = run("verify", path.with_name("gone.jsonl"))
    both = run("verify", ID, path.with_name("gone.jsonl"))

    assert (gone.status, both.status) == (2, 4)
    assert "No such file" in gone.err
    assert run("verify", path.with_name("gone.jsonl"), "--json").json["sessions"][0]["error"]
    assert run("verify").status == 2
    assert run("verify", "--all", ID).status == 2


def test_verify_without_sessions_exits_with_1(run: Run) -> None:
    assert run("verify", "--all").status == 1


def test_repair_writes_a_copy_and_does_not_change_the_file(home: Path, run: Run, tmp_path: Path) -> None:
    path = put(home, TORN)

    dry = run("repair", ID, "--dry-run")
    done = run("repair", ID)
    as_json = run("repair", ID, "--to", tmp_path / "copy.jsonl", "--json").json["repair"]

    assert (dry.status, "torn-tail" in dry.out) == (1, True)
    assert done.out == f"{home / 'repaired' / path.name}\n"
    assert "line 6: torn-tail: left out" in done.err
    assert path.read_bytes() == TORN
    assert as_json["copy"] == str(tmp_path / "copy.jsonl")
    assert [action["action"] for action in as_json["actions"]] == ["left out"]
    assert run("repair", ID).err.endswith("the repair would overwrite it\n")
    assert run("repair", ID, "--dry-run", "--json").json["sessions"][0]["lines"] == 5


def test_doctor_finds_no_problem_in_a_good_home(home: Path, run: Run) -> None:
    with Recorder(home=home) as recorder:
        recorder.user_message("one")
        recorder.flush()
        live = run("doctor")
    update_index(home=home)

    done = run("doctor", "--json")

    assert (done.status, done.err) == (0, "")
    assert all(finding["ok"] for finding in done.json["findings"])
    assert {finding["check"] for finding in done.json["findings"]} >= {"space", "sessions", "damage", "index", "trash"}
    assert f"1 session open: {recorder.session_id}" in live.out
    assert "ok    version: rollout " in live.out


def test_doctor_prints_problems(home: Path, run: Run) -> None:
    put(home, b"")
    own = meta(session_id=OTHER, history_base={"thread_id": OTHER[:-1] + "0", "end_ordinal_exclusive": 8})
    put(home, [own], session_id=OTHER)
    (home / "sessions" / "2025").write_text("not a folder")
    delete(put(home, seed_session("gone"), timestamp="2026-11-21T02-00-00"))
    home.chmod(0o777)

    done = run("doctor", screen=True)

    assert done.status == 1
    problems = {line.split()[1].rstrip(":") for line in done.text.splitlines() if line.startswith("warn")}
    assert problems == {"home", "forks"}
    assert "other users can change it; use chmod 700" in done.out
    assert f"sessions that forks refer to are missing: {OTHER[:-1]}0" in done.out


def test_doctor_names_at_most_five_damaged_sessions(home: Path, run: Run) -> None:
    for number in range(7):
        put(home, b"", session_id=f"{ID[:-1]}{number}")

    assert "and 2 more" in run("doctor").out


def test_doctor_checks_all_sessions(home: Path, run: Run) -> None:
    for number in range(201):
        put(home, b"", session_id=f"{ID[:-3]}{number:03d}")

    assert "ok    sessions: 201 sessions" in run("doctor").out
    assert len(run("list", "--all").rows) == 201


def test_the_parent_of_a_fork_can_be_a_file_of_a_reverted_session(home: Path, run: Run) -> None:
    reverted = put(home, seed_session("one"), session_id=f"{ID}_{OTHER[:-1]}0")
    own = meta(session_id=OTHER, history_base={"thread_id": f"{OTHER[:-1]}0".upper(), "end_ordinal_exclusive": 8})
    put(home, [own, *seed_session("x")[1:]], session_id=OTHER)

    assert reverted.exists()
    assert "ok    forks" in run("doctor").out


def test_doctor_reports_a_missing_home(run: Run) -> None:
    done = run("doctor")

    assert done.status == 1
    assert "does not exist; Codex or a Recorder creates it" in done.out


def test_doctor_reports_an_unreadable_folder(home: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(home, seed_session("one"))
    scandir = os.scandir

    def refuse(folder: Path) -> object:
        if Path(folder) == path.parents[1]:
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)

    assert "warn  sessions" in run("doctor").out


def test_doctor_reports_another_owner_and_missing_extras(home: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir(mode=0o755)
    user = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    monkeypatch.setattr("rollout.cli._health.find_spec", lambda name: None)

    out = run("doctor").out

    assert f"owned by user {user}" in out
    assert "other users can see file names and times" in out
    assert "missing: backports.zstd, platformdirs" in out


def test_doctor_reports_an_extra_with_a_missing_parent_package(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_not_found(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("rollout.cli._health.find_spec", raise_not_found)

    assert "missing: backports.zstd" in run("doctor").out


def test_doctor_reports_a_damaged_index(home: Path, run: Run) -> None:
    put(home, seed_session("one"))
    update_index(home=home)
    with closing(sqlite3.connect(index_path(home), isolation_level=None)) as database:
        database.execute("DROP TABLE sessions")

    assert "warn  index" in run("doctor").out


def test_doctor_reports_a_damaged_row_of_the_index(home: Path, run: Run) -> None:
    put(home, seed_session("one"))
    update_index(home=home)
    with Index.open(home) or pytest.fail() as index, index.transaction():
        index.database.execute("UPDATE folders SET mtime_ns = 1")

    assert "is damaged: the list of folders is damaged" in run("doctor").out


def test_doctor_counts_the_files_and_links_that_are_not_listed(home: Path, run: Run) -> None:
    path = put(home, seed_session("one"))
    (home / "sessions" / "notes.txt").write_text("x")
    path.with_name(f"rollout-2026-11-21T01-25-38-{OTHER}.jsonl").symlink_to(path)

    fine = {row["check"]: row for row in run("doctor", "--json").json["findings"]}
    (home / "sessions" / "2026" / path.name).write_bytes(path.read_bytes())
    lost = {row["check"]: row for row in run("doctor", "--json").json["findings"]}

    assert (fine["places"]["ok"], fine["links"]["ok"], lost["places"]["ok"]) == (True, False, False)
    assert fine["places"]["message"].endswith("so not listed: sessions/notes.txt")
    assert "1 link, not followed, so not listed: sessions/2026/11/21/rollout" in fine["links"]["message"]
    assert (
        f"2 files in other places or with other names, so not listed: sessions/2026/{path.name}"
        in lost["places"]["message"]
    )


def test_verify_names_the_format_of_a_file_that_is_no_rollout(tmp_path: Path, run: Run) -> None:
    stream, document, wide = (tmp_path / name for name in ("a.jsonl", "b.json", "c.jsonl"))
    stream.write_text('{"type":"thread.started","thread_id":"x"}\n{"type":"turn.started"}\n')
    document.write_text('{"session": {"id": "8d6f", "timestamp": "2025-05-20T10:00:00.000Z"},\n "items": []}')
    wide.write_text('{"timestamp":"x"}', encoding="utf-16")

    assert (
        run("verify", stream).out == f"{stream}: 2 lines, no faults (output of codex exec --json, read as a rollout)\n"
    )
    assert (
        run("verify", document).out
        == f"{document}: 1 lines, no faults (document of the TypeScript CLI, read as a rollout)\n"
    )
    assert run("verify", document, "--json").json["sessions"][0]["format"] == "old-json"
    assert "utf-16: the file is in UTF-16, not UTF-8" in run("verify", wide).out
    assert [row["original"]["type"] for row in run("show", stream, "--json").json["lines"]] == [
        "thread.started",
        "turn.started",
    ]
