from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from rollout.web._cancel import IS_CANCELLED, RequestCancelledError, check
from rollout.web._site import Site
from tests.rollouts import ID, encode, message, meta, prompt, put, seed_session
from tests.search.homes import put_session, session_id
from tests.web.test_session_page import old

pytestmark = pytest.mark.promise("viewer")

LINES = 3000


class Leaving:
    """
    A client that goes after the viewer has looked a number of times.
    """

    def __init__(self, looks: int) -> None:
        self.looks, self.seen = looks, 0

    def __call__(self) -> bool:
        self.seen += 1
        return self.seen > self.looks


@pytest.fixture(params=[True, False], ids=["live", "quiet"])
def session(home: Path, request: pytest.FixtureRequest) -> Path:
    path = put(home, [*seed_session("hello"), *(message("assistant", f"{n} hello") for n in range(LINES))])
    if not request.param:
        old(path)
    return path


@pytest.mark.parametrize(
    "page",
    [
        f"/s/{ID}", f"/s/{ID}/stats", f"/s/{ID}/export/html", f"/s/{ID}/export/json?redact=1", f"/s/{ID}/raw/{LINES}",
        f"/s/{ID}/output/{LINES}", "/stats",
    ],
)  # fmt: skip
def test_a_page_is_not_finished_for_a_client_that_has_gone(client: FlaskClient, session: Path, page: str) -> None:
    leaving = Leaving(LINES // 10)

    with pytest.raises(RequestCancelledError):
        client.get(page, environ_overrides={IS_CANCELLED: leaving})

    assert leaving.seen == leaving.looks + 1


@pytest.mark.parametrize("page", ["/stats", "/search?q=hello", f"/s/{ID}/at/100", f"/s/{ID}/raw/b1"])
def test_a_page_is_not_begun_for_a_client_that_has_gone(client: FlaskClient, session: Path, page: str) -> None:
    with pytest.raises(RequestCancelledError):
        client.get(page, environ_overrides={IS_CANCELLED: lambda: True})


def test_hits_are_not_read_for_a_client_that_has_gone(
    client: FlaskClient, home: Path, indexed: Callable[[], None]
) -> None:
    for number in range(20):
        put_session(home, number, encode(seed_session("hello", session_id=session_id(number))))
    indexed()
    asked = Leaving(10**9)
    client.get("/search?q=hello", environ_overrides={IS_CANCELLED: asked})

    for looks in range(asked.seen):
        with pytest.raises(RequestCancelledError):
            client.get("/search?q=hello", environ_overrides={IS_CANCELLED: Leaving(looks)})
    assert asked.seen > 20


def test_a_document_is_not_waited_for_by_a_client_that_has_gone(client: FlaskClient, session: Path, site: Site) -> None:
    with site._lock, pytest.raises(RequestCancelledError):
        client.get(f"/s/{ID}", environ_overrides={IS_CANCELLED: Leaving(2)})

    assert client.get(f"/s/{ID}").status_code == 200


def test_a_cancelled_document_is_made_for_the_next_one(client: FlaskClient, session: Path) -> None:
    with pytest.raises(RequestCancelledError):
        client.get(f"/s/{ID}", environ_overrides={IS_CANCELLED: Leaving(5)})

    assert f"{LINES - 1} hello" in client.get(f"/s/{ID}?page=last").text


def test_outside_of_a_request_nothing_is_cancelled(home: Path, site: Site) -> None:
    path = put(home, seed_session("q"))

    check()

    assert site.opened(path).document.session_id == ID
    assert [thread.name for thread in threading.enumerate() if "viewer" in thread.name] == []


def test_a_quiet_fork_whose_base_is_missing_says_so(client: FlaskClient, home: Path) -> None:
    fork = meta(history_base={"thread_id": session_id(5), "end_ordinal_exclusive": 6}, history_mode="paginated")
    old(put(home, [fork, *prompt("own")]))

    assert f"goes on from {session_id(5)}" in client.get(f"/s/{ID}").text
