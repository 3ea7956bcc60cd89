from __future__ import annotations

import os
import re
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from rollout import Recorder
from rollout.codec import encode_item
from rollout.search import update_index
from rollout.store import archive, rename_session
from tests.cli.conftest import Run
from tests.rollouts import encode, put, seed_session, token_count

IDS = [f"01a1fbb5-7abd-7c53-8766-f128212a61{n:02d}" for n in range(30)]
DAY = 86_400


def session(
    home: Path, number: int, text: str = "one", *, days_old: float = 0, started: str | None = None, **meta: object
) -> Path:
    """
    Write a session whose lines have this age. The times in the names of the files are fixed, unless given.
    """
    used_at = time.time() - days_old * DAY - 31 + number
    lines = seed_session(text, session_id=IDS[number])
    lines[0][1].update(timestamp=f"{datetime.fromtimestamp(used_at, timezone.utc):%Y-%m-%dT%H:%M:%S.000Z}", **meta)
    lines.append(("turn_context", {"model": "gpt-5"}))
    lines.append(
        token_count({"input_tokens": 1234, "cached_input_tokens": 0, "output_tokens": 0, "total_tokens": 1234})
    )
    raw = b"".join(encode_item(*line, time_ms=int(used_at * 1000)) for line in lines)
    started = started or f"2026-11-{21 - number % 20:02d}T01-25-{59 - number:02d}"
    return put(home, raw, session_id=IDS[number], timestamp=started)


def name_time(days_old: float) -> str:
    return time.strftime("%Y-%m-%dT%H-%M-%S", time.localtime(time.time() - days_old * DAY))


def test_list_in_a_pipe_prints_tab_separated_lines(home: Path, run: Run) -> None:
    session(home, 0, "first words\nof the user", cwd="/home/dev/parser")
    session(home, 1, days_old=3)
    rename_session(IDS[1], "parser bug")

    done = run("list")

    assert (done.status, done.err) == (0, "")
    first, second = done.rows
    assert [first[0], *first[2:]] == [IDS[0], "", "first words of the user", "/home/dev/parser", "master", "1", "1234",
                                      str(os.stat(session(home, 0, "first words\nof the user", cwd="/home/dev/parser")).st_size), "ok", "0"]  # fmt: skip # noqa: E501, PTH116
    assert second[0] == IDS[1]
    assert second[2] == "parser bug"


def test_list_at_a_terminal_prints_a_table(home: Path, terminal: Run) -> None:
    session(home, 0, "Why does the parser fail on an empty line?", cwd="/home/dev/parser")
    session(home, 1, "日本語のテスト", cwd="/home/dev/shop", days_old=3)
    rename_session(IDS[0], "parser bug")

    done = terminal("list", columns=100)

    heading, first, second = done.text.splitlines()
    assert heading.split() == ["session", "age", "about", "folder", "branch", "turns", "tokens", "size"]
    assert first.split() == ["@1", "now", "parser", "bug", "parser", "master", "1", "1.23k", "1.7", "kB"]
    assert second.split()[:4] == ["@2", "3d", "日本語のテスト", "shop"]
    # A wide character takes two columns.
    assert second.index("shop") == first.index("parser", 20) - len("日本語のテスト")


@pytest.mark.parametrize(("columns", "shown"), [(40, 3), (60, 5), (80, 8), (200, 8)])
def test_a_narrow_terminal_shows_fewer_columns_and_wraps_no_line(
    home: Path, terminal: Run, columns: int, shown: int
) -> None:
    session(home, 0, "Why does the parser fail on an empty line? " * 10, cwd="/home/dev/parser")

    done = terminal("list", columns=columns)

    heading, row = done.text.splitlines()
    assert len(heading.split()) == shown
    assert len(row) <= columns
    assert "Why does the parser" in row


def test_other_commands_accept_the_numbers_of_the_list(home: Path, run: Run) -> None:
    for number in range(3):
        session(home, number)

    shown = [line.split()[0] for line in run("list", screen=True).text.splitlines()[1:]]
    others = [
        run("list", *args, screen=True).text
        for args in (["--since", "1w"], ["--sort", "updated"], ["--cursor", f"2026-11-21T01-25-59|{IDS[0]}"])
    ]

    assert shown == ["@1", "@2", "@3"]
    assert [run("path", number).out for number in shown] == [f"{session(home, n)}\n" for n in range(3)]
    # Filtered lists, and lists that begin later, have no numbers.
    assert ["@1" in text for text in others] == [False] * 3
    assert all(IDS[2][:13] in text for text in others)


def test_a_cursor_continues_after_the_page_before(home: Path, run: Run) -> None:
    for number in range(5):
        session(home, number)

    first = run("list", "-n", "2", "--json").json
    second = run("list", "-n", "2", "--json", "--cursor", first["next_cursor"]).json
    last = run("list", "-n", "2", "--json", "--cursor", second["next_cursor"]).json

    pages = [[row["id"] for row in page["sessions"]] for page in (first, second, last)]
    assert pages == [IDS[0:2], IDS[2:4], IDS[4:5]]
    assert (first["schema_version"], last["next_cursor"]) == (2, None)


