"""
`watch`: recording what a client of httpx or httpx2 sends to model APIs, and what it receives, by its event hooks.

Event hooks see a request before it is sent, and its response before it is read, but no error of the connection. These
are seen by the extension ``trace`` of the request, which the transports of httpx call. What even that does not show, as
an error of another transport, is noticed when the program drops the request.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

from rollout.adapters._exchange import Exchange
from rollout.adapters._hook import Hook
from rollout.adapters._log import Log
from rollout.adapters._marks import is_recorded
from rollout.adapters._responses import watch_response
from rollout.adapters._session import Redact
from rollout.codec import decode_json
from rollout.dialects import dialect_for
from rollout.home import StrPath
from rollout.recording import Policy, Recorder, keep_all

__all__ = ["HttpHook", "watch"]

_Change = Callable[[list[Any]], list[Any]]


class HttpHook(Hook):
    """
    The recording of one HTTP client, which `watch` returns. A context manager: its end calls `close`.
    """

    def __init__(self, client: Any, log: Log) -> None:
        super().__init__(log)
        self._client = client
        # Both functions of one client are coroutines, or none is.
        self._is_async = hasattr(client, "aclose")
        # A key of its own, as a client may have several hooks.
        self._key = f"rollout.{id(self):x}"
        self._on_request = _as_coroutine(self._note_request) if self._is_async else self._note_request
        self._on_response = _as_coroutine(self._note_response) if self._is_async else self._note_response
        # Other hooks may change a request, or raise an error for a response: this one is the last, then the first.
        self._set_hooks(lambda hooks: [*hooks, self._on_request], lambda hooks: [self._on_response, *hooks])

    def close(self) -> None:
        """
        Remove the event hooks of this object, end all turns, and close the sessions, but not a recorder that the caller
        gave; blocks until they are written. A second call does nothing. Other event hooks and the client stay as they
        are; a response that is open is recorded as far as it was read.
        """
        self._log.is_ended = True
        self._set_hooks(
            lambda hooks: [hook for hook in hooks if hook != self._on_request],
            lambda hooks: [hook for hook in hooks if hook != self._on_response],
        )
        super().close()

    def _set_hooks(self, change_request: _Change, change_response: _Change) -> None:
        """
        Set the event hooks of the client: new lists, because another thread may be calling the functions in the old.
        """
        hooks = self._client.event_hooks
        self._client.event_hooks = {
            **hooks,
            "request": change_request(hooks.get("request", [])),
            "response": change_response(hooks.get("response", [])),
        }

    def _note_request(self, request: Any) -> None:
        """
        Record a request that will be sent, if it is one to a model and no other hook records it.
        """
        with self._log.work.guard("a request"):
            if self._log.is_ended or is_recorded() or request.method != "POST":
                return
            sent = request.extensions.get(self._key)
            if sent is None:
                self._begin(request, _Sent())
            elif not sent.is_waiting:
                # The same object is sent again, for example with the password that the first response demanded.
                self._begin(request, sent)

    def _note_response(self, response: Any) -> None:
        """
        Record a response when it is read. After a redirect the request waits for the next response.
        """
        with self._log.work.guard("an answer"):
            request = response.request
            sent = request.extensions.get(self._key)
            if sent is None or self._log.is_ended or response.has_redirect_location:
                return
            if not sent.is_waiting:
                # The transport has connected again after an error.
                self._begin(request, sent)
            exchange = sent.take()
            if exchange is not None:
                watch_response(exchange, response)

    def _begin(self, request: Any, sent: _Sent) -> None:
        dialect = dialect_for(request.url.path)
        exchange = self._log.sent(dialect, decode_json(request.content)) if dialect is not None else None
        if exchange is None:
            return
        sent.begin(exchange)
        if self._key not in request.extensions:
            trace = _tracer(sent, request.extensions.get("trace"), is_async=self._is_async)
            # A new dict, as this one may be the caller's.
            request.extensions = {**request.extensions, self._key: sent, "trace": trace}


class _Sent:
    """
    A request that waits for its response. Only the extensions of the request refer to it, and those of the requests
    after a redirect, which httpx copies: it is dropped with the last of them.
    """

    def __init__(self) -> None:
        self._exchange: Exchange | None = None
        self._at_drop: Any = None

    @property
    def is_waiting(self) -> bool:
        return self._exchange is not None

    def begin(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._at_drop = weakref.finalize(self, exchange.failed, RuntimeError("the request ended without a response"))
        self._at_drop.atexit = False

    def take(self) -> Exchange | None:
        """
        Return the request that waits, once; None if none does.
        """
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._at_drop.detach()
        return exchange

    def note(self, name: str, info: Mapping[str, Any]) -> None:
        """
        Record the error in a step of the transport, if it is one: "http11.receive_response_headers.failed".
        """
        if name.endswith(".failed"):
            exchange = self.take()
            if exchange is not None:
                exchange.failed(info["exception"])


def _tracer(sent: _Sent, other: Any, *, is_async: bool) -> Callable[..., Any]:
    """
    Return the function for the extension ``trace``, which calls the caller's function, too.
    """
    if is_async:

        async def trace_async(name: str, info: Mapping[str, Any]) -> None:
            sent.note(name, info)
            if other is not None:
                await other(name, info)

        return trace_async

    def trace(name: str, info: Mapping[str, Any]) -> Any:
        sent.note(name, info)
        return None if other is None else other(name, info)

    return trace


def _as_coroutine(act: Callable[[Any], None]) -> Callable[[Any], Any]:
    async def act_async(value: Any) -> None:
        act(value)

    return act_async


def watch(
    client: Any,
    recorder: Recorder | None = None,
    *,
    home: StrPath | None = None,
    policy: Policy = keep_all,
    redact: Redact | None = None,
    on_session: Callable[[Recorder], object] | None = None,
) -> HttpHook:
    """
    Record what an HTTP client sends to model APIs and receives from them, until `HttpHook.close`.

    The client is one of httpx or httpx2, also within an SDK. Recorded are Responses, Chat Completions, Messages and
    Gemini, at any host, plain and streamed: messages, reasoning, calls with their outputs, tokens, settings,
    definitions of tools, errors; never headers, keys and other requests. What `rollout.instrument` or the hook of a
    framework records is not recorded again. No error of recording reaches the program: see `HttpHook.problems`. Only
    the beginning of a session waits for the disk.

    Args:
        client: A ``Client`` or ``AsyncClient``, which the caller closes.
        recorder: Recorder of all requests, which the caller closes after the hook; a conversation beside another one
            gets a session of a sub-agent. By default each conversation gets a session.
        home: Home of the sessions; by default ``CODEX_HOME``, else ``~/.codex``.
        policy: Decides which items are kept; by default all.
        redact: Called with plain values before they are recorded; returns them without what must not be kept, as
            `rollout.secrets.Redaction().redact`.
        on_session: Called with the `Recorder` of each new session.

    Raises:
        TypeError: *client* has no event hooks.
    """
    if not hasattr(client, "event_hooks"):
        raise TypeError(f"{client!r} is no client of httpx or httpx2: it has no `event_hooks`")
    return HttpHook(client, Log(home=home, policy=policy, redact=redact, on_session=on_session, recorder=recorder))
