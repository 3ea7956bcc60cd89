"""
What the reader's own system decides: the time zone of the times, and how folders of other systems are compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rollout import list_sessions, load_history
from rollout.codec import encode_item
from rollout.notebook import history_bundle
from rollout.search import update_index
from rollout.web._app import make_app
from rollout.web._context import Site
from tests.cli.conftest import Run
from tests.rollouts import answer, encode, meta, prompt, put, token_count

# 2026-06-08T20:00:00Z, in the name as the clock in Shanghai showed it.
MOMENT_MS = 1_780_948_800_000
SESSION = "019ea8d2-1200-7123-8000-000000000051"
NAME = "2026-06-09T04-00-00"
V4 = "4f0be0a1-50f5-480d-a99d-c68eada68a51"
WINDOWS = [r"C:\Users\dev\work\viewer", r"\\?\C:\Users\dev\work\viewer", r"c:\users\dev\work\viewer\sub", r"D:\work"]


def put_at(home: Path, session_id: str = SESSION) -> Path:
    usage = {"input_tokens": 100, "cached_input_tokens": 0, "output_tokens": 10, "total_tokens": 110}
    lines = [meta(session_id, timestamp="2026-06-08T20:00:00.000Z"), *prompt("late work"), *answer("done")]
    raw = b"".join(encode_item(*line, time_ms=MOMENT_MS) for line in [*lines, token_count(usage)])
    return put(home, raw, session_id=session_id, timestamp=NAME)


def put_windows(home: Path) -> None:
    for number, cwd in enumerate(WINDOWS):
        session_id = f"{V4[:-1]}{number}"
        lines = [meta(session_id, cwd=cwd, git={"repository_url": f"{cwd}\\repo"}), *prompt(f"session {number}")]
        put(home, encode([*lines, *answer("done")]), session_id=session_id)


@pytest.mark.parametrize("session_id", [SESSION, V4])
@pytest.mark.parametrize("is_indexed", [False, True])
@pytest.mark.parametrize(
    ("zone", "local"),
    [
        ("UTC", "2026-06-08 20:00:00 +00:00"),
        ("Asia/Shanghai", "2026-06-09 04:00:00 +08:00"),
        ("America/New_York", "2026-06-08 16:00:00 -04:00"),
    ],
)
def test_every_view_states_the_same_moment_in_the_zone_of_the_reader(
    home: Path, run: Run, set_zone: Callable[[str], None], zone: str, local: str, is_indexed: bool, session_id: str
) -> None:
    set_zone(zone)
    path = put_at(home, session_id)
    if is_indexed:
        update_index(home=home)

    listed = [
        run("list", "--json").json["sessions"][0],
        run("list", "--since", "2026-06-01", "--json").json["sessions"][0],
    ]
    shown = {
        "list": run("list").out.replace("T", " "),
        "show": run("show", session_id).out,
        **{form: run("export", session_id, "--to", form).out for form in ("html", "markdown", "text")},
        "notebook": history_bundle(load_history(path).document())["text/html"],
        "page": list_sessions(home=home).items[0]._repr_html_(),
        "viewer": make_app(Site(home)).test_client().get("/").text,
        "session in the viewer": make_app(Site(home)).test_client().get(f"/s/{session_id}").text,
        "search in the viewer": make_app(Site(home)).test_client().get("/search?q=late").text,
        "stats": run("stats", session_id).out,
    }

    clock = local[:19] + local[20:] if not local.endswith("+00:00") else local.replace(" +", "+")
    assert [name for name, text in shown.items() if local not in text and clock not in text] == []
    assert [(row["started"], row["updated"]) for row in listed] == [("2026-06-08T20:00:00Z",) * 2] * 2
    assert run("export", session_id, "--to", "json").json["session"]["timestamp"] == "2026-06-08T20:00:00.000Z"


def test_an_exported_page_states_its_zone_and_each_time_in_utc(
    home: Path, run: Run, set_zone: Callable[[str], None]
) -> None:
    set_zone("Asia/Shanghai")
    put_at(home)

    page = run("export", SESSION).out

    assert "local times of the computer that wrote this page, +08:00 (CST)" in page
    assert (
        '<time datetime="2026-06-08T20:00:00Z" title="2026-06-08 20:00:00 UTC">2026-06-09 04:00:00 +08:00</time>'
        in page
    )
    assert re.search(r'class="at" href="#L\d+" title="2026-06-08 20:00:00 UTC">04:00:00<', page)


def test_a_page_with_no_times_states_the_zone_of_today(home: Path, run: Run, set_zone: Callable[[str], None]) -> None:
    set_zone("Asia/Tokyo")
    path = put_at(home)
    path.write_bytes(re.sub(rb'"timestamp":"[^"]*"', b'"timestamp":"soon"', path.read_bytes()))

    page = run("export", SESSION).out

    assert "<dd>soon</dd>" in page
    assert "+09:00 (JST)" in page


@pytest.mark.parametrize(
    ("zone", "day", "since", "until"),
    [
        ("Asia/Shanghai", "2026-06-09", 1, 0),
        ("Asia/Shanghai", "2026-06-10", 0, 1),
        ("UTC", "2026-06-09", 0, 1),
        ("UTC", "2026-06-08", 1, 0),
    ],
)
@pytest.mark.parametrize("is_indexed", [False, True])
def test_since_a_day_means_the_day_of_the_reader(
    home: Path, run: Run, set_zone: Callable[[str], None], zone: str, day: str, since: int, until: int, is_indexed: bool
) -> None:
    set_zone(zone)
    put_at(home)
    if is_indexed:
        update_index(home=home)

    counts = [len(run("list", option, day, "--json").json["sessions"]) for option in ("--since", "--until")]
    assert counts == [since, until]


def test_stats_by_day_use_the_days_of_the_reader(home: Path, run: Run, set_zone: Callable[[str], None]) -> None:
    put_at(home)
    days = []
    for zone in ("Asia/Shanghai", "UTC"):
        set_zone(zone)
        days.append([row[0] for row in run("stats", "--by", "day").rows])

    assert days == [["2026-06-09"], ["2026-06-08"]]


@pytest.mark.parametrize("is_indexed", [False, True])
@pytest.mark.parametrize(
    ("cwd", "count"),
    [
        (r"C:\Users\dev\work\viewer", 3), (r"\\?\c:\users\DEV\work", 3), ("C:/Users/dev/work/viewer/sub/", 1),
        (r"C:\Users\dev\work\view", 0), ("d:", 1), ("/", 0), (".", 0),
    ],
)  # fmt: skip
def test_list_finds_windows_folders_in_every_spelling(
    home: Path, run: Run, cwd: str, count: int, is_indexed: bool
) -> None:
    put_windows(home)
    if is_indexed:
        update_index(home=home)

    done = run("list", "--cwd", cwd, "--json")

    assert len(done.json["sessions"]) == count
    assert {row["cwd"] for row in done.json["sessions"]} <= {*WINDOWS}
    assert len({hit["id"] for hit in run("search", "session", "--cwd", cwd, "--json").json["hits"]}) == count


def test_the_links_of_the_viewer_to_windows_folders_find_their_sessions(home: Path) -> None:
    put_windows(home)
    client = make_app(Site(home)).test_client()

    page = client.get("/").text
    links = re.findall(r'href="(/\?cwd=[^"]+)" title="([^"]+)">([^<]+)<', page)
    counts = [client.get(link).text.count('<a class="about"') for link, _, _ in links]

    assert [shown for _, _, shown in links] == ["work", "sub", "viewer", "viewer"]
    assert counts == [1, 1, 3, 3]


def test_stats_group_the_spellings_of_a_windows_folder(home: Path, run: Run) -> None:
    put_windows(home)

    groups = {by: run("stats", "--by", by, "--json").json["groups"] for by in ("folder", "repository")}

    for rows in groups.values():
        assert sorted(row["sessions"] for row in rows) == [1, 1, 2]
    assert r"C:\Users\dev\work\viewer" in [row["name"] for row in groups["folder"]]


def test_a_terminal_shows_the_last_part_of_a_windows_folder(home: Path) -> None:
    put_windows(home)

    text = list_sessions(home=home)._repr_mimebundle_()["text/plain"]

    assert text.count(r"~\work\viewer") == 3
    assert r"D:\work" in text