def test_all_lists_more_than_one_page(home: Path, run: Run) -> None:
    for number in range(30):
        session(home, number)

    assert len(run("list").rows) == 25
    assert len(run("list", "--all").rows) == 30
    assert len(run("list", "--all", "--cursor", f"2026-11-12T01-25-50|{IDS[9]}").rows) < 30
    assert len(run("list", "--all", "--since", "1d").rows) == 30


def test_all_lists_more_than_one_internal_page(home: Path, run: Run) -> None:
    for number in range(450):
        put(home, seed_session("one"), session_id=IDS[0][:-3] + f"{number:03d}")

    listed = run("list", "--all", "--fields", "id").rows

    assert [row[0][-3:] for row in listed] == [f"{number:03d}" for number in reversed(range(450))]


@pytest.mark.parametrize("is_indexed", [False, True])
def test_list_filters_sessions(home: Path, run: Run, is_indexed: bool) -> None:
    git = {"branch": "dev", "repository_url": "https://e.org/shop.git"}
    session(home, 0, cwd="/home/dev/parser/src", originator="codex_cli_rs", source="cli", started=name_time(0.1))
    session(home, 1, cwd="/home/dev/parsers", git=git, started=name_time(1))
    session(home, 2, days_old=9, started=name_time(10))
    if is_indexed:
        update_index(home=home)

    def listed(*args: str) -> list[str]:
        return [row[0] for row in run("list", *args).rows]

    assert listed("--cwd", "/home/dev/parser/x/..") == IDS[:1]
    assert listed("--branch", "dev") == IDS[1:2]
    assert listed("--repo", "shop") == IDS[1:2]
    assert listed("--originator", "codex_cli_rs") == IDS[:1]
    assert listed("--source", "cli") == IDS[:1]
    assert listed("--model", "gpt-5") == IDS[:3]
    assert listed("--since", "2d") == IDS[:2]
    assert listed("--until", "2d") == IDS[2:3]
    assert listed("--until", "9d") == IDS[2:3]
    assert listed("--until", "11d") == []
    assert listed("--sort", "updated") == [IDS[1], IDS[0], IDS[2]]
    assert listed("--since", "2d", "--model", "other") == []


@pytest.mark.parametrize("is_indexed", [False, True])
def test_a_session_belongs_to_a_period_in_which_it_was_used(home: Path, run: Run, is_indexed: bool) -> None:
    path = session(home, 0, days_old=3, started=name_time(6))
    os.utime(path, (time.time(), time.time()))
    if is_indexed:
        update_index(home=home)

    periods = {
        (since, until): run(
            "list", *(["--since", since] if since else []), *(["--until", until] if until else [])
        ).status
        for since, until in (("2d", ""), ("4d", ""), ("", "7d"), ("", "5d"), ("5d", "4d"), ("1d", "1h"))
    }

    assert periods == {
        ("2d", ""): 1,
        ("4d", ""): 0,
        ("", "7d"): 1,
        ("", "5d"): 0,
        ("5d", "4d"): 0,
        ("1d", "1h"): 1,
    }


@pytest.mark.parametrize("is_indexed", [False, True])
def test_sessions_are_sorted_by_their_last_line_not_by_the_time_of_the_file(
    home: Path, run: Run, is_indexed: bool
) -> None:
    session(home, 0, days_old=3)
    path = session(home, 1, days_old=5)
    os.utime(path, (time.time(), time.time()))
    if is_indexed:
        update_index(home=home)

    rows = run("list", "--sort", "updated", "--json").json["sessions"]

    assert [row["id"] for row in rows] == IDS[:2]
    ages = [time.time() - datetime.fromisoformat(row["updated"].replace("Z", "+00:00")).timestamp() for row in rows]
    assert [round(age / DAY) for age in ages] == [3, 5]
    assert [row["updated_by_file"] for row in rows] == [False, False]


def test_the_time_of_the_file_is_marked_as_such(home: Path, run: Run) -> None:
    path = session(home, 0)
    path.write_bytes(re.sub(rb'"timestamp":"[^"]*"', b'"timestamp":"?"', path.read_bytes()))
    os.utime(path, (1_795_000_000,) * 2)

    [row] = run("list", "--json").json["sessions"]

    assert (row["updated"], row["updated_by_file"]) == ("2026-11-18T11:06:40Z", True)


def test_a_pipe_and_a_terminal_show_the_title_and_json_the_preview_too(home: Path, run: Run) -> None:
    text = "first words\nof the user " + "x" * 600
    session(home, 0, text)

    row = run("list", "--json").json["sessions"][0]

    assert row["title"] == f"first words of the user {'x' * 95}…"
    assert row["preview"] == text[:500]
    assert run("list").rows[0][3] == row["title"]
    assert run("list", "--fields", "title").out == f"{row['title']}\n"
    assert row["title"] in run("list", screen=True, env={"COLUMNS": "250"}).text


