"""
Fixtures for the viewer: requests over real sockets, as browsers and attackers send them; and the application alone.
"""

from __future__ import annotations

import http.client
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from attrs import frozen
from flask.testing import FlaskClient

from rollout.search import update_index
from rollout.web import Viewer, make_viewer
from rollout.web._app import make_app
from rollout.web._context import Site

LIMIT = 30


@frozen
class Answer:
    """
    The answer of a request.
    """

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    """
    HTTP client of a viewer. By default its requests are like those of the viewer's own pages.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.host, self.port, self.authority = parts.hostname, parts.port, parts.netloc
        self.token = parts.path.split("/")[1]
        self.origin = f"http://{self.authority}"

    def __call__(self, path: str = "/", method: str = "GET", **headers: str | None) -> Answer:
        return self.request(f"/{self.token}{path}", method, **headers)

    def request(self, target: str, method: str = "GET", **headers: str | None) -> Answer:
        """
        Request a target as it is, without normalizing escapes and dots.
        """
        connection = http.client.HTTPConnection(self.host, self.port, timeout=LIMIT)
        try:
            connection.putrequest(method, target, skip_host=True)
            for name, value in {"Host": self.authority, **headers}.items():
                if value is not None:
                    connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()


@pytest.fixture(autouse=True)
def set_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path / "cache"))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.fixture
def site(home: Path) -> Site:
    return Site(home)


@pytest.fixture
def client(site: Site) -> FlaskClient:
    """
    Return a client of the application without its guard.
    """
    return make_app(site).test_client()


@pytest.fixture
def viewer(home: Path) -> Iterator[Viewer]:
    home.mkdir(exist_ok=True)
    with make_viewer(home) as viewer:
        yield viewer


@pytest.fixture
def ask(viewer: Viewer) -> Client:
    return Client(viewer.url)


@pytest.fixture
def build_index(home: Path) -> Callable[[], None]:
    return lambda: update_index(home=home) and None
