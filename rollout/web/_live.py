"""
A session that grows on the page: what each batch of new lines changes, as server-sent events.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from flask import Response, request

from rollout.codec import encode_json
from rollout.document import Turn
from rollout.export._html import Renderer
from rollout.follow import Follower
from rollout.web._cancel import BEGIN_STREAM, cancellation
from rollout.web._growing import Growing, Numbered
from rollout.web._parts import Place, line_of
from rollout.web._site import STREAMS_MAX, Site, site

__all__ = ["events_page"]

_RETRY_MS = 1000
# Seconds after which a browser that got a 503 may try again.
_RETRY_AFTER = 5
# Seconds: how soon it is noticed that nobody reads, and what keeps a connection from being taken for dead.
_LOOK = 0.1
_HEARTBEAT = 15.0
# How often it is asked whether a writer has the session open.
_STATE = 1.0
# Lines of one event at most: 2 ms each to show.
_BATCH = 200


def events_page(key: str) -> Response:
    """
    Follow a session: send events with the changes of its page until the client disconnects. Answer 503 if 16 streams
    are open.
    """
    path = site().path(key)
    if path.suffix == ".zst":
        # Nobody writes to it: with no content a browser does not ask again.
        return Response(status=204)
    streams = site().streams
    if not streams.acquire(blocking=False):
        text = f"{STREAMS_MAX} pages follow sessions already: close one, or try again later.\n"
        return Response(text, 503, {"Retry-After": str(_RETRY_AFTER)}, mimetype="text/plain")
    request.environ.get(BEGIN_STREAM, lambda: None)()
    sent = {**request.args, "after": request.headers.get("Last-Event-ID") or request.args.get("after", "")}
    page = _Page(Growing(path, site().home, Follower(path, from_start=True, timeout=None)), Place.read(sent))
    events = _events(site(), path, page, cancellation())
    answer = Response((event.encode("utf-8", "replace") for event in events), mimetype="text/event-stream")
    answer.call_on_close(streams.release)
    return answer


def _events(given: Site, path: Path, page: _Page, is_cancelled: Callable[[], bool]) -> Iterator[str]:
    with _Lines(page.growing) as lines:
        yield f"retry: {_RETRY_MS}\n\n"
        heard = asked = time.monotonic() - _STATE
        is_held: bool | None = None
        while not is_cancelled():
            batch = lines.take()
            if batch is None:
                return
            events = [*page.add(batch)]
            now = time.monotonic()
            if now - asked >= _STATE:
                asked, before, is_held = now, is_held, given.is_held(path)
                events += page.around()
                events += [_message({"isHeld": is_held}, kind="state")] if is_held != before else []
            if not events and now - heard >= _HEARTBEAT:
                events = [": nothing new\n\n"]
            if events:
                heard = now
                yield "".join(events)


class _Lines:
    """
    A session's lines, read by a thread of its own, so that somebody else is heard meanwhile.
    """

    def __init__(self, growing: Growing) -> None:
        self._growing = growing
        self._waiting: SimpleQueue[Numbered | None] = SimpleQueue()
        self._is_closed = False
        self._thread = threading.Thread(target=self._read, name="rollout-viewer-lines", daemon=True)

    def __enter__(self) -> _Lines:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed = True
        self._growing.close()
        self._thread.join()

    def _read(self) -> None:
        for line in self._growing.lines():
            self._waiting.put(line)
            if self._is_closed:
                break
        # The file is gone, or nobody wants to know.
        self._waiting.put(None)

    def take(self) -> list[Numbered] | None:
        """
        Wait shortly for lines, and give what is there; None after the last.
        """
        found: list[Numbered] = []
        with suppress(Empty):
            line = self._waiting.get(timeout=_LOOK)
            while line is not None:
                found.append(line)
                if len(found) == _BATCH:
                    return found
                line = self._waiting.get_nowait()
            return found or None
        return found


class _Page:
    """
    What a page has already, and what of it changes.
    """

    def __init__(self, growing: Growing, place: Place) -> None:
        self.growing, self._place = growing, place
        self._renderer: Renderer | None = None
        self._last: Turn | None = None

    def add(self, batch: Sequence[Numbered]) -> Iterator[str]:
        """
        Take lines, and give an event for each turn that they change.
        """
        for line in batch:
            if self._renderer is None and line[0] > self._place.after:
                self._renderer = self._begun()
            self.growing.add(line)
        if self._renderer is None or self.growing.document is None:
            return
        changes = [change for change in self.growing.changes() if change[0].number >= self._place.turn]
        for turn, items in changes:
            self._last = turn
            shown = [item for item in items if line_of(item) >= self._place.line]
            event = {
                "turn": f"t{turn.number}",
                "head": self._renderer.turn_head(turn),
                "items": [self._renderer.item(item) for item in shown],
                "others": self._renderer.others(turn),
            }
            # Only behind the last of them has the page all these lines.
            yield _message(event, number=self.growing.lineno if turn is changes[-1][0] else None)

    def _begun(self) -> Renderer:
        document = self.growing.document
        # What changed until here the page has.
        self.growing.changes()
        return Renderer(is_live=True, cwd=document.meta.cwd if document else None)

    def around(self) -> Iterator[str]:
        """
        Give an event with what stands above and below the turns, if one has changed since.
        """
        document, turn = self.growing.document, self._last
        if self._renderer is not None and document is not None and turn is not None:
            self._last = None
            around = {"heading": self._renderer.heading(document), "closing": self._renderer.closing(document)}
            yield _message({"turn": f"t{turn.number}", **around})


def _message(content: dict[str, Any], *, kind: str = "", number: int | None = None) -> str:
    """
    Give an event: a browser calls a listener of its kind, and says the number when it comes again.
    """
    head = (f"event: {kind}\n" if kind else "") + (f"id: {number}\n" if number is not None else "")
    return f"{head}data: {encode_json(content)}\n\n"
