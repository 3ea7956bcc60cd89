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
from uuid import UUID, uuid4

from rollout import schema
from rollout._version import __version__
from rollout.codec import format_timestamp
from rollout.errors import EncodeError, RolloutError
from rollout.home import (
    SessionLock,
    StrPath,
    create_session_file,
    find_and_use,
    folders_up_to_home,
    home_folder,
    locate,
    missing_folders,
    new_session_id,
)
from rollout.recording._append_file import AppendFile
from rollout.recording._commands import MAX_WAITING_SIZE, Add, Options, RecorderStats
from rollout.recording._lifecycle import abandon, starting
from rollout.recording._open_rollout import System
from rollout.recording._policy import Policy, codex_2025_policy
from rollout.recording._prepare import meta_line, prepare_item, prepare_items, text_of
from rollout.recording._resume import open_for_append
from rollout.recording._writer import Writer
from rollout.schema import snapshot

__all__ = ["Recorder"]

_log = logging.getLogger("rollout")


class Recorder:
    """
    Recorder of a new session; `Recorder.resume` continues an existing one.

    The file is created at once. Its first line, the session_meta, is written by the writer's thread, which
    asks git about *cwd* for up to 5 seconds before. May be used from any thread. Use it as a context manager, or
    call `close`; a recorder still open when the program ends is closed then, within 10 seconds.

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
            records; any true result keeps the item. By default the items that Codex of September 2025 keeps.
        fsync: Whether to sync the file after every batch: flushed items survive a power cut.
        queue_size: Maximum number of calls of `record` that wait to be written.
        max_waiting_size: Maximum number of bytes of memory for these calls and for the lines that a full disk refuses;
            by default 64 MiB. A single call may take more while nothing else waits.
        on_full: What `record` does at these limits: "block" or "raise".

    Raises:
        OSError: The file or its lock could not be created. Raised unchanged, so the caller may continue unrecorded.
        SessionBusyError: Another writer holds a session of this id.
        WriterStartError: The system has no more threads, or the program is ending; no file is left.
        ValueError: *session_id* is not a UUID, or *queue_size*, *max_waiting_size* or *on_full* is invalid.
    """

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
        policy: Policy = codex_2025_policy,
        fsync: bool = False,
        queue_size: int = 256,
        max_waiting_size: int = MAX_WAITING_SIZE,
        on_full: Literal["block", "raise"] = "block",
    ) -> None:
        options = Options(fsync, queue_size, max_waiting_size, on_full)
        now_ms = time.time_ns() // 1_000_000
        folder = home_folder(home).absolute()
        own_id = new_session_id() if session_id is None else str(UUID(str(session_id)))
        self._cwd = os.path.abspath(cwd or ".")  # noqa: PTH100 -- Path.absolute keeps ".."
        meta = schema.SessionMeta(
            id=own_id,
            timestamp=format_timestamp(now_ms),
            cwd=self._cwd,
            originator=originator,
            cli_version=cli_version,
            instructions=instructions,
            source=source,
            model_provider=model_provider,
        )
        first = partial(meta_line, snapshot(meta), now_ms, os.getpid())
        with starting():
            missing = [made.parent for made in missing_folders(folder)]
            lock = SessionLock(folder, own_id)
            try:
                path, fd = create_session_file(folder, own_id, now_ms / 1000)
            except BaseException:
                lock.release()
                raise
            self._begin(path, fd, lock, policy, missing, options, first=first)

    @classmethod
    def resume(  # noqa: D417 -- several are described as for a new session
        cls,
        path_or_id: StrPath,
        *,
        home: StrPath | None = None,
        cwd: StrPath | None = None,
        policy: Policy = codex_2025_policy,
        fsync: bool = False,
        queue_size: int = 256,
        max_waiting_size: int = MAX_WAITING_SIZE,
        on_full: Literal["block", "raise"] = "block",
    ) -> Recorder:
        """
        Continue a session: append to its file, without a second session_meta.

        A torn last line gets a newline and is kept. In a paginated session (Codex 0.148 and later) the numbers of the
        lines continue.

        Args:
            path_or_id: Path of the file, or the session's id or the beginning of it.
            home: Folder in which an id is searched for; by default as for a new session.
            cwd, policy, fsync, queue_size, max_waiting_size, on_full: As for a new session.

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
        recorder._cwd = os.path.abspath(cwd or ".")  # noqa: PTH100 -- as above
        with starting():
            path, fd, lock, ordinal = find_and_use(
                lambda: locate(path_or_id, home).absolute(), lambda path: (path, *open_for_append(path, folder))
            )
            recorder._begin(path, fd, lock, policy, (), options, ordinal=ordinal)
        return recorder

    def _begin(
        self,
        path: Path,
        fd: int,
        lock: SessionLock,
        policy: Policy,
        missing: Sequence[Path],
        options: Options,
        *,
        first: Callable[[], Add] | None = None,
        ordinal: int | None = None,
        system: System = os,
    ) -> None:
        self._session_id = lock.session_id
        self._policy = policy
        try:
            file = AppendFile(path, fd, lock, [*folders_up_to_home(path), *missing], system=system)
        except BaseException:
            os.close(fd)
            lock.release()
            raise
        self._writer = Writer(file, options, first=first, ordinal=ordinal)
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
        """Progress of the writer."""
        return self._writer.stats

    def __reduce__(self) -> Any:
        raise TypeError(f"{self!r} cannot be pickled; the other process must record into a session of its own")

    def __repr__(self) -> str:
        return f"<Recorder {self._session_id} {'closed' if self.closed else 'open'} {self.path}>"

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_()["text/html"]

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        from rollout.recording._display import recorder_bundle  # noqa: PLC0415 -- for notebooks

        return recorder_bundle(self.path, self._session_id, closed=self.closed, stats=self.stats)

    def record(self, *items: Any) -> None:
        """
        Queue items to be written; block only while there is no space for them, and only if *on_full* is "block".

        Items are copied, and get the time of this call as timestamp. Items that the policy drops are not kept. If an
        interrupt (KeyboardInterrupt, SystemExit) ends this call, either all of its items are recorded or none.

        Args:
            items: Each is an object of `rollout.schema`, a dict in the form of the Responses API
                (``{"type": "message", ...}``), a whole item (``{"type": "event_msg", "payload": {...}}``), or an object
                whose ``model_dump``, as pydantic's, gives one of these.

        Raises:
            EncodeError: An item has no JSON form, or its own code or the policy raised an exception, which is the
                cause. If there are several such items, the error is about the first. All others were recorded.
            RecorderFullError: There is no space, and *on_full* is "raise", this call interrupts another call of its
                thread that waits, or the waiting items cannot be written because memory is short.
            RecorderClosedError: The recorder is closed; nothing was recorded.
            WriteError: The writer died; nothing was recorded.
            UnsupportedSessionError, WriterStartError: A forked child cannot number the lines of a paginated session, or
                cannot start a thread; nothing was recorded.
        """
        refused: EncodeError | None = None
        if len(items) == 1:
            # The usual call takes a shorter path: 0.2 us less.
            add = prepare_item(items[0], self._policy)
        else:
            add, refused = prepare_items(items, self._policy)
        if add is not None:
            self._writer.add(add)
        elif self.closed:
            raise self._writer.closed_error
        if refused is not None:
            raise refused

    def user_message(self, text: str) -> None:
        """Record a message of the user: the response item, and the event by which Codex lists the session."""
        self.record(
            schema.Message(role="user", content=(schema.InputText(text=text),)),
            schema.UserMessage(message=text, kind="plain"),
        )

    def agent_message(self, text: str) -> None:
        """Record a message of the agent: the event and the response item."""
        self.record(
            schema.AgentMessage(message=text),
            schema.Message(role="assistant", content=(schema.OutputText(text=text),)),
        )

    def reasoning(self, text: str) -> None:
        """Record a summary of the model's reasoning: the event and the response item."""
        self.record(schema.AgentReasoning(text=text), schema.Reasoning(summary=(schema.SummaryText(text=text),)))

    def tool_call(self, name: str, arguments: Any, call_id: str | None = None) -> str:
        """
        Record a call of a tool by the model.

        Args:
            name: Name of the tool.
            arguments: JSON text as a string, or any other value, which is encoded.
            call_id: Id that connects the output to the call; by default a new one.

        Returns:
            The id of the call, for `tool_output`.
        """
        call_id = call_id or f"call_{uuid4().hex}"
        self.record(schema.FunctionCall(name=name, arguments=text_of(arguments), call_id=call_id))
        return call_id

    def tool_output(self, call_id: str, output: Any) -> None:
        """Record the output of a tool; values other than strings as JSON text, as Codex of 2025 reads only strings."""
        self.record(schema.FunctionCallOutput(call_id=call_id, output=text_of(output)))

    def turn_context(self, **fields: Any) -> None:
        """
        Record the settings of the turn that begins.

        Args:
            fields: Fields of `schema.TurnContext`. By default *cwd* is the recorder's, *model* "unknown",
                *approval_policy* "never", *summary* "auto", and *sandbox_policy* full access, as a plain script has
                it. The sandbox policy is written with both of its tags, so that every Codex reads it.
        """
        policy = schema.SandboxPolicy(mode="danger-full-access", type="danger-full-access")
        fields = {"cwd": self._cwd, "approval_policy": "never", "sandbox_policy": policy, **fields}
        self.record(schema.TurnContext(**{"model": "unknown", "summary": "auto", **fields}))

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
        self._writer.close(timeout)
        self._finalizer.detach()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            self.close()
        except RolloutError as failure:
            if error is None:
                raise
            # The exception of the body is more important, and must not be replaced by this one.
            _log.error("while leaving the with block: %s", failure)
