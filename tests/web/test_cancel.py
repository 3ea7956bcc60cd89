from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from rollout.web._cancel import IS_CANCELLED, RequestCancelledError, check
from rollout.web._context import Site
from tests.builders import make_old
from tests.rollouts import ID, encode, message, meta, prompt, put, seed_session
from tests.search.homes import put_session, session_id

pytestmark = pytest.mark.promise("viewer")

LINES = 3000


class LeavingClient:
    """
    A client that goes after the viewer has checked for it a number of times.
    """

    def __init__(self, checks: int) -> None:
        self.checks, self.check_count = checks, 0

    def __call__(self) -> bool:
        self.check_count += 1
        return self.check_count > self.checks


@pytest.fixture(params=[True, False], ids=["live", "quiet"])
def session(home: Path, request: pytest.FixtureRequest) -> Path:
    path = put(home, [*seed_session("hello"), *(message("assistant", f"{n} hello") for n in range(LINES))])
    if not request.param:
        make_old(path)
    return path


@pytest.mark.parametrize(
    "page",
    [
        f"/s/{ID}", f"/s/{ID}/stats", f"/s/{ID}/export/html", f"/s/{ID}/export/json?redact=1", f"/s/{ID}/raw/{LINES}",
        f"/s/{ID}/output/{LINES}", "/stats",
    ],
)  # fmt: skip
def test_a_page_is_not_completed_after_the_client_has_gone(client: FlaskClient, session: Path, page: str) -> None:
    leaving = LeavingClient(LINES // 10)

    with pytest.raises(RequestCancelledError):
        client.get(page, environ_overrides={IS_CANCELLED: leaving})

    assert leaving.check_count == leaving.checks + 1


@pytest.mark.parametrize("page", ["/stats", "/search?q=hello", f"/s/{ID}/at/100", f"/s/{ID}/raw/b1"])
def test_a_page_is_not_started_after_the_client_has_gone(client: FlaskClient, session: Path, page: str) -> None:
    with pytest.raises(RequestCancelledError):
        client.get(page, environ_overrides={IS_CANCELLED: lambda: True})


def test_hits_are_not_read_after_the_client_has_gone(
    client: FlaskClient, home: Path, build_index: Callable[[], None]
) -> None:
    for number in range(20):
        put_session(home, number, encode(seed_session("hello", session_id=session_id(number))))
    build_index()
    staying = LeavingClient(10**9)
    client.get("/search?q=hello", environ_overrides={IS_CANCELLED: staying})

    for checks in range(staying.check_count):
        with pytest.raises(RequestCancelledError):
            client.get("/search?q=hello", environ_overrides={IS_CANCELLED: LeavingClient(checks)})
    assert staying.check_count > 20


def test_a_request_stops_waiting_for_a_document_after_the_client_has_gone(
    client: FlaskClient, session: Path, site: Site
) -> None:
    with site._lock, pytest.raises(RequestCancelledError):
        client.get(f"/s/{ID}", environ_overrides={IS_CANCELLED: LeavingClient(2)})

    assert client.get(f"/s/{ID}").status_code == 200


def test_the_document_of_a_cancelled_request_is_loaded_by_the_next_request(client: FlaskClient, session: Path) -> None:
    with pytest.raises(RequestCancelledError):
        client.get(f"/s/{ID}", environ_overrides={IS_CANCELLED: LeavingClient(5)})

    assert f"{LINES - 1} hello" in client.get(f"/s/{ID}?page=last").text


def test_outside_of_a_request_nothing_is_cancelled(home: Path, site: Site) -> None:
    path = put(home, seed_session("q"))

    check()

    assert site.load_document(path).document.session_id == ID
    assert [thread.name for thread in threading.enumerate() if "viewer" in thread.name] == []


def test_a_fork_without_changes_names_its_missing_base(client: FlaskClient, home: Path) -> None:
    fork = meta(history_base={"thread_id": session_id(5), "end_ordinal_exclusive": 6}, history_mode="paginated")
    make_old(put(home, [fork, *prompt("own")]))

    assert f"inherited from session {session_id(5)} are missing" in client.get(f"/s/{ID}").text
