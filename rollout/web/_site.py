"""
What all pages know: the home, which file an address means, and the documents that were made last.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import define, field, frozen
from flask import abort, current_app
from werkzeug.exceptions import NotFound

from rollout._lock import sessions_held
from rollout._walk import walk
from rollout.document import Document
from rollout.errors import MissingSessionMetaError, SessionNotFoundError
from rollout.finding import find_session
from rollout.follow import Follower
from rollout.layout import RolloutName
from rollout.web._addresses import GIVEN, key_of
from rollout.web._cancel import CheckedReader, check
from rollout.web._growing import Growing

__all__ = ["STREAMS_MAX", "Opened", "Site", "site"]

# Documents that are kept; one of a 50 MB file takes some 200 MB.
_KEPT = 3
# Seconds without a line until a session is quiet that no writer holds: Codex before 0.147 took no lock.
_QUIET = 120.0
# Seconds between two checks for cancellation, while a request waits for the document of another request.
_LOOK = 0.1
STREAMS_MAX = 16
"""Maximum number of open event streams. Each has two threads; a browser opens at most six connections to an address."""


@frozen
class Opened:
    """
    A session's document, and how far into the file it goes.

    Attributes:
        document: It.
        line_count: The number of the last line that it has.
        is_live: Somebody writes to it.
    """

    document: Document
    line_count: int
    is_live: bool


@define
class Site:
    """
    What one viewer shows.

    Attributes:
        home: The home.
        given: A session that lies elsewhere, if one was asked for.
        streams: Semaphore that an event stream holds while it is open.
    """

    home: Path
    given: Path | None = None
    streams: threading.BoundedSemaphore = field(factory=lambda: threading.BoundedSemaphore(STREAMS_MAX))
    _kept: OrderedDict[tuple[Path, int, int, bool], Opened] = field(factory=OrderedDict)
    _lock: threading.Lock = field(factory=threading.Lock)

    def path(self, key: str) -> Path:
        """
        Give the file that an address means; 404 if there is none.
        """
        if key == GIVEN:
            return self.given or abort(404)
        session_id, _, own_id = key.partition("_")
        if own_id:
            names = (name for place in (False, True) for name in walk(self.home, holding=key, is_archived=place))
            return next((name.path for name in names if key_of(name.path) == key), None) or abort(404)
        try:
            return find_session(session_id, home=self.home)
        except SessionNotFoundError:
            abort(404)

    def key(self, path: Path) -> str:
        """
        Give what a file is called in an address of this viewer.
        """
        with suppress(NotFound):
            if self.path(key_of(path)) == path:
                return key_of(path)
        return GIVEN

    def is_live(self, path: Path) -> bool:
        """
        Say whether a session is being written: it is held, or has changed lately.
        """
        return path.suffix != ".zst" and (self.is_held(path) or time.time() - path.stat().st_mtime < _QUIET)

    def is_held(self, path: Path) -> bool:
        """
        Say whether a writer has a session open.
        """
        name = RolloutName.parse(path)
        return name is not None and name.session_id in sessions_held(self.home)

    def opened(self, path: Path) -> Opened:
        """
        Give a session's document. Blocks: 1 s for some 15 MB, nothing for one that was shown lately.

        Raises:
            MissingSessionMetaError, OSError, ModuleNotFoundError: As `load_history`.
            RequestCancelledError: The client has gone.
        """
        status, is_live = path.stat(), self.is_live(path)
        key = (path, status.st_size, status.st_mtime_ns, is_live)
        # One after another: two at once would take twice the time and the memory.
        with self._making():
            if key not in self._kept:
                self._kept[key] = self._made(path, is_live=is_live)
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    @contextmanager
    def _making(self) -> Iterator[None]:
        while not self._lock.acquire(timeout=_LOOK):
            check()
        try:
            yield
        finally:
            self._lock.release()

    def _made(self, path: Path, *, is_live: bool) -> Opened:
        lines = Follower(path, from_start=True, timeout=0) if is_live else CheckedReader(path)
        with Growing(path, self.home, lines) as growing:
            for line in growing.lines():
                check()
                growing.add(line)
            if growing.document is None:
                what = "empty session file" if not growing.lineno else "no session_meta"
                raise MissingSessionMetaError(path, "no session_meta yet" if is_live else what)
            return Opened(growing.document, growing.lineno, is_live=is_live)


def site() -> Site:
    """
    Give the site of the viewer that answers this request.
    """
    found: Site = current_app.extensions["rollout"]
    return found
