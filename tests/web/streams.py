"""
A client of the event stream of a session's page.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

from tests.web.conftest import LIMIT, Client

__all__ = ["Stream"]


class Stream:
    """
    An open event stream, parsed as a browser does it.
    """

    def __init__(self, ask: Client, path: str, **headers: str) -> None:
        self._connection = http.client.HTTPConnection(ask.host, ask.port, timeout=LIMIT)
        self._connection.request("GET", f"/{ask.token}{path}", headers={"Host": ask.authority, **headers})
        self.response = self._connection.getresponse()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.response.close()
        self._connection.close()

    def events(self) -> Iterator[dict[str, Any]]:
        """
        Yield events and comments, as dictionaries with the keys event, id, data and comment.
        """
        event: dict[str, Any] = {}
        while line := self.response.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if not line.strip():
                yield event
                event = {}
            else:
                event[name or "comment"] = json.loads(value) if name == "data" else value

    def updates(self) -> Iterator[dict[str, Any]]:
        """
        Yield the events that change turns of the page.
        """
        return (event for event in self.events() if "items" in event.get("data", {}))

    def read_until(self, text: str) -> list[dict[str, Any]]:
        """
        Return the updates up to the first one that contains a text.
        """
        found = []
        for event in self.updates():
            found.append(event)
            if text in json.dumps(event):
                return found
        raise AssertionError(found)
