from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from rollout import Recorder, _listed
from rollout._facts import Filters
from rollout.search import index_path, search
from rollout.store import archive, rename_session
from rollout.web import _lists
from rollout.web._site import Site
from tests.rollouts import ID, encode, message, meta, put, seed_session
from tests.search.homes import OLD, call, many, output, put_session, session_id, settle

Indexed = Callable[[], None]


def text_of(client: FlaskClient, path: str = "/") -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


def abouts(page: str) -> list[str]:
    return [part.partition("</a>")[0].rpartition(">")[2] for part in page.split('<a class="about"')[1:]]


def context(model: str) -> tuple[str, dict[str, Any]]:
    return "turn_context", {"cwd": "/home/dev/demo", "model": model}


@pytest.fixture(params=[False, True], ids=["files", "index"])
def either(request: pytest.FixtureRequest, indexed: Indexed) -> Indexed:
    """
    With an index, and without.
    """
    return indexed if request.param else lambda: None


def test_an_empty_home_says_so(client: FlaskClient, home: Path) -> None:
    page = text_of(client)

    assert f"No sessions in {home}" in page
    assert "There is no index of this home" in page


def test_a_session_is_listed_with_what_is_known_of_it(client: FlaskClient, home: Path) -> None:
    put(home, [*seed_session("Why <b>does</b> it fail?", "And now?"), context("gpt-5")])

    page = text_of(client)

    assert abouts(page) == ["Why &lt;b&gt;does&lt;/b&gt; it fail?"]
    assert 'title="/home/dev/demo">demo</a>' in page
    assert ">master</a>" in page
    assert ">gpt-5</a>" in page
    assert 'data-unit=" turns">2</td>' in page
    assert 'title="begun 2026-11-21 01:25:37"' in page
    assert f'/s/{ID}"' in page


def test_names_states_and_what_has_no_words_are_shown(client: FlaskClient, home: Path) -> None:
    put(home, seed_session("a question"))
    rename_session(ID, "the parser", home=home)
    put_session(home, 1, b"{not json\n")
    with Recorder(home=home, cwd=home) as recorder:
        recorder.agent_message("hello")
        recorder.flush()
        page = text_of(client)
        live = f'/s/{recorder.session_id}?page=last"'

    assert "the parser" in abouts(page)
    assert '<span class="said">a question</span>' in page
    assert "Nothing was asked" in abouts(page)
    assert any("not" in about.lower() for about in abouts(page))
    assert '<span class="state live">live</span>' in page
    assert 'class="state damaged"' in page
    assert live in page


def test_recorded_text_is_escaped_and_made_visible_everywhere(client: FlaskClient, home: Path) -> None:
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


def test_what_no_address_can_hold_is_shown_without_a_link(client: FlaskClient, home: Path) -> None:
    lines = encode([meta(cwd="/x/HALF", git={"branch": "b" * 5000}), message("user", "q"), context("\x00")])
    put(home, lines.replace(b"HALF", rb"\ud800"))

    page = text_of(client)

    assert "/x/" not in page
    assert "<td>\\ud800" in page
    assert "<td>\\x00" in page
    assert f"<td>{'b' * 31}…" in page
    assert "b" * 40 not in page


def test_the_pages_of_the_list_are_all_sessions_once(client: FlaskClient, home: Path) -> None:
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
def test_filters_leave_those_that_fit(client: FlaskClient, home: Path, either: Indexed, query: str) -> None:
    many(home, 5)
    git = {"branch": "other", "repository_url": "https://example.com/x.git"}
    wanted = meta(session_id(9), cwd="/home/dev/other/x", originator="mine", source="mcp", git=git)
    path = put_session(home, 9, [wanted, *seed_session("wanted")[1:], context("gpt-6")])
    either()
    os.utime(path)

    page = text_of(client, f"/?{query}")

    assert abouts(page) == ["wanted"]
    assert "Clear" in page


