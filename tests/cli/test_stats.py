from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from rollout._text import duration_text
from rollout.codec import encode_item
from rollout.search import update_index
from rollout.stats import GROUPS
from rollout.store import archive
from tests.builders import command, command_output, completed, script, script_output
from tests.cli.conftest import Run
from tests.rollouts import ID, Line, encode, event, meta, prompt, put, seed_session, token_count

OTHER = "01a1fbb5-7abd-7c53-8766-f128212a613c"
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
FIRST_DAY_MS = 1_795_132_800_000


@pytest.fixture
def path(home: Path) -> Path:
    counted = token_count({"input_tokens": 1234, "total_tokens": 1234})
    call = {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "c"}
    output = {"type": "function_call_output", "call_id": "c", "output": '{"output":"","metadata":{"exit_code":1}}'}
    lines = [*seed_session("one", "two"), counted, ("response_item", call), ("response_item", output)]
    raw = encode(lines).replace(b"01:25:37.122Z", b"02:26:38.122Z").replace(b"02:26:38.122Z", b"01:25:37.122Z", 1)
    return put(home, raw)


@pytest.mark.parametrize("is_indexed", [False, True])
def test_stats_counts_sessions(home: Path, path: Path, run: Run, is_indexed: bool) -> None:
    put(home, seed_session("three", session_id=OTHER), session_id=OTHER, timestamp="2026-11-21T02-00-00")
    if is_indexed:
        update_index(home=home)

    one, both = (run("stats", *args, "--json").json["stats"] for args in ([ID], []))

    assert (one["turns"], one["tokens"]["total_tokens"], one["duration"]) == (2, 1234, 3661.0)
    assert one["tools"] == {"shell": {"calls": 1, "failures": 1, "duration": None}}
    assert (both["sessions"], both["turns"]) == (2, 3)
    assert run("stats", "--model", "other").status == 1
    assert run("stats", "--archived", "--json").json["stats"]["sessions"] == 0


def test_stats_at_a_terminal_prints_a_table(path: Path, run: Run) -> None:
    lines = run("stats", ID, screen=True).text.splitlines()

    rows = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in lines if line}
    assert (rows["turns"], rows["duration"], rows["tokens"]) == ("2", "1 h 1 min", "1,234")
    assert lines[-2].split() == ["tool", "calls", "failed", "time"]
    assert lines[-1].split() == ["shell", "1", "1", "-"]


def timed(lines: list[tuple[int, Line]]) -> bytes:
    """
    Return the bytes of lines, each at a time in milliseconds after the first day of these tests, 2026-11-20 in UTC.
    """
    return b"".join(encode_item(*line, time_ms=FIRST_DAY_MS + at) for at, line in lines)


def growing(total: int, single: int) -> Line:
    def usage(count: int) -> dict[str, int]:
        return {"input_tokens": count - 10, "output_tokens": 10, "total_tokens": count}

    return event("token_count", info={"total_token_usage": usage(total), "last_token_usage": usage(single)})


@pytest.fixture
def groups(home: Path) -> None:
    """
    Write a session of two days, models, and tools, and one of which nothing is known.
    """
    git = {"branch": "main", "repository_url": "https://e.org/parser.git"}
    second = DAY_MS + 2 * HOUR_MS
    lines: list[tuple[int, Line]] = [
        (0, meta(cwd="/home/dev/parser", git=git)),
        (0, ("turn_context", {"model": "gpt-5"})),
        *((0, line) for line in prompt("one")),
        (1_000, command("shell", "make")),
        (2_000, command_output("no", code=1)),
        (3_000, growing(100, 100)),
        (4_000, event("task_complete", duration_ms=60_000)),
        (second, ("turn_context", {"model": "gpt-6"})),
        *((second, line) for line in prompt("two")),
        (second + 1_000, script("run()")),
        (second + 2_000, completed("CommandExecution", id="x", command=["ls"], exit_code=0, duration_ms=2_000)),
        (second + 3_000, script_output("completed")),
        (second + 3_000, growing(1_100, 1_000)),
        (second + 4_000, event("task_complete", duration_ms=30_000)),
    ]  # fmt: skip
    put(home, timed(lines), timestamp="2026-11-20T00-00-00")
    other = timed([(second, meta(OTHER)), *((second, line) for line in prompt("three"))])
    put(home, other, session_id=OTHER, timestamp="2026-11-21T02-00-00")


