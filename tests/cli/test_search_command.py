from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from rollout.home import locked_file
from rollout.search import IndexBusyError, index_path, update_index
from rollout.search._seal import lock_path
from rollout.store import archive, rename_session
from tests.cli.conftest import Run
from tests.rollouts import ID, meta, prompt, put, seed_session

OTHER = "01a1fbb5-7abd-7c53-8766-f128212a613c"


@pytest.fixture(autouse=True)
def sessions(home: Path) -> None:
    put(home, seed_session("Why does the parser fail?", "And the lexer?"))
    put(home, [meta(OTHER), *prompt("The parser again")], session_id=OTHER, timestamp="2026-11-21T02-00-00")


@pytest.fixture(params=["scanned", "indexed"])
def is_indexed(home: Path, request: pytest.FixtureRequest) -> bool:
    if request.param == "indexed":
        update_index(home=home)
    return bool(request.param == "indexed")


def test_search_in_a_pipe_prints_one_line_per_hit(run: Run, is_indexed: bool) -> None:
    done = run("search", "parser")

    assert (done.status, done.err) == (0, "")
    assert done.rows[0][0] == OTHER
    assert [row[2:] for row in done.rows] == [
        ["user", "The parser again"],
        *sorted((["user", "Why does the parser fail?"], ["agent", "answer to Why does the parser fail?"]),
                key=lambda row: row != done.rows[1][2:]),
    ]  # fmt: skip


def test_search_without_hits_exits_with_1_and_without_words_with_2(run: Run, is_indexed: bool) -> None:
    assert run("search", "absent").status == 1
    assert run("search", "absent", "--json").json == {"schema_version": 2, "hits": []}
    assert "no word to search for" in run("search").err
    assert "a quotation mark is missing" in run("search", '"a').err


def test_excluded_words_follow_two_dashes(run: Run, is_indexed: bool) -> None:
    assert len(run("search", "--", "parser", "-fail").rows) == 1
    assert "No such option" in run("search", "parser", "-fail").err


def test_json_hits_have_their_position(home: Path, run: Run, is_indexed: bool) -> None:
    hit = run("search", "again", "--json").json["hits"][0]

    assert hit["snippet"][slice(*hit["matches"][0])] == "again"
    assert (hit["id"], hit["kind"], hit["tool"]) == (OTHER, "user", None)
    assert run("search", "again", "--fields", "id,matches").out == f"{OTHER}\t[[11,16]]\n"


def test_search_at_a_terminal_groups_hits_by_session(run: Run, is_indexed: bool) -> None:
    rename_session(OTHER, "bug")

    done = run("search", "parser", screen=True)

    assert f"{OTHER} bug" in done.text.splitlines()
    assert "The \x1b[31m\x1b[1mparser\x1b[0m again" in done.out
    assert ("no index; 2 sessions read" in done.err) is not is_indexed


def test_sessions_option_prints_each_session_once(home: Path, run: Run, is_indexed: bool) -> None:
    rename_session(OTHER, "bug")

    assert [row[:2] for row in run("search", "parser", "-l").rows] == [[OTHER, "bug"], [ID, ""]]
    assert run("search", "parser", "-l", "-n", "1", "--jsonl").json["id"] == OTHER
    assert run("search", "absent", "-l").status == 1


def test_search_notes_that_it_shows_only_the_first_hits(run: Run, is_indexed: bool) -> None:
    done = run("search", "parser", "-n", "1", screen=True)

    assert "only the first 1 hit; use -n or --all for more" in done.err
    assert "the first" not in run("search", "parser", "--all", screen=True).err


def test_search_filters_by_archive_kind_and_tool(run: Run, is_indexed: bool) -> None:
    archive(OTHER)

    assert [row[0] for row in run("search", "parser", "--archived").rows] == [OTHER]
    assert {row[0] for row in run("search", "parser", "--live").rows} == {ID}
    assert [row[2] for row in run("search", "parser", "--live", "--kind", "user").rows] == ["user"]
    assert run("search", "--failed").status == 1
    assert run("search", "parser", "--tool", "shell", "--no-index").status == 1


def test_new_lines_are_indexed_before_a_search(home: Path, run: Run) -> None:
    update_index(home=home)
    put(home, [meta(), *prompt("entirely new")], timestamp="2026-11-21T03-00-00")

    done = run("search", "entirely", screen=True)

    assert done.status == 0
    assert "not in the index yet" not in done.err


def test_new_lines_are_read_while_another_process_updates_the_index(home: Path, run: Run) -> None:
    update_index(home=home)
    put(home, [meta(), *prompt("entirely new")], timestamp="2026-11-21T03-00-00")

    with locked_file(lock_path(index_path(home)), busy=IndexBusyError):
        done = run("search", "entirely", screen=True)

    assert done.status == 0
    assert "new lines are read from the files" in done.err
    assert "1 session not in the index yet" in done.err


def test_a_damaged_index_is_reported_with_the_command_to_rebuild_it(home: Path, run: Run) -> None:
    update_index(home=home)
    with closing(sqlite3.connect(index_path(home), isolation_level=None)) as database:
        database.execute("DROP TABLE sessions")

    status = run("index", "--status", "--json")

    assert run("search", "parser").status == 0
    assert status.status == 2
    assert "`rollout index --rebuild` rebuilds it" in status.error["message"]
    assert run("index", "--rebuild").status == 0
    assert run("index", "--status").status == 0


def test_search_without_the_extra_reads_the_files(home: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "platformdirs", None)

    assert run("search", "parser").status == 0
    assert run("list").status == 0
    assert "pip install 'rollout-recorder[search]'" in run("index").err
    assert run("doctor").status == 1


def test_search_reports_an_unreadable_session(home: Path, run: Run) -> None:
    # No module is installed that can decompress it.
    put(home, b"", timestamp="2026-11-21T05-00-00", suffix=".zst").chmod(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "backports", None)
        patch.setitem(__import__("sys").modules, "compression", None)
        done = run("search", "parser", "--no-index")

    assert done.status == 0
    assert "pip install 'rollout-recorder[zstd]'" in done.err


def test_the_index_is_created_described_and_deleted(home: Path, run: Run) -> None:
    assert run("index", "--status").status == 1
    assert "`rollout index` creates one" in run("index", "--status", screen=True).err
    assert run("index", "--status", "--json").json["index"]["exists"] is False

    made = run("index", screen=True)
    put(home, seed_session("more"), timestamp="2026-11-21T03-00-00")
    status = run("index", "--status")

    assert "2 sessions and" in made.out
    assert status.out.startswith(f"{index_path(home)}: ")
    assert "1 session changed since" in status.out
    assert run("index", "--json").json["index"]["read_sessions"] == 1

    assert run("index", "--delete", "--json").json["index"]["exists"] is False
    assert run("index", "--delete").status == 1
    assert not index_path(home).exists()


def test_an_empty_home_has_an_empty_index_and_unreadable_sessions_are_reported(
    home: Path, run: Run, tmp_path: Path
) -> None:
    assert "for 0 sessions" in run("index", "--home", tmp_path / "none").out
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "backports", None)
        patch.setitem(__import__("sys").modules, "compression", None)
        put(home, b"", timestamp="2026-11-21T05-00-00", suffix=".zst")
        assert "pip install 'rollout-recorder[zstd]'" in run("index").err
