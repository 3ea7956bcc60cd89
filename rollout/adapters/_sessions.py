"""
The sessions of a hook: begun, resumed, released and closed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from attrs import define, field

from rollout.adapters._opening import Opening
from rollout.adapters._session import Redact, SessionLog
from rollout.adapters._work import Work
from rollout.errors import RolloutError, SessionBusyError
from rollout.home import StrPath
from rollout.recording import Policy, Recorder

__all__ = ["ORIGINATOR", "RECORDERS_MAX", "Agent", "Sessions"]

RECORDERS_MAX = 32
"""Maximum number of sessions of one instrumentation that are open at once: each has a thread and an open file."""

ORIGINATOR = "rollout.instrument"
"""The program that is named in the meta of a session of a hook."""

Agent: TypeAlias = "tuple[Hashable | Recorder, str]"
"""What started a sub-agent, the run of a framework or the recorder of its session; and the name of the sub-agent."""

# Calls of record() that may wait for the disk; their bytes have a limit of their own. The writer of a new session may
# wait for git for 5 seconds before it takes the first call.
_QUEUE_SIZE = 10_000
# Seconds for which the end of the program waits for a recorder of the caller.
_END_TIMEOUT = 1.0
# Seconds for which a session that was just closed may stay locked.
_BUSY_TIMEOUT = 1.0


@define(eq=False)
class Sessions:
    """
    The sessions of one hook. Not safe for several threads at once.

    Args:
        work: Counts the errors.
        home: Home of the sessions.
        policy: Decides which items are kept.
        redact: Called with everything before it is recorded.
        on_session: Called with the recorder of each new session.
        recorder: Recorder for all requests; None if each conversation gets its own.

    Attributes:
        paths: Files of the sessions so far, by their ids.
        is_closed: Whether no session is opened any more.
    """

    work: Work
    home: StrPath | None
    policy: Policy
    redact: Redact | None
    on_session: Callable[[Recorder], object] | None
    recorder: Recorder | None
    paths: dict[str, Path] = field(factory=dict, init=False)
    is_closed: bool = field(default=False, init=False)
    # Open sessions, the one that was used last at the end.
    _open: dict[SessionLog, None] = field(factory=dict, init=False)
    # Sessions that were closed to open others, and of which lines may wait for the disk.
    _closing: dict[SessionLog, None] = field(factory=dict, init=False)
    _main: SessionLog | None = field(default=None, init=False)
    _opening: Opening = field(factory=Opening, init=False)
    # In the child after a fork: the parent's agents. Recorders that are dropped warn that they were not closed.
    _inherited: list[SessionLog] = field(factory=list, init=False)
    _is_child: bool = field(default=False, init=False)

    @property
    def _settings(self) -> dict[str, Any]:
        """
        Arguments of a recorder. A full disk must not stop the agent: what has no space is refused, and counted.
        """
        own = {"originator": ORIGINATOR, "default": str, "queue_size": _QUEUE_SIZE, "on_full": "raise"}
        return {"policy": self.policy, **own}

    @property
    def idle_main(self) -> SessionLog | None:
        """The session of the caller's recorder, if no turn is open in it."""
        return self._main if self._main is not None and self._main.is_idle else None

    def begin_agent(self, starter: Recorder, name: str) -> SessionLog:
        """
        Return the new session of a sub-agent.
        """
        return self._begin(self._opening.open(partial(starter.agent, name)), is_agent=True)

    def begin(self) -> SessionLog:
        """
        Return a new session; that of the caller's recorder, if there is one and it has no session yet.
        """
        if len(self._closing) > RECORDERS_MAX:
            self._closing = {own: None for own in self._closing if _is_waiting(own.recorder)}
            if len(self._closing) > RECORDERS_MAX:
                raise RuntimeError(f"{len(self._closing)} sessions already wait for the disk")
        if self.recorder is None:
            return self._begin(self._opening.open(partial(Recorder, home=self.home, **self._settings)))
        if self._main is None and not self._is_child:
            self._main = SessionLog(self.recorder, self.redact)
            return self._main
        # A request within a turn of the main session, or of a child process: another agent.
        return self._begin(self._opening.open(partial(self.recorder.agent, f"agent {len(self.paths) + 1}")))

    def _begin(self, recorder: Recorder, *, is_agent: bool = False) -> SessionLog:
        session = SessionLog(recorder, self.redact, is_agent)
        self.paths[recorder.session_id] = recorder.path
        self._open[session] = None
        if self.on_session is not None:
            try:
                self.on_session(recorder)
            except Exception as error:  # noqa: BLE001 -- the session is recorded all the same
                self.work.report("the beginning of a session", error)
        return session

    def use(self, session: SessionLog) -> None:
        """
        Make sure that a session is open, and close the one that was used least recently if too many are.

        Raises:
            RolloutError, OSError, RuntimeError: The session cannot be opened again.
        """
        if not session.is_own:
            raise RuntimeError("a function of the caller has forked this process while it recorded")
        if session is self._main or self.is_closed:
            return
        if session.recorder.closed:
            session.recorder = self._opening.open(partial(self._resume, session.recorder))
            self._closing.pop(session, None)
        self._open.pop(session, None)
        self._open[session] = None
        if len(self._open) > RECORDERS_MAX:
            self._release(next((own for own in self._open if own.is_idle), next(iter(self._open))))

    def _release(self, session: SessionLog) -> None:
        """
        Close a session that may be used again; its writer ends when everything is in the file.
        """
        del self._open[session]
        self._closing[session] = None
        # What waits for the disk is not lost: `close` counts what still waits then.
        with suppress(RolloutError):
            session.close(timeout=0)

    def _resume(self, recorder: Recorder) -> Recorder:
        recorder.close()
        deadline = time.monotonic() + _BUSY_TIMEOUT
        while True:
            try:
                return Recorder.resume(recorder.path, **self._settings)
            except SessionBusyError:
                # A process that another thread is starting, as git, has the descriptor of the lock for a moment.
                if time.monotonic() > deadline:
                    raise
                time.sleep(_BUSY_TIMEOUT / 100)

    def end(self, session: SessionLog, error: BaseException | None) -> None:
        """
        End the turn of a session, and close that of a sub-agent.
        """
        self.use(session)
        session.end_turn(error)
        if session.is_agent:
            # The session that started the agent notes its end now, and not when recording ends.
            self._open.pop(session, None)
            session.close()

    def to_flush(self) -> list[Callable[[], None]]:
        """
        Return the functions that wait until everything is in the files.
        """
        flushes = [session.recorder.flush for session in self.all_open]
        return [*flushes, *(session.recorder.close for session in self._closing)]

    @property
    def all_open(self) -> list[SessionLog]:
        """All open sessions, that of the caller's recorder at the end."""
        return [*self._open, *([self._main] if self._main else [])]

    def close(self) -> list[Callable[[], None]]:
        """
        Note that no session is opened any more, and return the functions that end and close all.
        """
        self.is_closed = True
        sessions, self._open = [*self._closing, *self._open], {}
        ends = [self._main.end_turn] if self._main is not None else []
        return [*ends, *(session.close for session in sessions)]

    def settle(self, session: SessionLog, error: BaseException | None) -> None:
        """
        End the turn of a session at the end of the program.
        """
        if session.recorder.closed:
            return
        if self.recorder is not None and not session.is_idle:
            # The caller's recorder may wait for a full disk without a limit.
            session.recorder.flush(_END_TIMEOUT)
        session.end_turn(error)

    def reset_after_fork(self) -> None:
        """
        Begin anew, in the child after a fork: the parent goes on with its sessions and turns.
        """
        for session in self._open:
            if self.recorder is None and not session.is_agent:
                # Releases only the child's copy of the lock. The end of an agent would be recorded for its parent.
                session.recorder.close()
            else:
                self._inherited.append(session)
        self.paths, self._open, self._closing = {}, {}, {}
        self._main, self._is_child = None, True


def _is_waiting(recorder: Recorder) -> bool:
    stats = recorder.stats
    return bool(stats.queued or stats.pending)
