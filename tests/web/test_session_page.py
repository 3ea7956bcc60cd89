from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient

from rollout.export import export_html, export_json, export_markdown, export_text
from rollout.sessions._history import load_history
from rollout.store import archive, compress, rename_session
from rollout.web import make_viewer
from rollout.web._app import make_app
from rollout.web._context import _CACHE_SIZE, Site
from rollout.web._document_parts import ITEMS_MAX, split_document
from rollout.web._sessions import FORMATS
from tests.builders import command as call
from tests.builders import command_output as output
from tests.builders import make_old
from tests.rollouts import ID, encode, event, message, meta, prompt, put, seed_session
from tests.search.homes import put_session, session_id
from tests.web.conftest import Client

PAGE = f"/s/{ID}"


@pytest.fixture
def session(home: Path) -> Path:
    return make_old(put(home, [*seed_session("Why <b>does</b> it fail?"), call("shell", "ls"), output("a\nb")]))


def long_session(turns: int, items: int) -> list[tuple[str, dict[str, object]]]:
    lines = [meta()]
    for turn in range(turns):
        lines += prompt(f"question {turn}")
        lines += [message("assistant", f"answer {turn}.{item}") for item in range(items)]
    return lines


def test_a_session_is_shown_by_the_same_renderer_as_an_export(client: FlaskClient, session: Path) -> None:
    page = client.get(PAGE).text
    exported = "".join(export_html(load_history(session)))

    for part in (
        '<article class="item user" id="L3"',
        '" id="t1" aria-label="Turn 1">',
        'id="session-head"',
        'id="end"',
    ):
        assert part in page
        assert part in exported
    assert "Why &lt;b&gt;does&lt;/b&gt; it fail?" in page
    assert f'data-session-url="{PAGE}"' in page
    assert "data-events" not in page
    assert 'id="live"' not in page


def test_the_page_begins_with_the_name_of_the_session(client: FlaskClient, session: Path, home: Path) -> None:
    rename_session(ID, "the parser", home=home)

    page = client.get(PAGE).text

    assert '<strong class="name">the parser</strong>' in page
    assert "<title>the parser · rollout</title>" in page


def test_every_line_is_returned_as_in_the_file(client: FlaskClient, session: Path) -> None:
    with session.open("ab") as file:
        file.write(b'{"timestamp":  "odd"\xff\n\ntorn')
    lines = session.read_bytes().split(b"\n")

    given = [client.get(f"{PAGE}/raw/{number}") for number in range(1, len(lines) + 1)]

    assert [answer.data for answer in given] == lines
    assert {answer.mimetype for answer in given} == {"text/plain"}
    assert client.get(f"{PAGE}/raw/{len(lines) + 1}").status_code == 404


def test_lines_of_a_compressed_session_are_returned(client: FlaskClient, session: Path, home: Path) -> None:
    lines = session.read_bytes().split(b"\n")
    compress(ID, home=home, min_age=0)

    assert client.get(f"{PAGE}/raw/3").data == lines[2]
    assert client.get(f"{PAGE}/at/{len(lines[0]) + 1}").location == f"{PAGE}?line=2"
    assert client.get(f"{PAGE}/events").status_code == 204


def test_a_damaged_file_has_no_lines_after_the_damage(client: FlaskClient, home: Path) -> None:
    put(home, b"(\xb5/\xfd damaged", suffix=".zst")

    assert client.get(f"{PAGE}/raw/99").status_code == 404
    assert client.get(f"{PAGE}/at/99").status_code == 404
    assert client.get(PAGE).status_code == 500


def test_inherited_lines_are_shown_and_returned(client: FlaskClient, home: Path) -> None:
    base = session_id(1)
    own = seed_session("the first question", session_id=base)
    put_session(home, 1, encode(own, first_ordinal=0))
    fork = meta(history_base={"thread_id": base, "end_ordinal_exclusive": 6}, history_mode="paginated")
    make_old(put(home, encode([fork, *prompt("the second")], first_ordinal=6)))

    page = client.get(PAGE).text

    assert "the first question" in page
    assert 'id="Lb3"' in page
    assert json.loads(client.get(f"{PAGE}/raw/b3").data)["payload"] == own[2][1]
    assert client.get(f"{PAGE}/raw/b99").status_code == 404
    assert client.get(f"{PAGE}?line=b3").location == f"{PAGE}#Lb3"