TABLES = {
    "day": [
        ["2026-11-20", "1", "1", "1", "1", "1 min", "100"],
        ["2026-11-21", "2", "2", "2", "0", "30 s", "1,000"],
    ],
    "model": [
        ["gpt-5", "1", "1", "1", "1", "1 min", "100"],
        ["gpt-6", "1", "1", "2", "0", "30 s", "1,000"],
        ["-", "1", "1", "0", "0", "-", "-"],
    ],
    "tool": [
        ["exec", "1", "1", "0", "0.5 s"],
        ["exec_command", "1", "1", "0", "2.0 s"],
        ["shell", "1", "1", "1", "0.1 s"],
    ],
    "folder": [
        ["/home/dev/demo", "1", "1", "0", "0", "-", "-"],
        ["/home/dev/parser", "1", "2", "3", "1", "1 min 30 s", "1,100"],
    ],
    "repository": [
        ["https://e.org/parser.git", "1", "2", "3", "1", "1 min 30 s", "1,100"],
        ["-", "1", "1", "0", "0", "-", "-"],
    ],
}


@pytest.mark.parametrize("is_indexed", [False, True])
@pytest.mark.parametrize("by", GROUPS)
@pytest.mark.usefixtures("groups")
def test_stats_by_a_group_is_a_table_with_a_row_for_each(home: Path, run: Run, by: str, is_indexed: bool) -> None:
    if is_indexed:
        update_index(home=home)

    assert run("stats", "--by", by).rows == TABLES[by]
    heading, *rows = run("stats", "--by", by, screen=True).text.splitlines()
    heads = "sessions calls failed tool time" if by == "tool" else "sessions turns calls failed active time tokens"
    assert heading.split() == [by, *heads.split()]
    assert [row.split() for row in rows] == [" ".join(row).split() for row in TABLES[by]]


@pytest.mark.parametrize("by", GROUPS)
@pytest.mark.usefixtures("groups")
def test_stats_by_a_group_as_json_has_the_values_of_the_table(home: Path, run: Run, by: str) -> None:
    done = run("stats", "--by", by, "--json").json

    assert (done["schema_version"], done["by"]) == (2, by)
    assert done["stats"]["tokens"]["total_tokens"] == 1_100
    names = [None if row[0] == "-" else row[0] for row in TABLES[by]]
    assert [group["name"] for group in done["groups"]] == names
    for group, row in zip(done["groups"], TABLES[by], strict=True):
        is_tool = by == "tool"
        counts = [
            group[name] for name in ("sessions", "turns", "calls", "failures") if not (is_tool and name == "turns")
        ]
        took = group["tool_duration" if is_tool else "active_duration"]
        tokens = [] if is_tool else [f"{group['tokens']['total_tokens']:,}" if group["tokens"] else "-"]
        times = [duration_text(took) if took is not None else "-"]
        assert [*(f"{count:,}" for count in counts), *times, *tokens] == row[1:]
        assert (group["turns"] is None, group["tokens"] is None) == (is_tool, is_tool or row[-1] == "-")


@pytest.mark.usefixtures("groups")
def test_stats_by_a_group_of_given_sessions_counts_only_these(run: Run) -> None:
    assert run("stats", "--by", "folder", OTHER).rows == [TABLES["folder"][0]]
    assert run("stats", "--by", "model", ID).rows == TABLES["model"][:2]


@pytest.mark.usefixtures("groups")
def test_stats_by_a_group_of_no_session_reports_that_none_matches(run: Run) -> None:
    done = run("stats", "--by", "day", "--branch", "none", screen=True)

    assert (done.status, done.out) == (1, "")
    assert "matches" in done.err
    assert run("stats", "--by", "day", "--branch", "none", "--json").json["groups"] == []
    assert run("stats", "--by", "moon").status == 2


@pytest.mark.parametrize("is_indexed", [False, True])
@pytest.mark.parametrize(
    ("period", "counts"),
    [
        ([], (2, 3, 3, 1_100, 90.0)),
        (["--until", "2026-11-20T12:00Z"], (1, 1, 1, 100, 60.0)),
        (["--since", "2026-11-20T12:00Z"], (2, 2, 2, 1_000, 30.0)),
        (["--since", "2026-11-20T12:00Z", "--until", "2026-11-21T01:00Z"], (1, 0, 0, None, None)),
        (["--since", "2026-11-21T02:00Z", "--until", "2026-11-21T03:00Z"], (2, 2, 2, 1_000, 30.0)),
    ],
)
@pytest.mark.usefixtures("groups")
def test_stats_of_a_period_count_only_what_was_used_in_it(
    home: Path, run: Run, period: list[str], counts: tuple[object, ...], is_indexed: bool
) -> None:
    if is_indexed:
        update_index(home=home)

    stats = run("stats", *period, "--json").json["stats"]

    calls = sum(tool["calls"] for tool in stats["tools"].values())
    tokens = stats["tokens"] and stats["tokens"]["total_tokens"]
    assert (stats["sessions"], stats["turns"], calls, tokens, stats["active_duration"]) == counts