@pytest.mark.parametrize("moment", ["2020-11-21", "2020-11-21T14:30", "2020-01-01T00:00:00Z", "100w", "90s"])
def test_since_accepts_times_in_several_formats(home: Path, run: Run, moment: str) -> None:
    session(home, 0)

    assert run("list", "--since", moment).status == 0


@pytest.mark.parametrize("moment", ["yesterday", "", "2d3h", "\u0663d", "-1d", "999999w", "0001-01-01"])
def test_an_invalid_time_is_reported_with_valid_examples(run: Run, moment: str) -> None:
    done = run("list", f"--since={moment}")

    assert done.status == 2
    assert "is not a valid time; use 30m, 12h, 2d, 1w, 2026-11-21" in done.err


def test_a_cursor_cannot_be_combined_with_a_filter(run: Run) -> None:
    assert run("list", "--cursor", "x", "--since", "1d").status == 2
    assert "is not a cursor" in run("list", "--cursor", "x").err


def test_fields_selects_fields(home: Path, run: Run) -> None:
    path = session(home, 0)

    assert run("list", "--fields", "id, tokens,problem").out == f"{IDS[0]}\t1234\t\n"
    assert run("list", "--fields", "path", "--jsonl").json == {"path": str(path)}
    assert run("list", "--fields", "path", "--json").json["sessions"] == [{"path": str(path)}]
    assert "unknown field nonsense; the fields are id, name" in run("list", "--fields", "nonsense").err


def test_list_at_a_terminal_reports_that_there_are_no_sessions(home: Path, run: Run) -> None:
    assert run("list") == run("list", "--all")
    assert run("list").status == 1
    assert run("list", "--json").json == {"schema_version": 2, "sessions": [], "next_cursor": None}
    assert f"no sessions in {home}" in run("list", screen=True).err
    assert f"no session in {home} matches" in run("list", "--since", "1d", screen=True).err


def test_list_at_a_terminal_reports_that_there_are_more_sessions(home: Path, run: Run) -> None:
    session(home, 0)
    session(home, 1)

    assert "use --cursor '2026-11-21T01-25-59|" in run("list", "-n", "1", screen=True).err
    assert "there are more sessions; use -n or --all" in run("list", "-n", "1", "--since", "1d", screen=True).err
    assert run("list", "-n", "2", "--since", "1d", screen=True).err == ""


def test_list_prints_the_states_of_sessions(home: Path, run: Run) -> None:
    put(home, b"", session_id=IDS[5])
    session(home, 1)
    archive(IDS[1])
    with Recorder(home=home) as recorder:
        recorder.user_message("live")
        recorder.flush()
        listed = run("list", "--json").json["sessions"]

    assert [(row["state"], row["problem"]) for row in listed] == [("live", None), ("damaged", "empty session file")]
    assert [row["state"] for row in run("list", "--json", "--archived").json["sessions"]] == ["archived"]
    assert "damaged" in run("list", screen=True).text


def test_only_the_index_has_counts_of_a_large_session(home: Path, run: Run) -> None:
    path = session(home, 0)
    path.write_bytes(path.read_bytes() + encode(seed_session("x" * 300_000)[2:4]))

    before, shown = run("list", "--json"), run("list", screen=True)
    update_index(home=home)
    after, shown_after = run("list", "--json"), run("list", screen=True)
    path.write_bytes(path.read_bytes() + encode(seed_session("more")[2:4]))

    assert [before.json["sessions"][0][key] for key in ("turns", "tokens")] == [None, None]
    assert "the turns and tokens of 1 session above 262 kB are not counted; `rollout index` counts them" in shown.err
    assert [after.json["sessions"][0][key] for key in ("turns", "tokens")] == [2, 1234]
    assert "not counted" not in shown_after.err
    assert run("list", "--json").json["sessions"][0]["turns"] is None
    assert " @1 " not in run("list", screen=True).text.splitlines()[1][3:]


def test_a_session_deleted_during_the_list_has_no_counts(home: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    path = session(home, 0)
    monkeypatch.setattr("rollout.overview.read_envelopes", lambda _: path.with_name("gone").open())

    assert run("list", "--fields", "id,turns,tokens").rows == [[IDS[0], "", ""]]


def test_a_long_list_uses_the_pager(home: Path, terminal: Run, tmp_path: Path) -> None:
    for number in range(30):
        session(home, number)
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho paged\nexec cat\n")
    pager.chmod(0o700)

    shown = [terminal("list", lines=lines, env={"PAGER": str(pager)}).text for lines in (20, 40)]

    assert [text.startswith("paged") for text in shown] == [True, False]
    assert shown[0].count("@") == 25


def test_path_prints_the_path_of_the_file(home: Path, run: Run) -> None:
    path = session(home, 0)

    assert run("path", "@last").out == f"{path}\n"
    assert run("path", IDS[0], screen=True).out == f"{path}\n"
    assert run("path", path.with_name("gone.jsonl")).err.endswith("gone.jsonl: No such file or directory\n")
