"""
The viewer, asked as browsers and strangers ask it: over real sockets; and its application alone.
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
from rollout.web._site import Site

LIMIT = 30


@frozen
class Answer:
    """
    What came back.
    """

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Asker:
    """
    Asks a viewer; what is not said otherwise is as its own pages ask.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._begin(viewer.url)

    @classmethod
    def of(cls, url: str) -> Asker:
        """
        Ask the viewer that has an address.
        """
        asker = cls.__new__(cls)
        asker._begin(url)
        return asker

    def _begin(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.host, self.port, self.authority = parts.hostname, parts.port, parts.netloc
        self.token = parts.path.split("/")[1]
        self.origin = f"http://{self.authority}"

    def __call__(self, path: str = "/", method: str = "GET", **headers: str | None) -> Answer:
        return self.raw(f"/{self.token}{path}", method, **headers)

    def raw(self, target: str, method: str = "GET", **headers: str | None) -> Answer:
        """
        Ask for an address as it is, escapes and dots and all.
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
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path / "cache"))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.fixture
def site(home: Path) -> Site:
    return Site(home)


@pytest.fixture
def client(site: Site) -> FlaskClient:
    """
    The application without its guard.
    """
    return make_app(site).test_client()


@pytest.fixture
def viewer(home: Path) -> Iterator[Viewer]:
    home.mkdir(exist_ok=True)
    with make_viewer(home) as viewer:
        yield viewer


@pytest.fixture
def ask(viewer: Viewer) -> Asker:
    return Asker(viewer)


@pytest.fixture
def indexed(home: Path) -> Callable[[], None]:
    return lambda: update_index(home=home) and None
