"""
Server-sent events of a live session: the changes of its page for each batch of new lines.
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
from rollout.export.html import Renderer
from rollout.reading import Follower
from rollout.web._cancel import BEGIN_STREAM, cancellation
from rollout.web._context import STREAMS_MAX, Site, current_site
from rollout.web._document_parts import PagePosition, first_line_of
from rollout.web._live_document import LiveDocument, NumberedLine

__all__ = ["events_page"]

# Milliseconds after which a browser reconnects.
_RETRY_MS = 1000
# Seconds after which a browser that got a 503 may try again.
_RETRY_AFTER = 5
# Maximum seconds between two checks for cancellation.
_CHECK_INTERVAL = 0.1
# Seconds between two comments without content, which prevent a proxy or browser from closing the connection.
_HEARTBEAT_INTERVAL = 15.0
# Seconds between two checks whether a writer has the session open.
_STATE_INTERVAL = 1.0
# Maximum number of lines per event. A browser takes 2 ms to show one.
_BATCH_SIZE = 200


def events_page(key: str) -> Response:
    """
    Follow a session: send events with the changes of its page until the client disconnects. Answer 503 if 16 streams
    are open.
    """
    site = current_site()
    path = site.find_path(key)
    if path.suffix == ".zst":
        # No writer appends to a compressed file. After a 204, a browser does not reconnect.
        return Response(status=204)
    if not site.streams.acquire(blocking=False):
        text = f"{STREAMS_MAX} pages already follow a session. Close one, or try again later.\n"
        return Response(text, 503, {"Retry-After": str(_RETRY_AFTER)}, mimetype="text/plain")
    request.environ.get(BEGIN_STREAM, lambda: None)()
    query = {**request.args, "after": request.headers.get("Last-Event-ID") or request.args.get("after", "")}
    live = LiveDocument(path, site.home, Follower(path, from_start=True, timeout=None))
    events = _events(site, path, _PageUpdates(live, PagePosition.read(query)), cancellation())
    answer = Response((event.encode("utf-8", "replace") for event in events), mimetype="text/event-stream")
    answer.call_on_close(site.streams.release)
    return answer


def _events(site: Site, path: Path, page: _PageUpdates, is_cancelled: Callable[[], bool]) -> Iterator[str]:
    with _LineQueue(page.live) as lines:
        yield f"retry: {_RETRY_MS}\n\n"
        last_event_at = last_check_at = time.monotonic() - _STATE_INTERVAL
        is_held: bool | None = None
        while not is_cancelled():
            batch = lines.get_batch()
            if batch is None:
                return
            events = [*page.add(batch)]
            now = time.monotonic()
            if now - last_check_at >= _STATE_INTERVAL:
                last_check_at, was_held, is_held = now, is_held, site.is_held(path)
                events += page.frame_events()
                events += [_event({"isHeld": is_held}, kind="state")] if is_held != was_held else []
            if not events and now - last_event_at >= _HEARTBEAT_INTERVAL:
                events = [": nothing new\n\n"]
            if events:
                last_event_at = now
                yield "".join(events)


class _LineQueue:
    """
    The lines of a session, read by a separate thread: the stream can check for cancellation while it waits for a line.
    """

    def __init__(self, live: LiveDocument) -> None:
        self._live = live
        self._queue: SimpleQueue[NumberedLine | None] = SimpleQueue()
        self._is_closed = False
        self._thread = threading.Thread(target=self._read, name="rollout-viewer-lines", daemon=True)

    def __enter__(self) -> _LineQueue:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed = True
        self._live.close()
        self._thread.join()

    def _read(self) -> None:
        for line in self._live.lines():
            self._queue.put(line)
            if self._is_closed:
                break
        # The file was removed, or the stream was closed.
        self._queue.put(None)

    def get_batch(self) -> list[NumberedLine] | None:
        """
        Return the lines that were read since the last call, possibly none; None after the last line. Blocks for at most
        0.1 s.
        """
        batch: list[NumberedLine] = []
        with suppress(Empty):
            line = self._queue.get(timeout=_CHECK_INTERVAL)
            while line is not None:
                batch.append(line)
                if len(batch) == _BATCH_SIZE:
                    return batch
                line = self._queue.get_nowait()
            return batch or None
        return batch


class _PageUpdates:
    """
    The changes of one page since its position.
    """

    def __init__(self, live: LiveDocument, position: PagePosition) -> None:
        self.live, self._position = live, position
        self._renderer: Renderer | None = None
        self._last_turn: Turn | None = None

    def add(self, batch: Sequence[NumberedLine]) -> Iterator[str]:
        """
        Add lines to the document, and yield an event for each turn that they change.
        """
        for line in batch:
            if self._renderer is None and line[0] > self._position.after:
                self._renderer = self._make_renderer()
            self.live.add(line)
        if self._renderer is None or self.live.document is None:
            return
        changes = [change for change in self.live.changes() if change[0].number >= self._position.turn]
        for turn, items in changes:
            self._last_turn = turn
            shown = [item for item in items if first_line_of(item) >= self._position.line]
            event = {
                "turn": f"t{turn.number}",
                "head": self._renderer.turn_head(turn),
                "items": [self._renderer.item(item) for item in shown],
                "others": self._renderer.others(turn),
            }
            # Only after the last event does the page have all these lines.
            yield _event(event, number=self.live.lineno if turn is changes[-1][0] else None)

    def _make_renderer(self) -> Renderer:
        document = self.live.document
        # The page already has the changes up to here.
        self.live.changes()
        return Renderer(is_live=True, cwd=document.meta.cwd if document else None)

    def frame_events(self) -> Iterator[str]:
        """
        Yield an event with the parts above and below the turns, if a turn has changed since the last call.
        """
        document, turn = self.live.document, self._last_turn
        if self._renderer is not None and document is not None and turn is not None:
            self._last_turn = None
            frame = {"heading": self._renderer.heading(document), "closing": self._renderer.closing(document)}
            yield _event({"turn": f"t{turn.number}", **frame})


def _event(content: dict[str, Any], *, kind: str = "", number: int | None = None) -> str:
    """
    Return a server-sent event. A browser calls the listener for its kind, and sends its number when it reconnects.
    """
    head = (f"event: {kind}\n" if kind else "") + (f"id: {number}\n" if number is not None else "")
    return f"{head}data: {encode_json(content)}\n\n"
