"""
The state that all pages share: the home, the files that URLs name, and the documents loaded last.
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

from rollout.document import Document
from rollout.errors import AmbiguousSessionError, MissingSessionMetaError, SessionNotFoundError
from rollout.home import RolloutName, find_session, locked_sessions, walk
from rollout.reading import Follower, format_of
from rollout.web._cancel import CheckedReader, check
from rollout.web._live_document import LiveDocument
from rollout.web._url_keys import FILE_KEY, key_of

__all__ = ["STREAMS_MAX", "LoadedDocument", "Site", "current_site"]

# Number of documents in the cache. The document of a 50 MB file takes about 200 MB of memory.
_CACHE_SIZE = 3
# Seconds after its last change during which a session without a lock is live: Codex before 0.147 took no lock.
_LIVE_TIME = 120.0
# Seconds between two checks for cancellation, while a request waits for the document of another request.
_CHECK_INTERVAL = 0.1
STREAMS_MAX = 16
"""Maximum number of open event streams. Each has two threads; a browser opens at most six connections to an address."""


@frozen
class LoadedDocument:
    """
    The document of a session as of one line of its file.

    Attributes:
        document: The document.
        line_count: Number of the last line in the document.
        is_live: Whether the session is being written.
    """

    document: Document
    line_count: int
    is_live: bool


@define
class Site:
    """
    The home of a viewer, and its cache of documents.

    Attributes:
        home: Home folder.
        session: File of the session that the viewer opens first, in the home or elsewhere.
        streams: Semaphore that an event stream holds while it is open.
    """

    home: Path
    session: Path | None = None
    streams: threading.BoundedSemaphore = field(factory=lambda: threading.BoundedSemaphore(STREAMS_MAX))
    _cache: OrderedDict[tuple[Path, int, int, bool], LoadedDocument] = field(factory=OrderedDict)
    _lock: threading.Lock = field(factory=threading.Lock)

    def find_path(self, key: str) -> Path:
        """
        Return the file that a key names. If the file does not exist, the request is answered with status 404.
        """
        if key == FILE_KEY:
            return self.session or abort(404)
        session_id, _, rollout_id = key.partition("_")
        if rollout_id:
            names = walk(self.home, name_contains=key, archived=None)
            return next((name.path for name in names if key_of(name.path) == key), None) or abort(404)
        try:
            path = find_session(session_id, home=self.home)
        except (SessionNotFoundError, AmbiguousSessionError):
            abort(404)
        # The beginning of an id is no key.
        return path if key_of(path).partition("_")[0] == session_id else abort(404)

    def find_key(self, path: Path) -> str:
        """
        Return the key that names a file in the URLs of this viewer.
        """
        with suppress(NotFound):
            if self.find_path(key_of(path)) == path:
                return key_of(path)
        return FILE_KEY

    def is_live(self, path: Path) -> bool:
        """
        Return whether a session is being written: a writer has it open, or its file changed in the last two minutes.
        """
        is_changing = self.is_held(path) or time.time() - path.stat().st_mtime < _LIVE_TIME
        return path.suffix != ".zst" and is_changing and format_of(path) == "rollout"

    def is_held(self, path: Path) -> bool:
        """
        Return whether a writer has a session open.
        """
        name = RolloutName.parse(path)
        return name is not None and name.session_id in locked_sessions(self.home)

    def load_document(self, path: Path) -> LoadedDocument:
        """
        Return the document of a session. Blocks: 1 s for about 15 MB, no time if the document is in the cache.

        Raises:
            MissingSessionMetaError, OSError, ModuleNotFoundError: As `load_history`.
            RequestCancelledError: The client has disconnected.
        """
        status, is_live = path.stat(), self.is_live(path)
        key = (path, status.st_size, status.st_mtime_ns, is_live)
        # One document at a time: two would take twice the time and the memory.
        with self._locked():
            if key not in self._cache:
                self._cache[key] = self._build(path, is_live=is_live)
                while len(self._cache) > _CACHE_SIZE:
                    self._cache.popitem(last=False)
            self._cache.move_to_end(key)
            return self._cache[key]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        while not self._lock.acquire(timeout=_CHECK_INTERVAL):
            check()
        try:
            yield
        finally:
            self._lock.release()

    def _build(self, path: Path, *, is_live: bool) -> LoadedDocument:
        source = Follower(path, from_start=True, timeout=0) if is_live else CheckedReader(path)
        with LiveDocument(path, self.home, source) as live:
            for line in live.lines():
                check()
                live.add(line)
            if live.document is None:
                what = "empty session file" if not live.lineno else "no session_meta"
                raise MissingSessionMetaError(path, "no session_meta yet" if is_live else what)
            return LoadedDocument(live.document, live.lineno, is_live=is_live)


def current_site() -> Site:
    """
    Return the site of the viewer that answers the current request.
    """
    site: Site = current_app.extensions["rollout"]
    return site
