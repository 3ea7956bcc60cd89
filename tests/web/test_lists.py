from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from rollout import Recorder, overview
from rollout.codec import encode_item
from rollout.interpret import Filters
from rollout.search import index_path, search
from rollout.store import archive, rename_session
from rollout.web import _lists
from rollout.web._context import Site
from tests.builders import command as call
from tests.builders import command_output as output
from tests.rollouts import ID, Line, encode, message, meta, prompt, put, seed_session, token_count
from tests.search.homes import OLD, many, put_session, session_id, settle

BuildIndex = Callable[[], None]


def text_of(client: FlaskClient, path: str = "/") -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


def titles(page: str) -> list[str]:
    return [part.partition("</a>")[0].rpartition(">")[2] for part in page.split('<a class="about"')[1:]]


def context(model: str) -> tuple[str, dict[str, Any]]:
    return "turn_context", {"cwd": "/home/dev/demo", "model": model}


def dated(lines: list[Line], seconds: float) -> bytes:
    """
    Return the bytes of a session whose lines have this time, in Unix seconds.
    """
    lines[0][1]["timestamp"] = f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S.000Z}"
    return b"".join(encode_item(*line, time_ms=int(seconds * 1000)) for line in lines)


@pytest.fixture(params=[False, True], ids=["files", "index"])
def optional_index(request: pytest.FixtureRequest, build_index: BuildIndex) -> BuildIndex:
    """
    Return a function that builds the index, or does nothing.
    """
    return build_index if request.param else lambda: None


def test_an_empty_home_shows_that_it_has_no_sessions(client: FlaskClient, home: Path) -> None:
    page = text_of(client)

    assert f"No sessions in {home}" in page
    assert "There is no index: filters and searches read the files" in page


def test_a_session_is_listed_with_its_facts(client: FlaskClient, home: Path) -> None:
    put(home, [*seed_session("Why <b>does</b> it fail?", "And now?"), context("gpt-5")])

    page = text_of(client)

    assert titles(page) == ["Why &lt;b&gt;does&lt;/b&gt; it fail?"]
    assert 'title="/home/dev/demo">demo</a>' in page
    assert ">master</a>" in page
    assert ">gpt-5</a>" in page
    assert 'data-unit=" turns">2</td>' in page
    assert 'title="started 2026-11-21 01:25:37 +00:00, updated' in page
    assert f'/s/{ID}"' in page


def test_a_session_is_listed_by_its_title(client: FlaskClient, home: Path) -> None:
    put(home, [meta(), *prompt("Why does\nit   fail? " + "x" * 200)])

    assert titles(text_of(client)) == [f"Why does it fail? {'x' * 101}…"]


def test_unknown_tokens_are_not_shown_as_none_used(client: FlaskClient, home: Path) -> None:
    put(home, seed_session("unknown"))
    assert 'data-unit=" tokens"></td>' in text_of(client)

    put(home, [*seed_session("none"), token_count({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0})])
    assert 'data-unit=" tokens">0</td>' in text_of(client)


def test_names_states_and_sessions_without_a_prompt_are_shown(client: FlaskClient, home: Path) -> None:
    put(home, seed_session("a question"))
    rename_session(ID, "the parser", home=home)
    put_session(home, 1, b"{not json\n")
    with Recorder(home=home, cwd=home) as recorder:
        recorder.agent_message("hello")
        recorder.flush()
        page = text_of(client)
        live = f'/s/{recorder.session_id}?page=last"'

    assert "the parser" in titles(page)
    assert '<span class="preview">a question</span>' in page
    assert "No prompt" in titles(page)
    assert any("not" in about.lower() for about in titles(page))
    assert '<span class="state live">live</span>' in page
    assert 'class="state damaged"' in page
    assert live in page


