"""
The parts that all hooks have: their sessions, their problems, and the calls of models and tools of a framework.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from rollout.adapters._exchange import Asked
from rollout.adapters._log import Log
from rollout.adapters._session import Redact
from rollout.adapters._sessions import Agent
from rollout.dialects import Reply, Request
from rollout.home import StrPath
from rollout.recording import Policy, Recorder, keep_all

__all__ = ["FrameworkHook", "Hook", "replace_method"]

_Own = TypeVar("_Own", bound="Hook")


class Hook:
    """
    A hook into a program: its sessions and its problems. A context manager: its end calls `close`.
    """

    def __init__(self, log: Log) -> None:
        self._log = log

    @property
    def sessions(self) -> Mapping[str, Path]:
        """The files of the sessions so far, by their ids; the first one first."""
        return dict(self._log.sessions.paths)

    @property
    def problems(self) -> Mapping[str, int]:
        """The faults of recording, and how often each came; empty if everything was recorded."""
        return dict(self._log.work.problems)

    def close(self) -> None:
        """
        Stop to record, end all turns, and close the sessions, but not a recorder that the caller gave; blocks until
        they are written. A second call does nothing.
        """
        self._log.close()

    def __enter__(self: _Own) -> _Own:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        problems = sum(self._log.work.problems.values())
        return f"<{type(self).__name__}: {len(self._log.sessions.paths)} sessions, {problems} problems>"


class FrameworkHook(Hook):
    """
    Base of the hooks into frameworks, which show requests and answers in forms of their own.

    A method with an underscore is for the hooks. None of them raises an error of recording.

    Args:
        recorder: Recorder of all requests, which the caller closes after this hook; sub-agents get sessions of their
            own. By default each conversation gets a session.
        home: Home of the sessions; by default ``CODEX_HOME``, else ``~/.codex``.
        policy: Decides which items are kept; by default all.
        redact: Called with plain values before they are recorded; returns them without what must not be kept, as
            `rollout.secrets.Redaction().redact`.
        on_session: Called with the `Recorder` of each new session.
    """

    def __init__(
        self,
        recorder: Recorder | None = None,
        *,
        home: StrPath | None = None,
        policy: Policy = keep_all,
        redact: Redact | None = None,
        on_session: Callable[[Recorder], object] | None = None,
    ) -> None:
        super().__init__(Log(home=home, policy=policy, redact=redact, on_session=on_session, recorder=recorder))
        self._exchanges: dict[Hashable, Asked] = {}

    def _asked(self, key: Hashable, request: Request, run: Hashable = None, agent: Agent | None = None) -> None:
        """
        Record a request. Hooks that are called until the answer, in the same context, do not record it again.

        Args:
            key: The framework's id of the request, for the answer.
            request: The request.
            run: The run of the framework to which the request belongs.
            agent: For a run of a sub-agent: what started it, and its name.
        """
        exchange = self._log.asked(request, run, agent)
        if exchange is not None:
            self._exchanges[key] = exchange
            exchange.mark()

    def _answered(self, key: Hashable, reply: Reply, *, is_whole: bool = True) -> None:
        """
        Record the answer of a request, or as much of a stream as came. Of an unknown request, nothing is recorded.
        """
        exchange = self._exchanges.pop(key, None)
        if exchange is not None:
            exchange.answered(reply, is_whole=is_whole)

    def _failed(self, key: Hashable, error: BaseException) -> None:
        """
        Record that a request had no answer.
        """
        exchange = self._exchanges.pop(key, None)
        if exchange is not None:
            exchange.failed(error)

    @contextmanager
    def _guard(self, what: str) -> Iterator[None]:
        """
        Report an error in the with statement as a problem of recording, and go on after it.

        Args:
            what: What could not be recorded: "a request", "an answer".
        """
        with self._log.work.guard(what):
            yield


def replace_method(owner: Any, name: str, ours: Any) -> Callable[[], None]:
    """
    Replace a method of an object or a class, and return a function that undoes it.
    """
    before, is_own = getattr(owner, name), name in vars(owner)
    setattr(owner, name, ours)

    def undo() -> None:
        # Another program may have replaced the method after this one: then this one stays, and only passes on.
        if vars(owner).get(name) is ours:
            if is_own:
                setattr(owner, name, before)
            else:
                delattr(owner, name)

    return undo
