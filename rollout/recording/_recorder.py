"""
The `Recorder`, which callers use: it opens a session's file and passes plain items to the writer, but never writes.
"""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from uuid import UUID

import attrs

from rollout._version import __version__
from rollout.errors import EncodeError, RolloutError
from rollout.home import (
    SessionLock,
    StrPath,
    create_session_file,
    find_and_use,
    folders_up_to_home,
    home_folder,
    home_of,
    locate,
    missing_folders,
    new_session_id,
)
from rollout.recording._agent_methods import AgentMethods
from rollout.recording._agents import ROOT, Place
from rollout.recording._append_file import AppendFile
from rollout.recording._commands import MAX_WAITING_SIZE, Add, Options, RecorderStats
from rollout.recording._companions import Companions
from rollout.recording._lifecycle import abandon, starting
from rollout.recording._moments import Moment, milliseconds
from rollout.recording._open_rollout import System
from rollout.recording._policy import Policy, default_policy
from rollout.recording._prepare import Default, Preparer, meta_line
from rollout.recording._resume import open_for_append
from rollout.recording._settings import Settings, session_meta
from rollout.recording._token_counts import TokenTotals
from rollout.recording._writer import Writer

__all__ = ["Recorder"]

_log = logging.getLogger("rollout")


class Recorder(AgentMethods):
    """
    Recorder of a new session; `Recorder.resume` continues an existing one.

    The file is created at once. Its first line, the session_meta, is written by the writer's thread, which asks git
    about *cwd* for up to 5 seconds before. May be used from any thread. Use it as a context manager, or call `close`; a
    recorder still open when the program ends is closed then, within 10 seconds.

    Args:
        instructions: System prompt or permanent instructions of the user, for the meta.
        session_id: Any UUID; by default a new one of version 7.
        home: Folder that contains ``sessions``; by default ``CODEX_HOME``, else ``~/.codex``.
        cwd: Working folder of the agent; by default the current folder.
        originator: Name of the program that records.
        cli_version: Version of that program; by default the version of this package.
        source: Origin of the session: cli, vscode, exec, mcp. Codex lists a session without a source as one of
            vscode, and omits sessions of exec.
        model_provider: Service that runs the model.
        policy: Decides which items are kept: called with a line's type and a copy of its payload, on the thread that
            records; any true result keeps the item. By default everything except the events that only a user
            interface needs, and only while the agent runs.
        default: Called with a value whose type has no JSON form; returns one that has, like the argument of
            `json.dumps`. By default such a value is refused.
        started_at: Time of the session's beginning, for an importer; by default now. No line gets an earlier time.
        history_mode: "legacy", which every Codex continues; or "paginated", of which Codex 0.169.0 shows each tool
            call as its own, and which Codex up to 0.128 damages when it continues it.
        fsync: Whether to sync the file after every batch: flushed items survive a power cut.
        queue_size: Maximum number of calls of `record` that wait to be written.
        max_waiting_size: Maximum number of bytes of memory for these calls and for the lines that a full disk refuses;
            by default 64 MiB. A single call may take more while nothing else waits.
        on_full: What `record` does at these limits: "block" or "raise".

    Raises:
        OSError: The file or its lock could not be created. Raised unchanged, so the caller may continue unrecorded.
        SessionBusyError: Another writer holds a session of this id.
        WriterStartError: The system has no more threads, or the program is ending; no file is left.
        ValueError, TypeError: *session_id* is not a UUID, *started_at* no time, or a mode or a limit is invalid.
    """

    _parent: Recorder | None = None

    def __init__(
        self,
        *,
        instructions: str | None = None,
        session_id: str | UUID | None = None,
        home: StrPath | None = None,
        cwd: StrPath | None = None,
        originator: str = "rollout",
        cli_version: str = __version__,
        source: str | None = None,
        model_provider: str | None = None,
        policy: Policy = default_policy,
        default: Default = None,
        started_at: Moment | None = None,
        history_mode: Literal["legacy", "paginated"] = "legacy",
        fsync: bool = False,
        queue_size: int = 256,
        max_waiting_size: int = MAX_WAITING_SIZE,
        on_full: Literal["block", "raise"] = "block",
    ) -> None:
        options = Options(fsync, queue_size, max_waiting_size, on_full)
        if history_mode not in ("legacy", "paginated"):
            raise ValueError(f"history_mode is 'legacy' or 'paginated', not {history_mode!r}")
        self._settings = Settings(
            home=home_folder(home).absolute(),
            cwd=os.path.abspath(cwd or "."),  # noqa: PTH100 -- Path.absolute keeps ".."
            originator=originator,
            cli_version=cli_version,
            model_provider=model_provider,
            policy=policy,
            default=default,
            history_mode=history_mode,
            options=options,
        )
        started_ms = 0 if started_at is None else milliseconds(started_at)
        own_id = new_session_id() if session_id is None else str(UUID(str(session_id)))
        self._create(own_id, started_ms, ROOT, instructions=instructions, source=source)

    def _create(self, own_id: str, started_ms: int, place: Place, **fields: Any) -> None:
        settings, now_ms = self._settings, started_ms or time.time_ns() // 1_000_000
        meta = session_meta(settings, own_id, now_ms, {**fields, **place.meta})
        first = partial(meta_line, meta, now_ms, os.getpid())
        with starting():
            missing = [made.parent for made in missing_folders(settings.home)]
            lock = SessionLock(settings.home, own_id)
            try:
                path, fd = create_session_file(settings.home, own_id, now_ms / 1000)
            except BaseException:
                lock.release()
                raise
            ordinal = 0 if settings.history_mode == "paginated" else None
            self._begin(path, fd, lock, missing, place, first=first, ordinal=ordinal, started_ms=started_ms)

    @classmethod
    def resume(  # noqa: D417 -- several are described as for a new session
        cls,
        path_or_id: StrPath,
        *,
        home: StrPath | None = None,
        cwd: StrPath | None = None,
        originator: str = "rollout",
        policy: Policy = default_policy,
        default: Default = None,
        fsync: bool = False,
        queue_size: int = 256,
        max_waiting_size: int = MAX_WAITING_SIZE,
        on_full: Literal["block", "raise"] = "block",
    ) -> Recorder:
        """
        Continue a session: append to its file, without a second session_meta.

        A torn last line gets a newline and is kept. A paginated session (Codex 0.148 and later) stays one.

        Args:
            path_or_id: Path of the file, or the session's id or the beginning of it.
            home: Folder in which an id is searched for; by default as for a new session.
            cwd, originator, policy, default, fsync, queue_size, max_waiting_size, on_full: As for a new session.

        Raises:
            SessionNotFoundError, AmbiguousSessionError: As `find_session`.
            OSError: The file cannot be opened. Raised unchanged.
            SessionBusyError: Another writer, ours or Codex, holds the session.
            MissingSessionMetaError, UnsupportedSessionError: No session_meta, or appending would damage the file.
            WriterStartError, ValueError: As for a new session.
        """
        options = Options(fsync, queue_size, max_waiting_size, on_full)
        folder = home_folder(home).absolute()
        recorder = cls.__new__(cls)
        with starting():
            path, fd, lock, ordinal = find_and_use(
                lambda: locate(path_or_id, home).absolute(), lambda path: (path, *open_for_append(path, folder))
            )
            recorder._settings = Settings(
                home=home_of(path) or folder,
                cwd=os.path.abspath(cwd or "."),  # noqa: PTH100 -- as above
                originator=originator,
                policy=policy,
                default=default,
                history_mode="legacy" if ordinal is None else "paginated",
                options=options,
            )
            recorder._begin(path, fd, lock, (), ROOT, ordinal=ordinal)
        return recorder

    def _begin(
        self,
        path: Path,
        fd: int,
        lock: SessionLock,
        missing: Sequence[Path],
        place: Place,
        *,
        first: Callable[[], Add] | None = None,
        ordinal: int | None = None,
        started_ms: int = 0,
        system: System = os,
    ) -> None:
        settings = self._settings
        self._session_id, self._place = lock.session_id, place
        self._preparer = Preparer(settings.policy, settings.default)
        companions = Companions(lock.session_id, settings.originator, settings.cwd, ordinal is not None)
        self._begin_methods(companions, TokenTotals(None if first else path))
        try:
            file = AppendFile(path, fd, lock, [*folders_up_to_home(path), *missing], system=system)
        except BaseException:
            os.close(fd)
            lock.release()
            raise
        self._writer = Writer(file, settings.options, first=first, ordinal=ordinal, started_ms=started_ms)
        self._finalizer = weakref.finalize(self, abandon, self._writer)
        self._finalizer.atexit = False

    @property
    def path(self) -> Path:
        """
        Path of the session's file, which exists from the beginning and is complete after `close`.

        If the file was archived or renamed, this is its new path, at the latest after the next `flush` or `close`.
        """
        return self._writer.path

    @property
    def session_id(self) -> str:
        """The session's UUID."""
        return self._session_id

    @property
    def closed(self) -> bool:
        """Whether the recorder accepts no more items."""
        return self._writer.is_closed

    @property
    def stats(self) -> RecorderStats:
        """Progress of the writer, and the numbers of items that the policy dropped."""
        return attrs.evolve(self._writer.stats, dropped=self._preparer.dropped)

    def __reduce__(self) -> Any:
        raise TypeError(f"{self!r} cannot be pickled; the other process must record into a session of its own")

    def __repr__(self) -> str:
        return f"<Recorder {self._session_id} {'closed' if self.closed else 'open'} {self.path}>"

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_()["text/html"]

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        from rollout.recording._display import recorder_bundle  # noqa: PLC0415 -- for notebooks

        return recorder_bundle(self.path, self._session_id, closed=self.closed, stats=self.stats)

    def record(self, *items: Any, timestamp: Moment | None = None) -> None:
        """
        Queue items to be written; block only while there is no space for them, and only if *on_full* is "block".

        Items are copied, and get the time of this call as timestamp. Items that the policy drops are not kept. If an
        interrupt (KeyboardInterrupt, SystemExit) ends this call, either all of its items are recorded or none.

        Args:
            items: Each is an object of `rollout.schema`, a dict in the form of the Responses API
                (``{"type": "message", ...}``), a whole item (``{"type": "event_msg", "payload": {...}}``), or an object
                whose ``model_dump``, as pydantic's, gives one of these.
            timestamp: Time of the items, for an importer; at least that of the line before. A datetime without a zone
                is local time; a number is Unix seconds; text is ISO 8601.

        Raises:
            EncodeError: An item has no JSON form, or its own code or the policy raised an exception, which is the
                cause. If there are several such items, the error is about the first. All others were recorded.
            RecorderFullError: There is no space, and *on_full* is "raise", this call interrupts another call of its
                thread that waits, or the waiting items cannot be written because memory is short.
            RecorderClosedError: The recorder is closed; nothing was recorded.
            WriteError: The writer died; nothing was recorded.
            UnsupportedSessionError, WriterStartError: A forked child cannot number the lines of a paginated session, or
                cannot start a thread; nothing was recorded.
            ValueError, TypeError: *timestamp* is no time; nothing was recorded.
        """
        refused: EncodeError | None = None
        time_ms = 0 if timestamp is None else milliseconds(timestamp)
        if len(items) == 1:
            # The usual call takes a shorter path: 0.2 us less.
            add = self._preparer.prepare(items[0])
        else:
            add, refused = self._preparer.prepare_all(items)
        if add is not None:
            add.time_ms = time_ms
            self._writer.add(add)
        elif self.closed:
            raise self._writer.closed_error
        if refused is not None:
            raise refused

    def _start_agent(self, place: Place, instructions: str | None) -> Recorder:
        agent = type(self).__new__(type(self))
        agent._settings, agent._parent = self._settings, self
        agent._create(new_session_id(), 0, place, instructions=instructions)
        return agent

    def flush(self, timeout: float | None = None, *, fsync: bool = False) -> None:
        """
        Wait until everything recorded so far, by any thread, is in the file.

        Blocks. After it returns, the lines survive a crash of this process; with *fsync* also a crash of the machine.

        Args:
            timeout: Seconds to wait. None waits without a limit.
            fsync: Whether to sync the file, and the folders that name it, to the disk.

        Raises:
            WriteError: An item that was recorded earlier is not in the file.
            FlushTimeoutError: The writer was still busy.
            RecorderClosedError: The recorder is closed.
            WriterStartError: As for `record`, or a fork other than `os.fork` created this process.
        """
        self._writer.flush(timeout, fsync=fsync)

    def close(self, timeout: float | None = None) -> None:
        """
        Write all waiting items, end the writer's thread, and unlock the session for other writers; blocks.

        After a `WriteError` the recorder refuses new items and keeps the waiting ones: free space on the disk and call
        `close` again.

        Args:
            timeout: Seconds to wait. None waits without a limit.

        Raises:
            WriteError: Some items are not in the file.
            FlushTimeoutError: The writer was still busy; it continues.
        """
        if not self.closed:
            self._end_implicit_turn()
        self._writer.close(timeout)
        self._finalizer.detach()
        parent, self._parent = self._parent, None
        if parent is not None and not parent.closed:
            parent.record(self._place.activity(parent._companions, self._session_id, "completed"))

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            self.close()
        except RolloutError as failure:
            if error is None:
                raise
            _log.error("while leaving the with block: %s", failure)  # the exception of the body is more important