def test_recorded_text_is_escaped_and_its_control_characters_are_visible(client: FlaskClient, home: Path) -> None:
    evil = "<script>run()</script>\u202e\x1b[31m\x00"
    lines = [
        meta(git={"branch": evil, "repository_url": evil}, cwd=f"/x/{evil}", source=evil, originator=evil),
        message("user", evil),
        context(evil),
    ]
    put(home, lines)

    pages = [text_of(client), text_of(client, "/search?q=script"), text_of(client, f"/?branch={evil}")]

    for page in pages:
        assert "<script>run" not in page
        assert not {"\u202e", "\x1b", "\x00"} & set(page)
        assert "&lt;script&gt;" in page


def test_text_that_no_url_can_contain_is_shown_without_a_link(client: FlaskClient, home: Path) -> None:
    lines = encode([meta(cwd="/x/HALF", git={"branch": "b" * 5000}), message("user", "q"), context("\x00")])
    put(home, lines.replace(b"HALF", rb"\ud800"))

    page = text_of(client)

    assert "/x/" not in page
    assert "<td>\\ud800" in page
    assert "<td>\\x00" in page
    assert f"<td>{'b' * 31}…" in page
    assert "b" * 40 not in page


def test_the_pages_of_the_list_contain_every_session_once(client: FlaskClient, home: Path) -> None:
    many(home, 120)

    seen: list[str] = []
    path = "/"
    for _ in range(9):
        page = text_of(client, path)
        seen += [part[:36] for part in page.split('<a class="about" href="/s/')[1:]]
        if 'rel="next"' not in page:
            break
        path = page.split('rel="next" href="')[1].partition('"')[0].replace("&amp;", "&")

    assert seen == [session_id(number) for number in reversed(range(120))]
    assert "First page" in page
    assert "First page" not in text_of(client)


@pytest.mark.parametrize("query", ["branch=other", "model=gpt-6", "cwd=/home/dev/other", "originator=mine", "since=1d",
                                   "source=mcp", "repository=example", "sort=updated&branch=other"])  # fmt: skip
def test_filters_show_only_matching_sessions(
    client: FlaskClient, home: Path, optional_index: BuildIndex, query: str
) -> None:
    many(home, 5)
    git = {"branch": "other", "repository_url": "https://example.com/x.git"}
    wanted = meta(session_id(9), cwd="/home/dev/other/x", originator="mine", source="mcp", git=git)
    path = put_session(home, 9, dated([wanted, *seed_session("wanted")[1:], context("gpt-6")], time.time()))
    optional_index()
    os.utime(path)

    page = text_of(client, f"/?{query}")

    assert titles(page) == ["wanted"]
    assert "Clear" in page


def test_a_period_shows_only_sessions_that_were_used_in_it(
    client: FlaskClient, home: Path, optional_index: BuildIndex
) -> None:
    many(home, 3)
    now = time.time()
    started = time.strftime("%Y-%m-%dT%H-%M-%S", time.localtime(now - 6 * 86_400))
    path = put(home, dated(seed_session("used for days"), now - 3 * 86_400), timestamp=started)
    optional_index()
    os.utime(path)

    assert len(titles(text_of(client, "/?until=2026-11-01T02:00:00Z"))) == 3
    assert "No session matches" in text_of(client, "/?until=2020-01-01T00:00:00Z")
    assert titles(text_of(client, "/?until=5d&since=4d")) == ["used for days"]
    assert "used for days" not in titles(text_of(client, "/?until=7d"))
    assert "used for days" not in titles(text_of(client, "/?since=2d"))


def test_archived_sessions_are_listed_on_request(client: FlaskClient, home: Path, optional_index: BuildIndex) -> None:
    many(home, 3)
    archive(session_id(1), home=home)
    optional_index()

    assert len(titles(text_of(client))) == 2
    assert len(titles(text_of(client, "/?archived=yes"))) == 1
    assert len(titles(text_of(client, "/?archived=yes&branch=master"))) == 1
    assert 'class="state archived"' in text_of(client, "/?archived=yes&sort=updated")