def test_a_truncated_text_is_returned_completely(client: FlaskClient, home: Path) -> None:
    text = "".join(f"line {number} <b>\n" for number in range(9000))
    make_old(put(home, [*seed_session("q"), call("shell", "ls"), output(text)]))

    page = client.get(PAGE).text
    key = page.split('data-more="')[1].partition('"')[0]
    answer = client.get(f"{PAGE}/output/{key}")

    assert answer.text == text
    assert answer.mimetype == "text/plain"
    assert client.get(f"{PAGE}/output/1").status_code == 404
    assert client.get(f"{PAGE}/output/1.diff9").status_code == 404


def test_surrogates_are_shown_and_exported(client: FlaskClient, home: Path) -> None:
    make_old(put(home, [*seed_session("half \ud800 of it"), call("shell", "ls"), output("\udc00" + "x\n" * 9000)]))

    key = client.get(PAGE).text.split('data-more="')[1].partition('"')[0]

    assert client.get(f"{PAGE}/output/{key}").text.endswith("x\nx\n")
    for form in ("html", "markdown", "text", "json"):
        assert client.get(f"{PAGE}/export/{form}").status_code == 200


def test_an_offset_redirects_to_its_line(client: FlaskClient, session: Path) -> None:
    lines = session.read_bytes().split(b"\n")
    offset = 0
    for number, line in enumerate(lines[:-1], 1):
        answer = client.get(f"{PAGE}/at/{offset}")

        assert answer.status_code == 302
        assert answer.location == f"{PAGE}?line={number}"
        assert client.get(answer.location).location == f"{PAGE}#L{number}"
        offset += len(line) + 1
    assert client.get(client.get(f"{PAGE}/at/999999").location).status_code == 404