@pytest.mark.usefixtures("groups")
def test_stats_of_a_period_by_day_have_only_the_days_of_the_period(run: Run) -> None:
    assert run("stats", "--by", "day", "--since", "2026-11-20T12:00Z").rows == TABLES["day"][1:]


@pytest.mark.usefixtures("groups")
def test_what_no_line_states_is_a_dash_in_a_table_and_null_in_json(run: Run) -> None:
    rows = dict(row for row in run("stats", OTHER).rows if len(row) == 2)
    stats = run("stats", OTHER, "--json").json["stats"]
    [listed] = [row for row in run("list", "--json").json["sessions"] if row["id"] == OTHER]

    names = ("tokens", "input tokens", "cached input tokens", "output tokens", "reasoning tokens", "active time")
    assert {name: rows[name] for name in names} == dict.fromkeys(names, "-")
    assert (stats["tokens"], stats["active_duration"]) == (None, None)
    assert listed["tokens"] is None


def test_a_duration_without_times_is_unknown(home: Path, run: Run) -> None:
    raw = encode(seed_session("one")).replace(b'"timestamp":"2026-11-21T01:25:37.122Z"', b'"timestamp":"?"')
    put(home, raw)

    assert ["duration", "-"] in run("stats", ID).rows
    assert run("stats", ID, "--json").json["stats"]["duration"] is None


def test_no_tokens_are_not_unknown_tokens(home: Path, run: Run) -> None:
    put(home, [*seed_session("one"), token_count({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0})])

    assert ["tokens", "0"] in run("stats", ID).rows
    assert run("stats", ID, "--json").json["stats"]["tokens"]["total_tokens"] == 0


def test_stats_prints_durations_in_suitable_units(home: Path, run: Run) -> None:
    raw = encode(seed_session("one")).replace(b"01:25:37.122Z", b"01:27:40.122Z")
    put(home, raw.replace(b"01:27:40.122Z", b"01:25:37.122Z", 1))

    assert ["duration", "2 min 3 s"] in run("stats").rows


def test_stats_accepts_either_sessions_or_filters(path: Path, run: Run) -> None:
    assert run("stats", ID, "--since", "1d").status == 2
    assert "matches" in run("stats", "--branch", "none", screen=True).err


def test_stats_reports_unreadable_sessions_and_does_not_count_them(
    home: Path, path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(home, b"", session_id=OTHER, suffix=".zst")

    def refuse(session: Path) -> object:
        raise PermissionError(13, "Permission denied", str(session))

    monkeypatch.setattr("rollout.cli._stats.session_stats", refuse)

    done = run("stats")

    assert done.status == 1
    assert "Permission denied" in done.err
    assert "not counted" in done.err


def test_storage_counts_bytes(home: Path, path: Path, run: Run) -> None:
    os.utime(path, (time.time() - 8 * 86_400,) * 2)
    archive(put(home, seed_session("x", session_id=OTHER), session_id=OTHER))

    whole = run("storage", "--json").json["storage"]
    one = run("storage", ID, "--json").json["storage"]

    assert (whole["sessions"], one["sessions"]) == (2, 1)
    assert one["size"] == one["compressible"] == path.stat().st_size
    assert whole["largest"][0] == {"path": str(path), "size": path.stat().st_size}
    assert run("storage", "-n", "0", "--json").json["storage"]["largest"] == []
    assert ["sessions", "2"] in run("storage").rows


def test_storage_at_a_terminal_lists_the_largest_sessions_by_id(
    home: Path, path: Path, run: Run, tmp_path: Path
) -> None:
    text = run("storage", screen=True).text
    copy = tmp_path / "notes.jsonl"
    copy.write_bytes(path.read_bytes())

    assert f"{ID}  2026-11-21 01:25:37 +00:00" in text
    assert "response_item/message" in text
    assert "notes.jsonl" in run("storage", copy).out
    assert "largest" not in run("storage", "-n", "0", screen=True).text


def test_storage_of_an_empty_home_is_empty_and_unreadable_sessions_are_reported(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("storage").status == 1
    put(home, b"", suffix=".zst")
    for module in ("backports", "compression"):
        monkeypatch.setitem(sys.modules, module, None)

    done = run("storage", "--json")

    assert "pip install 'rollout-recorder[zstd]'" in done.err
    assert len(done.json["storage"]["problems"]) == 1