def test_sessions_are_sorted_by_start_or_by_use(client: FlaskClient, home: Path, optional_index: BuildIndex) -> None:
    for number in range(60):
        lines = seed_session(f"question {number}", session_id=session_id(number))
        put_session(home, number, dated(lines, OLD - 100 - number))
    optional_index()

    begun, changed = text_of(client), text_of(client, "/?sort=updated")
    rest = text_of(client, changed.split('rel="next" href="')[1].partition('"')[0].replace("&amp;", "&"))

    assert titles(begun) == [f"question {number}" for number in range(59, 9, -1)]
    assert titles(changed) + titles(rest) == [f"question {number}" for number in range(60)]


def test_sessions_newer_than_the_index_are_listed(client: FlaskClient, home: Path, build_index: BuildIndex) -> None:
    many(home, 4)
    build_index()
    changed, gone = (next(home.rglob(f"*{session_id(number)}*")) for number in (0, 1))
    with changed.open("ab") as file:
        file.write(encode([context("gpt-6")]))
    gone.unlink()
    archive(session_id(2), home=home)
    put_session(home, 9, [*seed_session("new", session_id=session_id(9)), context("gpt-6")])
    torn = put_session(home, 8, seed_session("secret", session_id=session_id(8)))
    torn.chmod(0)
    is_root = os.access(torn, os.R_OK)

    page = text_of(client, "/?branch=master")

    assert len(titles(page)) == 3 + is_root
    assert titles(text_of(client, "/?model=gpt-6")) == ["new", "common start"]
    assert len(titles(text_of(client, "/?branch=master&archived=yes"))) == 1


