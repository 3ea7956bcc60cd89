"""
A client of the app server that answers its questions and keeps its notifications.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from threading import Condition, Lock
from typing import Any

from driver import Codex, Server
from mcp_server import PIXEL

_Note = dict[str, Any]
# How the client answers what the server asks of it, by the end of the method's name.
_ANSWERS: dict[str, dict[str, Any]] = {
    "tool/call": {
        "contentItems": [
            {"type": "inputText", "text": "ticket ok"},
            {"type": "inputImage", "imageUrl": f"data:image/png;base64,{PIXEL}"},
        ],
        "success": True,
    },
    "requestUserInput": {"answers": {"q1": {"answers": ["B"]}}},
    "requestApproval": {"decision": "accept"},
    "elicitation/request": {"action": "accept", "content": {}},
    "currentTime/read": {"currentTime": "2026-11-26T00:00:00Z", "unixTimeMs": 1},
}


class LiveServer(Server):
    """
    A running app server.

    Attributes:
        notes: Notifications so far.
    """

    def __init__(self, codex: Codex) -> None:
        self.notes: list[_Note] = []
        self._arrived = Condition()
        self._writing = Lock()
        client = {"name": "drift", "title": "drift", "version": "1"}
        capabilities = {"experimentalApi": True}
        super().__init__(codex, "app-server", {"clientInfo": client, "capabilities": capabilities}, "initialized")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if "method" not in message:
                self._lines.put(line)
            elif "id" in message:
                found = (answer for end, answer in _ANSWERS.items() if message["method"].endswith(end))
                self._send({"jsonrpc": "2.0", "id": message["id"], "result": next(found, {})})
            else:
                with self._arrived:
                    self.notes.append(message)
                    self._arrived.notify_all()

    def _send(self, message: Any) -> None:
        with self._writing:
            super()._send(message)

    def wait(
        self, method: str, *, since: int, timeout: float = 30, of: Callable[[_Note], bool] = lambda _: True
    ) -> bool:
        """
        Wait for a notification after the first *since*. Return whether it came.
        """

        def has_come() -> bool:
            return any(note["method"] == method and of(note["params"]) for note in self.notes[since:])

        with self._arrived:
            return self._arrived.wait_for(has_come, timeout)

    def start(self, **settings: Any) -> str:
        """
        Start a thread, and return its id.
        """
        return str(self.call("thread/start", settings)["thread"]["id"])

    def turn(self, thread: str, text: str, *, more: list[Any] | None = None, **settings: Any) -> None:
        """
        Run a turn to its end.
        """
        since = len(self.notes)
        self.begin(thread, text, more=more, **settings)
        self.wait_for_turn(thread, since)

    def begin(self, thread: str, text: str, *, more: list[Any] | None = None, **settings: Any) -> str:
        """
        Begin a turn, and return its id.
        """
        parts = [{"type": "text", "text": text, "text_elements": []}, *(more or [])]
        return str(self.call("turn/start", {"threadId": thread, "input": parts, **settings})["turn"]["id"])

    def wait_for_turn(self, thread: str, since: int) -> None:
        """
        Wait until a turn of a thread has ended.
        """
        self.wait("turn/completed", since=since, of=lambda params: params.get("threadId") == thread)

    def settle(self, seconds: float = 0.5) -> None:
        """
        Wait until no notification has come for a time: sub-agents and goals work on after a turn.
        """
        end = time.monotonic() + 10
        while time.monotonic() < end:
            count = len(self.notes)
            with self._arrived:
                if not self._arrived.wait_for(lambda count=count: len(self.notes) > count, seconds):
                    return