def test_until_leaves_those_that_changed_before(client: FlaskClient, home: Path, either: Indexed) -> None:
    many(home, 3)
    either()

    assert len(abouts(text_of(client, "/?until=1h"))) == 3
    assert "No session fits" in text_of(client, "/?until=2020-01-01T00:00:00Z")


def test_archived_sessions_are_listed_when_asked_for(client: FlaskClient, home: Path, either: Indexed) -> None:
    many(home, 3)
    archive(session_id(1), home=home)
    either()

    assert len(abouts(text_of(client))) == 2
    assert len(abouts(text_of(client, "/?archived=yes"))) == 1
    assert len(abouts(text_of(client, "/?archived=yes&branch=master"))) == 1
    assert 'class="state archived"' in text_of(client, "/?archived=yes&sort=updated")


def test_the_order_is_by_beginning_or_by_change(client: FlaskClient, home: Path, either: Indexed) -> None:
    for number in range(60):
        put_session(home, number, seed_session(f"question {number}", session_id=session_id(number)))
        os.utime(next(home.rglob(f"*{session_id(number)}*")), (OLD - number, OLD - number))
    either()

    begun, changed = text_of(client), text_of(client, "/?sort=updated")
    rest = text_of(client, changed.split('rel="next" href="')[1].partition('"')[0].replace("&amp;", "&"))

    assert abouts(begun) == [f"question {number}" for number in range(59, 9, -1)]
    assert abouts(changed) + abouts(rest) == [f"question {number}" for number in range(60)]


def test_what_is_news_to_the_index_is_listed_all_the_same(client: FlaskClient, home: Path, indexed: Indexed) -> None:
    many(home, 4)
    indexed()
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

    assert len(abouts(page)) == 3 + is_root
    assert abouts(text_of(client, "/?model=gpt-6")) == ["new", "common start"]
    assert len(abouts(text_of(client, "/?branch=master&archived=yes"))) == 1