def test_a_session_that_can_no_longer_be_read_is_omitted(
    client: FlaskClient, home: Path, build_index: BuildIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(home, 2)
    build_index()
    put_session(home, 9, b"x", suffix=".zst")
    put_session(home, 8, seed_session("new", session_id=session_id(8))).chmod(0)
    monkeypatch.setattr("rollout.search._catalog.summarize", unreadable)

    assert len(titles(text_of(client, "/?branch=master"))) == 2


def test_a_session_that_can_no_longer_be_read_to_its_end_is_omitted(
    client: FlaskClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_session(home, 1, [*seed_session("x", session_id=session_id(1)), context("gpt-6"), *long_answers()])
    assert titles(text_of(client, "/?model=gpt-6")) == ["x"]

    monkeypatch.setattr("rollout.search.read_facts", unreadable)

    assert titles(text_of(client, "/?model=gpt-6")) == []


def long_answers() -> list[Line]:
    """
    Return so many lines that a list does not see the lines before them.
    """
    return [message("assistant", "x" * 4000)] * 2100


def unreadable(*_: Any, **__: Any) -> Any:
    raise PermissionError("no")


def test_large_files_get_their_counts_from_the_index(client: FlaskClient, home: Path, build_index: BuildIndex) -> None:
    put_session(home, 1, [*seed_session("large", session_id=session_id(1)), message("assistant", "x" * 300_000)])

    before = text_of(client)
    build_index()
    after = text_of(client)

    assert 'data-unit=" turns"></td>' in before
    assert 'data-unit=" turn">1</td>' in after


def test_a_file_removed_while_it_is_counted_has_no_counts(
    client: FlaskClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(home, 1)
    monkeypatch.setattr("rollout.overview.read_envelopes", unreadable)

    assert 'data-unit=" turns"></td>' in text_of(client)


def test_without_an_index_a_filter_stops_at_the_time_limit_and_continues_on_the_next_page(home: Path) -> None:
    many(home, 450)
    put_session(home, 999, [meta(session_id(999), git={"branch": "other"}), *seed_session("first")[1:]])
    last = home / "sessions/2026/11/01"
    wanted = [meta(session_id(1000), git={"branch": "other"}), *seed_session("last")[1:]]
    put(home, wanted, session_id=session_id(1000), timestamp="2026-11-01T00-00-00", folder=last)
    filters = Filters(archived=False, branch="other")

    pages = [overview.read_page(home, filters, count=5, timeout=-1.0)]
    while pages[-1].next_cursor is not None:
        pages.append(overview.read_page(home, filters, count=5, timeout=-1.0, cursor=str(pages[-1].next_cursor)))

    at_once = overview.read_page(home, filters, count=5)
    found = [session.session_id for page in pages for session in page.items]
    assert (at_once.items, at_once.next_cursor) == (tuple(session for page in pages for session in page.items), None)
    assert found == [session_id(999), session_id(1000)]
    assert len(pages) == 3
    assert pages[0].read_until is not None
    assert pages[-1].read_until is None


def test_a_page_of_filtered_files_continues_after_its_last_session(home: Path) -> None:
    many(home, 12)
    filters = Filters(archived=False, branch="master")

    first = overview.read_page(home, filters, count=5)
    second = overview.read_page(home, filters, count=10, cursor=str(first.next_cursor))

    assert [session.session_id for page in (first, second) for session in page.items] == [
        session_id(number) for number in reversed(range(12))
    ]
    assert (first.read_until, second.next_cursor) == (None, None)


def test_an_unreadable_file_matches_no_filter(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(home, 1)
    monkeypatch.setattr("rollout.sessions._listing.LineReader", unreadable)

    assert overview.read_page(home, Filters(archived=False, branch="master"), count=5).items == ()


def test_invalid_fields_are_explained(client: FlaskClient, home: Path) -> None:
    many(home, 1)

    assert "“yesterday” is not a valid time" in text_of(client, "/?since=yesterday")
    assert "cannot contain a NUL character" in text_of(client, "/?cwd=~%00x")
    assert "“9999999w” is not a valid time" in text_of(client, "/?until=9999999w")
    assert "“999999w” is not a valid time" in text_of(client, "/?until=999999w")
    assert "The URL of this page is invalid" in text_of(client, "/?cursor=x")
    assert "is not a valid time" in text_of(client, "/search?q=x&since=x")
    assert titles(text_of(client, "/?skip=x&_external=1&_scheme=javascript&since=2000-01-01")) == ["common start"]


def test_links_contain_only_known_fields(client: FlaskClient, home: Path) -> None:
    many(home, 60)

    page = text_of(client, "/?_anchor=evil&_external=1&_scheme=javascript&branch=master")

    assert "javascript" not in page
    assert "evil" not in page


# Search.


@pytest.fixture
def parser_session(home: Path) -> Path:
    lines = [
        *seed_session("Why does the parser fail?", session_id=session_id(1)),
        call("shell", "make parser"),
        output("parser <b>broken</b>", code=1),
    ]
    return put_session(home, 1, lines)


def test_a_search_marks_the_words_in_its_hits(
    client: FlaskClient, parser_session: Path, optional_index: BuildIndex
) -> None:
    settle(parser_session.parents[4])
    optional_index()

    page = text_of(client, "/search?q=parser")

    assert page.count("<mark>parser</mark>") == 4
    assert "4 hits" in page
    assert "1 session" in page
    assert "&lt;b&gt;broken&lt;/b&gt;" in page
    assert "Why does the parser fail?" in page
    for hit in search("parser", home=parser_session.parents[4]):
        assert f'/s/{session_id(1)}/at/{hit.offset}"' in page


def test_a_truncated_snippet_has_an_ellipsis(client: FlaskClient, home: Path) -> None:
    put(home, seed_session("before " * 30 + "parser" + " behind" * 30, "parser alone"))

    page = text_of(client, "/search?q=parser&kind=user")
    snippets = [part.partition("</a>")[0] for part in page.split('class="snippet">')[1:]]

    assert [(text.startswith("…"), text.endswith("…</span>")) for text in snippets] == [(True, True), (False, False)]


def test_a_search_is_narrowed_by_kind_tool_and_failure(
    client: FlaskClient, parser_session: Path, optional_index: BuildIndex
) -> None:
    optional_index()

    assert "1 hit " in text_of(client, "/search?q=parser&kind=user")
    assert "2 hits" in text_of(client, "/search?q=parser&tool=shell")
    assert "1 hit " in text_of(client, "/search?q=parser&failed=1")
    assert "1 hit " in text_of(client, "/search?failed=1")
    assert "0 hits" in text_of(client, "/search?q=parser&cwd=/nowhere")


def test_a_search_shows_whether_there_is_an_index(
    client: FlaskClient, parser_session: Path, build_index: BuildIndex
) -> None:
    home = parser_session.parents[4]
    assert "There is no index: 1 session read." in text_of(client, "/search?q=parser")

    build_index()
    assert "There is no index" not in text_of(client, "/search?q=parser")

    put_session(home, 2, seed_session("parser", session_id=session_id(2)))
    assert "1 session not in the index yet, read from the files." in text_of(client, "/search?q=parser")


def test_a_search_without_words_explains_how_to_search(client: FlaskClient) -> None:
    assert "All words must occur in the same message" in text_of(client, "/search")


def test_an_unfinished_phrase_is_explained(client: FlaskClient) -> None:
    assert 'role="alert"' in text_of(client, '/search?q="half')


def test_a_link_leads_to_more_hits(client: FlaskClient, home: Path) -> None:
    put_session(home, 1, seed_session(*(f"word {number}" for number in range(80)), session_id=session_id(1)))

    first = text_of(client, "/search?q=word")
    more = first.split('rel="next" href="')[1].partition('"')[0].replace("&amp;", "&")

    assert "50 hits and more" in first
    assert "160 hits in 1 session" in text_of(client, more)
    assert 'rel="next"' not in text_of(client, more)


def test_a_search_without_an_index_stops_at_the_time_limit(
    client: FlaskClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(home, 5)
    monkeypatch.setattr(_lists, "_TIMEOUT", 0.1)
    now = iter([0.0, 0.0, 0.05, 0.2, 0.2, 0.2, 0.2])
    monkeypatch.setattr(time, "monotonic", lambda: next(now, 0.2))

    page = text_of(client, "/search?q=common")

    assert "The time limit was reached: only the newest sessions were searched." in page


def test_a_search_continues_past_unreadable_sessions(client: FlaskClient, home: Path, parser_session: Path) -> None:
    put_session(home, 2, b"x", suffix=".zst")
    path = put_session(home, 3, seed_session("parser", session_id=session_id(3)))
    path.unlink()
    path.mkdir()

    assert "parser" in text_of(client, "/search?q=parser")


def test_a_session_removed_after_the_search_is_named_by_its_id(
    client: FlaskClient, parser_session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_lists, "read_facts", unreadable)

    page = text_of(client, "/search?q=parser")

    assert f">{session_id(1)}</a>" in page


def test_a_damaged_index_is_explained(client: FlaskClient, home: Path, build_index: BuildIndex, site: Site) -> None:
    many(home, 2)
    build_index()
    path = index_path(home)
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(bytes(data))

    answer = client.get("/?branch=master")

    assert answer.status_code in (200, 500)
    if answer.status_code == 500:
        assert "The index cannot be used" in answer.text


def test_a_home_is_listed_without_the_extra_for_the_index(
    client: FlaskClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(home, 2)

    def missing(*_: Any) -> None:
        raise ModuleNotFoundError("the index needs an extra", name="platformdirs")

    monkeypatch.setattr("rollout.search.Index.open", missing)

    assert len(titles(text_of(client, "/?branch=master"))) == 2


def test_sessions_are_grouped_by_day(client: FlaskClient, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Recorder(home=home, cwd=home) as recorder:
        recorder.user_message("now")
    put(home, seed_session("then"), timestamp="2025-03-04T10-00-00")
    yesterday = time.strftime("%Y-%m-%dT%H-%M-%S", time.localtime(time.time() - 86_400))
    put(home, seed_session("before"), timestamp=yesterday, session_id=session_id(1))

    page = text_of(client)

    days = [part.partition("</th>")[0] for part in page.split('scope="rowgroup">')[1:]]
    assert days == ["Today", "Yesterday", "Tuesday 4 March 2025"]
