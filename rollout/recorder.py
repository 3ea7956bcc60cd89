"""
Recorder: what callers hold. Opens a session's file and hands plain items to the writer; never writes to it itself.
"""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from uuid import UUID, uuid4

from rollout import layout, schema
from rollout._commands import MAX_WAITING_SIZE, Add, Options, Stats
from rollout._display import Displayed
from rollout._file import AppendFile
from rollout._foreign import has_kind
from rollout._git import collect_git_info
from rollout._intake import take, take_all
from rollout._live import abandon, starting
from rollout._lock import SessionLock
from rollout._plain import snapshot
from rollout._resume import open_for_append
from rollout._version import __version__
from rollout._writer import Writer
from rollout.codec import encode_json, format_timestamp
from rollout.errors import EncodeError, RolloutError
from rollout.finding import locate, use_found
from rollout.layout import StrPath
from rollout.policy import Policy, seed_policy

__all__ = ["Recorder"]

_log = logging.getLogger("rollout")


class Recorder(Displayed):
    """
    Records a new session; `Recorder.resume` goes on with one.

    The file is created at once; its first line, the session_meta, is written by the writer's thread, which
    asks git about *cwd* for up to 5 seconds before. May be used from any thread. Use it as a context manager, or
    call `close`; a recorder still open when the program ends is closed then, within 10 seconds.

    Args:
        instructions: The system prompt or the user's standing orders, for the meta.
        session_id: Any UUID; by default a new one of version 7.
        home: The folder that holds ``sessions``; by default ``CODEX_HOME``, else ``~/.codex``.
        cwd: The folder the agent works in; by default the current one.
        originator: The program that records.
        cli_version: Its version; by default this package's.
        source: Where the session comes from: cli, vscode, exec, mcp. Codex lists a session without one as vscode's,
            and leaves out those of exec.
        model_provider: The model's service.
        policy: Decides which items are kept: called with a line's type and a copy of its payload, on the thread that
            records; any true result keeps the item. By default what Codex of September 2025 keeps.
        fsync: Sync the file after every batch: what is flushed survives a power cut.
        queue_size: How many calls of `record` may wait to be written.
        max_waiting_size: Bytes of memory that they may take, and with them the lines that a full disk refuses; by
            default 64 MiB. A single call may take more while nothing else waits.
        on_full: What `record` does beyond that: "block" or "raise".

    Raises:
        OSError: The file or its lock could not be created; as it came, so that the caller may go on unrecorded.
        SessionBusyError: Another writer holds a session of this id.
        WriterStartError: The system has no more threads, or the program is ending; no file is left.
        ValueError: *session_id* is not a UUID, or one of the last three is none it can be.
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
        policy: Policy = seed_policy,
        fsync: bool = False,
        queue_size: int = 256,
        max_waiting_size: int = MAX_WAITING_SIZE,
        on_full: Literal["block", "raise"] = "block",
    ) -> None:
        options = Options(fsync, queue_size, max_waiting_size, on_full)
        now_ms = time.time_ns() // 1_000_000
        folder = layout.home_folder(home).absolute()
        own_id = layout.new_session_id() if session_id is None else str(UUID(str(session_id)))
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
        first = partial(_meta_line, snapshot(meta), now_ms, os.getpid())
        with starting():
            missing = [made.parent for made in layout.missing_folders(folder)]
            lock = SessionLock(folder, own_id)
            try:
                path, fd = layout.create_session_file(folder, own_id, now_ms / 1000)
            except BaseException:
                lock.release()
                raise
            self._begin(path, fd, lock, policy, missing, options, first=first)

    @classmethod
    def resume(  # noqa: D417 -- the others are those of a new session
        cls,
        path_or_id: StrPath,
        *,
        home: StrPath | None = None,
        cwd: StrPath | None = None,
        policy: Policy = seed_policy,
        fsync: bool = False,
        queue_size: int = 256,
        max_waiting_size: int = MAX_WAITING_SIZE,
        on_full: Literal["block", "raise"] = "block",
    ) -> Recorder:
        """
        Go on with a session: append to its file, writing no second session_meta.

        A torn last line is closed off and kept. In a paginated session (Codex 0.148 and later) the numbering of
        lines goes on where it stopped.

        Args:
            path_or_id: The file, or the session's id or the beginning of it.
            home: Where to look for an id.
            cwd, policy, fsync, queue_size, max_waiting_size, on_full: As for a new session.

        Raises:
            SessionNotFoundError, AmbiguousSessionError: As `find_session`.
            OSError: The file cannot be opened; as it came.
            SessionBusyError: Another writer, ours or Codex, holds the session.
            MissingSessionMetaError, UnsupportedSessionError: It has no session_meta, or appending would damage it.
            WriterStartError, ValueError: As for a new session.
        """
        options = Options(fsync, queue_size, max_waiting_size, on_full)
        folder = layout.home_folder(home).absolute()
        recorder = cls.__new__(cls)
        recorder._cwd = os.path.abspath(cwd or ".")  # noqa: PTH100 -- as above
        with starting():
            path, fd, lock, ordinal = use_found(
                lambda: locate(path_or_id, home).absolute(), lambda path: (path, *open_for_append(path, folder))
            )
            recorder._begin(path, fd, lock, policy, (), options, ordinal=ordinal)
        return recorder

    def _begin(
        self, path: Path, fd: int, lock: SessionLock, policy: Policy, missing: Sequence[Path], *args: Any, **kwargs: Any
    ) -> None:
        self._session_id = lock.session_id
        self._policy = policy
        try:
            file = AppendFile(path, fd, lock, [*layout.folders_naming(path), *missing])
        except BaseException:
            os.close(fd)
            lock.release()
            raise
        self._writer = Writer(file, *args, **kwargs)
        self._forgotten = weakref.finalize(self, abandon, self._writer)
        self._forgotten.atexit = False

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
        """Nothing more is recorded."""
        return self._writer.is_closed

    @property
    def stats(self) -> Stats:
        """How far the writer is."""
        return self._writer.stats

    def __reduce__(self) -> Any:
        raise TypeError(f"{self!r} cannot be pickled; let the other process record into a session of its own")

    def __repr__(self) -> str:
        return f"<Recorder {self._session_id} {'closed' if self.closed else 'open'} {self.path}>"

    def _shown(self) -> dict[str, str]:
        from rollout._notebook import recorder_bundle  # noqa: PLC0415 -- for notebooks

        return recorder_bundle(self.path, self._session_id, closed=self.closed, stats=self.stats)

    def record(self, *items: Any) -> None:
        """
        Queue items to be written; blocks only while there is no space for what waits, if *on_full* says so.

        Items are copied, and get the time of this call as timestamp. Items that the policy drops are not kept. If an
        interrupt (KeyboardInterrupt, SystemExit) ends this call, either all of its items are recorded or none.

        Args:
            items: Each an object of `rollout.schema`, a dict in the form of the Responses API
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
            # The usual call, without what several need: 0.2 us less.
            add = take(items[0], self._policy)
        else:
            add, refused = take_all(items, self._policy)
        if add is not None:
            self._writer.add(add)
        elif self.closed:
            raise self._writer.refusal
        if refused is not None:
            raise refused

    def user_message(self, text: str) -> None:
        """Record what the user said: the response item, and the event by which Codex lists the session."""
        self.record(
            schema.Message(role="user", content=(schema.InputText(text=text),)),
            schema.UserMessage(message=text, kind="plain"),
        )

    def agent_message(self, text: str) -> None:
        """Record what the agent said: the event and the response item."""
        self.record(
            schema.AgentMessage(message=text),
            schema.Message(role="assistant", content=(schema.OutputText(text=text),)),
        )

    def reasoning(self, text: str) -> None:
        """Record a summary of what the model thought: the event and the response item."""
        self.record(schema.AgentReasoning(text=text), schema.Reasoning(summary=(schema.SummaryText(text=text),)))

    def tool_call(self, name: str, arguments: Any, call_id: str | None = None) -> str:
        """
        Record that the model calls a tool.

        Args:
            name: The tool.
            arguments: A string is taken to be JSON already; anything else is encoded.
            call_id: Ties the output to the call; by default a new one.

        Returns:
            The call's id, for `tool_output`.
        """
        call_id = call_id or f"call_{uuid4().hex}"
        self.record(schema.FunctionCall(name=name, arguments=_text(arguments), call_id=call_id))
        return call_id

    def tool_output(self, call_id: str, output: Any) -> None:
        """Record what the tool answered; what is no string is encoded as JSON, as Codex of 2025 reads only strings."""
        self.record(schema.FunctionCallOutput(call_id=call_id, output=_text(output)))

    def turn_context(self, **fields: Any) -> None:
        """
        Record the settings of the turn that begins.

        Args:
            fields: Those of `schema.TurnContext`. By default *cwd* is the recorder's, *model* "unknown",
                *approval_policy* "never", *summary* "auto", and *sandbox_policy* full access, which is what a plain
                script has; it is written with both of its tags, so that every Codex reads it.
        """
        policy = schema.SandboxPolicy(mode="danger-full-access", type="danger-full-access")
        fields = {"cwd": self._cwd, "approval_policy": "never", "sandbox_policy": policy, **fields}
        self.record(schema.TurnContext(**{"model": "unknown", "summary": "auto", **fields}))

    def flush(self, timeout: float | None = None, *, fsync: bool = False) -> None:
        """
        Wait until everything recorded so far, by any thread, is in the file.

        Blocks. After it returns, the lines survive a crash of this process; with *fsync* also a crash of the machine.

        Args:
            timeout: Seconds to wait. None waits for ever.
            fsync: Sync the file, and the folders that name it, to the disk.

        Raises:
            WriteError: Something recorded earlier is not in the file.
            FlushTimeoutError: The writer was still busy.
            RecorderClosedError: The recorder is closed.
            WriterStartError: As for `record`, or a fork other than `os.fork` created this process.
        """
        self._writer.flush(timeout, fsync=fsync)

    def close(self, timeout: float | None = None) -> None:
        """
        Write what waits, end the writer's thread, and let other writers have the session; blocks.

        After a `WriteError` nothing more is recorded, but what waits is still there: make room and call it again.

        Args:
            timeout: Seconds to wait. None waits for ever.

        Raises:
            WriteError: Not everything is in the file.
            FlushTimeoutError: The writer was still busy; it goes on.
        """
        self._writer.close(timeout)
        self._forgotten.detach()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            self.close()
        except RolloutError as failure:
            if error is None:
                raise
            # The body's exception is the news; this one must not take its place.
            _log.error("while leaving the with block: %s", failure)


def _meta_line(meta: dict[str, Any], time_ms: int, pid: int) -> Add:
    # On the writer's thread: git may take 5 seconds. Not in a forked child, which may have subprocess half imported.
    git = collect_git_info(meta["cwd"]) if os.getpid() == pid else None
    return Add("session_meta", meta if git is None else {**meta, "git": snapshot(git)}, time_ms=time_ms)


def _text(value: Any) -> str:
    return value if has_kind(value, str) else encode_json(snapshot(value))