def test_a_session_that_cannot_be_read_any_more_is_left_out(
    client: FlaskClient, home: Path, indexed: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(home, 2)
    indexed()
    put_session(home, 9, b"x", suffix=".zst")
    put_session(home, 8, seed_session("new", session_id=session_id(8))).chmod(0)
    monkeypatch.setattr("rollout.search._sessions.facts_of", unreadable)

    assert len(abouts(text_of(client, "/?branch=master"))) == 2


def unreadable(*_: Any, **__: Any) -> Any:
    raise PermissionError("no")


def test_large_files_get_their_counts_from_the_index(client: FlaskClient, home: Path, indexed: Indexed) -> None:
    put_session(home, 1, [*seed_session("large", session_id=session_id(1)), message("assistant", "x" * 300_000)])

    before = text_of(client)
    indexed()
    after = text_of(client)

    assert 'data-unit=" turns"></td>' in before
    assert 'data-unit=" turn">1</td>' in after


def test_a_file_that_goes_while_it_is_counted_has_no_counts(
    client: FlaskClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(home, 1)
    monkeypatch.setattr("rollout._listed.LineReader", unreadable)

    assert 'data-unit=" turns"></td>' in text_of(client)


def test_without_an_index_a_filter_ends_in_time_and_goes_on(home: Path) -> None:
    many(home, 450)
    put_session(home, 999, [meta(session_id(999), git={"branch": "other"}), *seed_session("first")[1:]])
    last = home / "sessions/2026/11/01"
    wanted = [meta(session_id(1000), git={"branch": "other"}), *seed_session("last")[1:]]
    put(home, wanted, session_id=session_id(1000), timestamp="2026-11-01T00-00-00", folder=last)
    filters = Filters(archived=False, branch="other")

    pages = [_listed.listing(home, filters, count=5, timeout=-1.0)]
    while pages[-1].cursor is not None:
        pages.append(_listed.listing(home, filters, count=5, timeout=-1.0, cursor=str(pages[-1].cursor)))

    at_once = _listed.listing(home, filters, count=5)
    found = [session.session_id for page in pages for session in page.sessions]
    assert (at_once.sessions, at_once.cursor) == ([session for page in pages for session in page.sessions], None)
    assert found == [session_id(999), session_id(1000)]
    assert len(pages) == 3
    assert pages[0].read_until is not None
    assert pages[-1].read_until is None


def test_a_page_of_filtered_files_ends_behind_its_last(home: Path) -> None:
    many(home, 12)
    filters = Filters(archived=False, branch="master")

    first = _listed.listing(home, filters, count=5)
    second = _listed.listing(home, filters, count=10, cursor=str(first.cursor))

    assert [session.session_id for page in (first, second) for session in page.sessions] == [
        session_id(number) for number in reversed(range(12))
    ]
    assert (first.read_until, second.cursor) == (None, None)


def test_a_file_that_cannot_be_read_fits_no_filter(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(home, 1)
    monkeypatch.setattr("rollout.listing.LineReader", unreadable)

    assert _listed.listing(home, Filters(archived=False, branch="master"), count=5).sessions == []


def test_what_is_typed_wrongly_is_explained(client: FlaskClient, home: Path) -> None:
    many(home, 1)

    assert "“yesterday” is no time" in text_of(client, "/?since=yesterday")
    assert "has no NUL in it" in text_of(client, "/?cwd=~%00x")
    assert "“9999999w” is no time" in text_of(client, "/?until=9999999w")
    assert "“999999w” is no time" in text_of(client, "/?until=999999w")
    assert "The address of this page is damaged" in text_of(client, "/?cursor=x")
    assert "is no time" in text_of(client, "/search?q=x&since=x")
    assert abouts(text_of(client, "/?skip=x&_external=1&_scheme=javascript&since=2000-01-01")) == ["common start"]


def test_an_address_keeps_nothing_that_is_no_field(client: FlaskClient, home: Path) -> None:
    many(home, 60)

    page = text_of(client, "/?_anchor=evil&_external=1&_scheme=javascript&branch=master")

    assert "javascript" not in page
    assert "evil" not in page


# Search.


@pytest.fixture
def said(home: Path) -> Path:
    lines = [
        *seed_session("Why does the parser fail?", session_id=session_id(1)),
        call("shell", "make parser"),
        output("parser <b>broken</b>", code=1),
    ]
    return put_session(home, 1, lines)


def test_a_search_shows_where_the_words_stand(client: FlaskClient, said: Path, either: Indexed) -> None:
    settle(said.parents[4])
    either()

    page = text_of(client, "/search?q=parser")

    assert page.count("<mark>parser</mark>") == 4
    assert "4 hits" in page
    assert "1 session" in page
    assert "&lt;b&gt;broken&lt;/b&gt;" in page
    assert "Why does the parser fail?" in page
    for hit in search("parser", home=said.parents[4]):
        assert f'/s/{session_id(1)}/at/{hit.offset}"' in page


def test_where_a_snippet_is_cut_is_seen(client: FlaskClient, home: Path) -> None:
    put(home, seed_session("before " * 30 + "parser" + " behind" * 30, "parser alone"))

    page = text_of(client, "/search?q=parser&kind=user")
    snippets = [part.partition("</a>")[0] for part in page.split('class="snippet">')[1:]]

    assert [(text.startswith("…"), text.endswith("…</span>")) for text in snippets] == [(True, True), (False, False)]


def test_a_search_is_narrowed_by_kind_tool_and_failure(client: FlaskClient, said: Path, either: Indexed) -> None:
    either()

    assert "1 hit " in text_of(client, "/search?q=parser&kind=user")
    assert "2 hits" in text_of(client, "/search?q=parser&tool=shell")
    assert "1 hit " in text_of(client, "/search?q=parser&failed=1")
    assert "1 hit " in text_of(client, "/search?failed=1")
    assert "0 hits" in text_of(client, "/search?q=parser&cwd=/nowhere")


def test_a_search_says_whether_there_is_an_index(client: FlaskClient, said: Path, indexed: Indexed) -> None:
    home = said.parents[4]
    assert "There is no index: 1 session read." in text_of(client, "/search?q=parser")

    indexed()
    assert "There is no index" not in text_of(client, "/search?q=parser")

    put_session(home, 2, seed_session("parser", session_id=session_id(2)))
    assert "1 session newer than the index, and read." in text_of(client, "/search?q=parser")


def test_a_search_without_words_explains_how_to_search(client: FlaskClient) -> None:
    assert "All words must occur in one message" in text_of(client, "/search")


def test_a_search_for_half_a_phrase_is_explained(client: FlaskClient) -> None:
    assert 'role="alert"' in text_of(client, '/search?q="half')


def test_more_hits_are_a_link_away(client: FlaskClient, home: Path) -> None:
    put_session(home, 1, seed_session(*(f"word {number}" for number in range(80)), session_id=session_id(1)))

    first = text_of(client, "/search?q=word")
    more = first.split('rel="next" href="')[1].partition('"')[0].replace("&amp;", "&")

    assert "50 hits and more" in first
    assert "160 hits in 1 session" in text_of(client, more)
    assert 'rel="next"' not in text_of(client, more)


def test_a_search_without_an_index_ends_in_time(
    client: FlaskClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(home, 5)
    monkeypatch.setattr(_lists, "_TIMEOUT", 0.1)
    now = iter([0.0, 0.0, 0.05, 0.2, 0.2, 0.2, 0.2])
    monkeypatch.setattr(time, "monotonic", lambda: next(now, 0.2))

    page = text_of(client, "/search?q=common")

    assert "There was no time to read all; these are the newest." in page


def test_sessions_that_could_not_be_read_are_counted(client: FlaskClient, home: Path, said: Path) -> None:
    put_session(home, 2, b"x", suffix=".zst")
    path = put_session(home, 3, seed_session("parser", session_id=session_id(3)))
    path.unlink()
    path.mkdir()

    assert "parser" in text_of(client, "/search?q=parser")


def test_a_session_that_goes_after_it_was_found_is_still_named(
    client: FlaskClient, said: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_lists, "facts_of", unreadable)

    page = text_of(client, "/search?q=parser")

    assert f">{session_id(1)}</a>" in page


def test_a_damaged_index_is_explained(client: FlaskClient, home: Path, indexed: Indexed, site: Site) -> None:
    many(home, 2)
    indexed()
    path = index_path(home)
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(bytes(data))

    answer = client.get("/?branch=master")

    assert answer.status_code in (200, 500)
    if answer.status_code == 500:
        assert "The index cannot be used" in answer.text


def test_a_home_whose_names_have_no_extra_for_an_index_is_listed(
    client: FlaskClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(home, 2)

    def missing(*_: Any) -> None:
        raise ModuleNotFoundError("the index needs an extra", name="platformdirs")

    monkeypatch.setattr("rollout.search.Index.open", missing)

    assert len(abouts(text_of(client, "/?branch=master"))) == 2


def test_days_are_told_apart(client: FlaskClient, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Recorder(home=home, cwd=home) as recorder:
        recorder.user_message("now")
    put(home, seed_session("then"), timestamp="2025-03-04T10-00-00")
    yesterday = time.strftime("%Y-%m-%dT%H-%M-%S", time.localtime(time.time() - 86_400))
    put(home, seed_session("before"), timestamp=yesterday, session_id=session_id(1))

    page = text_of(client)

    days = [part.partition("</th>")[0] for part in page.split('scope="rowgroup">')[1:]]
    assert days == ["Today", "Yesterday", "Tuesday 4 March 2025"]