def test_a_long_session_is_paged_between_turns(client: FlaskClient, home: Path) -> None:
    make_old(put(home, long_session(5, ITEMS_MAX // 2 - 1)))

    pages = [client.get(f"{PAGE}?page={number}").text for number in (1, 2, 3)]

    assert [page.count('<section class="turn') for page in [client.get(PAGE).text, *pages]] == [3, 3, 2, 1]
    assert "part 2 of 3: turns 3 to 4" in pages[1]
    assert client.get(f"{PAGE}?page=4").status_code == 404
    assert client.get(f"{PAGE}?page=last").text == pages[2]
    assert f'href="{PAGE}?page=3"' in pages[1]
    assert client.get(f"{PAGE}?page=0").status_code == 404


def test_the_jump_list_of_a_long_session_leads_to_every_turn(client: FlaskClient, home: Path) -> None:
    make_old(put(home, long_session(5, ITEMS_MAX // 2 - 1)))

    contents = client.get(f"{PAGE}?page=2").text.split('<nav class="side"')[1].partition("</nav>")[0]
    links = [part.partition('"')[0] for part in contents.split('<a href="')[1:]]

    assert links == [*(f"{PAGE}?turn={n}" for n in (0, 1, 2)), "#t3", "#t4", f"{PAGE}?turn=5"]
    assert [client.get(link).location for link in links if link.startswith("/")] == [
        f"{PAGE}#t0", f"{PAGE}#t1", f"{PAGE}#t2", f"{PAGE}?page=3#t5",
    ]  # fmt: skip


def test_a_long_turn_is_paged_between_items(client: FlaskClient, home: Path) -> None:
    path = make_old(put(home, [*long_session(1, 2 * ITEMS_MAX), event("token_count", info=None)]))

    parts = split_document(load_history(path).document())
    pages = [client.get(f"{PAGE}?page={number + 1}").text for number in range(len(parts))]

    assert [sum(len(turn.items) for turn in part.turns) for part in parts] == [ITEMS_MAX, ITEMS_MAX, 1]
    assert sum(page.count("<article") for page in pages) == 2 * ITEMS_MAX + 1
    assert ["<dt>token_count" in page for page in pages] == [False, False, True]
    number = 3 + 2 * ITEMS_MAX
    assert client.get(f"{PAGE}?line={number}").location == f"{PAGE}?page=3#L{number}"
    assert client.get(f"{PAGE}?line={number + 1}").location == f"{PAGE}?page=3#L{number + 1}"


@pytest.mark.parametrize(
    ("form", "export", "ending"),
    [("html", export_html, "html"), ("markdown", export_markdown, "md"), ("text", export_text, "txt"),
     ("json", export_json, "json")],
)  # fmt: skip
def test_a_session_is_downloaded_as_a_file(
    client: FlaskClient, session: Path, form: str, export: object, ending: str
) -> None:
    answer = client.get(f"{PAGE}/export/{form}")

    assert answer.text == "".join(export(load_history(session)))  # type: ignore[operator]
    disposition = f'attachment; filename="rollout-2026-11-21T01-25-37-{ID}.{ending}"'
    assert answer.headers["Content-Disposition"] == disposition


@pytest.mark.parametrize("form", FORMATS)
def test_a_session_is_downloaded_without_its_secrets(client: FlaskClient, home: Path, form: str) -> None:
    secret = "sk-proj-" + "a1B2c3D4e5F6" * 4
    put(home, seed_session(f"use {secret}, please"))

    assert f'href="{PAGE}/export/{form}?redact=1"' in client.get(PAGE).text
    assert secret in client.get(f"{PAGE}/export/{form}").text
    assert secret not in client.get(f"{PAGE}/export/{form}?redact=1").text


def test_an_archived_session_is_shown(client: FlaskClient, session: Path, home: Path) -> None:
    archive(ID, home=home)

    assert "Why &lt;b&gt;does&lt;/b&gt; it fail?" in client.get(PAGE).text


def test_each_file_of_a_session_has_its_own_url(client: FlaskClient, session: Path, home: Path) -> None:
    own = session_id(7)
    other = session.with_name(f"rollout-2026-11-21T02-00-00-{ID}_{own}.jsonl")
    other.write_bytes(encode(seed_session("reverted")))
    make_old(other)

    assert f'href="{PAGE}_{own}"' in client.get("/").text
    assert "reverted" in client.get(f"{PAGE}_{own}").text
    assert client.get(f"{PAGE}_{session_id(8)}").status_code == 404


def test_a_session_that_cannot_be_shown_is_explained(client: FlaskClient, home: Path) -> None:
    make_old(put(home, b""))

    answer = client.get(PAGE)

    assert answer.status_code == 500
    assert "empty session file" in answer.text


def test_a_session_that_has_only_begun_is_explained(client: FlaskClient, home: Path) -> None:
    put(home, b'{"half')

    assert "no session_meta yet" in client.get(PAGE).text


def test_a_session_removed_during_the_request_is_not_found(
    client: FlaskClient, session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rollout.web._context.find_session", lambda *_, **__: session.parent / "gone" / session.name)

    answer = client.get(PAGE)

    assert answer.status_code == 404
    assert "The file no longer exists." in answer.text


def test_documents_are_cached_until_they_change(home: Path, session: Path) -> None:
    site = Site(home)

    first = site.load_document(session)
    again = site.load_document(session)
    with session.open("ab") as file:
        file.write(encode([message("assistant", "more")]))
    make_old(session)
    changed = site.load_document(session)

    assert again is first
    assert changed is not first
    assert changed.line_count == first.line_count + 1


def test_the_cache_of_documents_is_limited(home: Path) -> None:
    paths = [
        make_old(put_session(home, n, seed_session("q", session_id=session_id(n)))) for n in range(_CACHE_SIZE + 1)
    ]
    site = Site(home)

    first = site.load_document(paths[0])
    for path in paths[1:]:
        site.load_document(path)

    assert site.load_document(paths[0]) is not first


def test_a_session_outside_of_the_home_is_shown_on_request(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "my session.jsonl"
    path.write_bytes(encode(seed_session("elsewhere")))
    home.mkdir()

    with make_viewer(home, session=path) as viewer:
        ask = Client(viewer.url)
        page = ask("/s/file").text
        saved = ask("/s/file/export/text")

    assert viewer.url.endswith("/s/file")
    assert "elsewhere" in page
    assert saved.headers["Content-Disposition"] == 'attachment; filename="my_session.txt"'


def test_a_viewer_begins_with_a_session_of_its_home(home: Path, session: Path) -> None:
    viewer = make_viewer(home, session=session)
    viewer.close()

    assert urlsplit(viewer.url).path.endswith(PAGE)


def test_a_deleted_session_is_shown_as_a_session_outside_of_the_home(home: Path, session: Path) -> None:
    trash = home / "deleted_sessions"
    trash.mkdir()
    path = session.rename(trash / session.name)

    viewer = make_viewer(home, session=path)
    viewer.close()

    assert viewer.url.endswith("/s/file")


def test_a_copy_of_a_session_is_not_confused_with_it(home: Path, session: Path, tmp_path: Path) -> None:
    copy = tmp_path / session.name
    copy.write_bytes(encode(seed_session("a copy")))

    app = make_app(site := Site(home, session=copy))

    assert site.find_key(copy) == "file"
    assert "a copy" in app.test_client().get("/s/file").text


def test_a_problem_of_the_index_is_explained(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite3

    def broken(*_: object, **__: object) -> None:
        raise sqlite3.DatabaseError("malformed")

    monkeypatch.setattr("rollout.web._lists.read_page", broken)

    answer = client.get("/")

    assert answer.status_code == 500
    assert "malformed. `rollout index --rebuild` rebuilds it." in answer.text
