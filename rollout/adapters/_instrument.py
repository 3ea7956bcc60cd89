"""
`instrument`: recording what clients of OpenAI and Anthropic send and receive.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

from rollout.adapters._funnel import hooked
from rollout.adapters._hook import Hook, replace_method
from rollout.adapters._log import Log
from rollout.adapters._session import Redact
from rollout.home import StrPath
from rollout.recording import Policy, Recorder, keep_all

__all__ = ["Instrumentation", "instrument"]

# The SDKs whose clients are recorded without a target.
_CLIENTS = {"openai": ("OpenAI", "AsyncOpenAI"), "anthropic": ("Anthropic", "AsyncAnthropic")}


class Instrumentation(Hook):
    """
    The recording of clients, which `instrument` returns. A context manager: its end calls `undo`.
    """

    def __init__(self, log: Log) -> None:
        super().__init__(log)
        self._undo: list[Callable[[], None]] = []

    def undo(self) -> None:
        """
        Stop to record, and close the sessions; blocks until they are written. A second call does nothing.
        """
        self.close()

    def close(self) -> None:
        """
        Stop to record, as `undo` does.
        """
        self._log.is_ended = True
        undo, self._undo = self._undo, []
        for step in reversed(undo):
            step()
        super().close()

    def _hook(self, owner: Any) -> None:
        """
        Replace the method ``request`` of a client or of a class, until `undo`.
        """
        self._replace(owner, "request", hooked(owner.request, self._log))

    def _hook_copies(self, client: Any, replace: Callable[[Any, str, Any], None] = setattr) -> None:
        """
        Record also what copies of a client send, as ``client.with_options(timeout=1)`` returns. Copies stay as they are
        after `undo`, when their methods only pass on.
        """
        for name in ("copy", "with_options"):
            make = getattr(client, name, None)
            if make is not None:
                replace(client, name, self._copier(make))

    def _replace(self, owner: Any, name: str, ours: Any) -> None:
        """
        Replace a method until `undo`.
        """
        self._undo.append(replace_method(owner, name, ours))

    def _copier(self, make: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(make)
        def copy(*args: Any, **kwargs: Any) -> Any:
            made = make(*args, **kwargs)
            if not self._log.is_ended:
                made.request = hooked(made.request, self._log)
                self._hook_copies(made)
            return made

        return copy


def instrument(
    target: Any = None,
    *,
    home: StrPath | None = None,
    policy: Policy = keep_all,
    redact: Redact | None = None,
    on_session: Callable[[Recorder], object] | None = None,
) -> Instrumentation:
    """
    Record what clients of OpenAI and Anthropic send and receive, until `Instrumentation.undo`.

    Each conversation becomes a session; the rules are those of the guide "Recording SDKs". Recorded are Responses, Chat
    Completions and Messages, plain and streamed, of clients with and without asyncio: messages, reasoning, calls with
    their outputs, tokens, settings, definitions of tools, errors; never headers and keys. No error of recording reaches
    the program: see `Instrumentation.problems`. Only the beginning of a session waits for the disk.

    Args:
        target: A client, or a class of clients, also of another SDK with the same method ``request``. By default all
            clients of the packages openai and anthropic that are installed; they are imported.
        home: Home of the sessions; by default ``CODEX_HOME``, else ``~/.codex``.
        policy: Decides which items are kept; by default all.
        redact: Called with plain values before they are recorded; returns them without what must not be kept, as
            `rollout.secrets.Redaction().redact`.
        on_session: Called with the `Recorder` of each new session.

    Raises:
        TypeError: *target* has no method ``request``.
        ModuleNotFoundError: There is no target, and none of the packages is installed.
    """
    log = Log(home=home, policy=policy, redact=redact, on_session=on_session)
    own = Instrumentation(log)
    if target is None:
        for owner in _client_classes():
            own._hook(owner)
    elif not callable(getattr(target, "request", None)):
        raise TypeError(f"{target!r} is no client: it has no method `request`")
    else:
        own._hook(target)
        if not isinstance(target, type):
            own._hook_copies(target, own._replace)
    return own


def _client_classes() -> list[type]:
    """
    Return the classes that define the method ``request`` of all clients of the SDKs.
    """
    found: list[type] = []
    for name, clients in _CLIENTS.items():
        if importlib.util.find_spec(name) is not None:
            module = importlib.import_module(name)
            found += [_owner_of(getattr(module, client)) for client in clients]
    if not found:
        raise ModuleNotFoundError(f"there is no SDK to record: install {' or '.join(_CLIENTS)}, or give a client")
    return found


def _owner_of(client: type) -> type:
    return next(base for base in client.__mro__ if "request" in vars(base))
