"""
The connections of the viewer: one thread accepts them, reads requests and detects disconnected clients; a limited
number of threads answers requests.

Every response closes its connection. This module knows little of HTTP: the end of a request's head, and two error
responses.
"""

from __future__ import annotations

import logging
import re
import selectors
import socket
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from rollout._text import escape_control_chars
from rollout.web._cancel import RequestCancelledError
from rollout.web._security import HEADERS

__all__ = ["THREADS_MAX", "Connection", "Connections"]

THREADS_MAX = 6
"""Maximum number of requests, event streams excluded, that are answered at the same time: a browser sends at most six.
Each of them delays the accepting thread by 5 ms or more at every system call, because of the interpreter's lock."""
# Maximum number of requests that wait for a thread, and of incomplete requests. Low enough for 256 descriptors (macOS).
_WAITING_MAX, _READING_MAX = 64, 100
# Seconds to receive a complete head. A browser opens connections in advance; if one was closed, it opens another.
_HEAD_TIMEOUT = 10.0
# http.server refuses a line of 64 KiB and more than 100 headers. A head of more than 256 KiB is refused before that.
_HEAD_MAX, _BODY_MAX, _READ_SIZE = 2**18, 2**20, 2**16
_HEAD_END = re.compile(rb"\n\r?\n")
# Seconds within which a client must receive something; the shorter time applies if other requests wait for a thread.
_SEND_TIMEOUT, _SEND_PATIENCE = 60.0, 2.0
# Seconds between two checks for slow clients while requests wait; seconds to sleep if a connection cannot be accepted.
_POLL, _PAUSE = 0.25, 0.02
# Seconds that `end` waits for the threads. Their requests are cancelled, and end at their next check.
_END_TIMEOUT = 0.2
_logger = logging.getLogger("rollout.web")


class Connection:
    """
    A connection and its request.

    Attributes:
        socket: Socket of the connection.
        head: Received bytes: the request's head, and perhaps a part of its body.
        is_cancelled: Whether the client has disconnected or the viewer is closing. Set by the accepting thread, read by
            all threads.
        is_stream: Whether the response is an event stream, which waits most of the time. Set by the answering thread.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.head = bytearray()
        self.is_cancelled = self.is_stream = False
        self.deadline = time.monotonic() + _HEAD_TIMEOUT
        self.ignored_size = 0
        self.sending_since: float | None = None

    def send(self, content: bytes) -> None:
        """
        Send bytes. Blocks until the system has accepted all of them.

        Raises:
            OSError: The client has disconnected, or received nothing for a minute.
        """
        left = memoryview(content)
        while left:
            if self.is_cancelled:
                raise ConnectionAbortedError
            # Not sendall, which has one timeout for all bytes: a slow client that continues to receive is not dropped.
            self.sending_since = time.monotonic()
            left = left[self.socket.send(left) :]
        self.sending_since = None

    def begin_stream(self) -> None:
        """
        Exclude this connection from `THREADS_MAX`. The caller limits the number of streams.
        """
        self.is_stream = True

    def cancel(self) -> None:
        """
        Cancel the request. A thread that is sending gets an OSError.
        """
        self.is_cancelled = True
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


# Written by hand, because WSGI servers are too slow here: with event streams open, waitress takes 5.0 s to stop and
# cheroot over 30 s, and 8 streams block all threads of waitress.
class Connections:
    """
    All connections of a viewer. Any thread may call `run`, once, and `end` after `run` has returned.

    Args:
        listener: Listening socket. Closed by `end`.
        answer: Function that answers the request of a connection; called in a new thread for each request.
    """

    def __init__(self, listener: socket.socket, answer: Callable[[Connection], None]) -> None:
        self._listener, self._answer = listener, answer
        self._selector = selectors.DefaultSelector()
        self._reading: dict[Connection, None] = {}
        self._waiting: deque[Connection] = deque()
        self._working: dict[Connection, threading.Thread] = {}
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._is_stopping = self._has_logged_shortage = False
        # Protects the next two attributes: the answered connections, and whether threads close their own connection.
        self._lock = threading.Lock()
        self._answered: list[Connection] = []
        self._is_ended = False
        for reader, handle in ((listener, self._accept), (self._wake_reader, self._finish)):
            reader.setblocking(False)
            self._selector.register(reader, selectors.EVENT_READ, handle)
        self._wake_writer.setblocking(False)

    def run(self) -> None:
        """
        Serve until `stop` is called, or until KeyboardInterrupt.
        """
        while not self._is_stopping:
            for key, _ in self._selector.select(self._wait_time()):
                key.data()
            self._drop_slow_clients()
            self._start_waiting()

    def stop(self) -> None:
        """
        Make `run` return. Any thread may call this.
        """
        self._is_stopping = True
        self._wake()

    def end(self) -> None:
        """
        Cancel all requests and close all sockets, after `run` has returned. Blocks for at most 0.2 seconds: a thread in
        the middle of a step that cannot be interrupted ends after that step.
        """
        with self._lock:
            self._is_ended = True
            answered = self._answered
        threads = list(self._working.values())
        for connection in self._working:
            connection.cancel()
        for connection in (*self._reading, *self._waiting, *answered):
            connection.socket.close()
        deadline = time.monotonic() + _END_TIMEOUT
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0))
        self._selector.close()
        for part in (self._listener, self._wake_reader, self._wake_writer):
            part.close()

    def _wait_time(self) -> float | None:
        if self._waiting:
            return _POLL
        oldest = next(iter(self._reading), None)
        return None if oldest is None else max(oldest.deadline - time.monotonic(), 0)

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except OSError as error:
            self._handle_shortage(error)
            return
        self._has_logged_shortage = False
        accepted.setblocking(False)
        if len(self._reading) >= _READING_MAX:
            self._drop_oldest()
        connection = Connection(accepted)
        self._reading[connection] = None
        self._selector.register(accepted, selectors.EVENT_READ, partial(self._receive, connection))

    def _handle_shortage(self, error: OSError) -> None:
        """
        Log a lack of descriptors once, drop the oldest incomplete request, and sleep for a short time: `accept` would
        fail again at once.
        """
        if not self._has_logged_shortage:
            self._has_logged_shortage = True
            _logger.error("%s", escape_control_chars(f"a connection cannot be accepted: {error}"))
        self._drop_oldest()
        time.sleep(_PAUSE)

    def _receive(self, connection: Connection) -> None:
        if connection.socket.fileno() < 0:
            # It was closed after the select call that reported it.
            return
        try:
            received = connection.socket.recv(_READ_SIZE)
        except OSError:
            received = b""
        if not received:
            self._drop(connection)
        elif connection not in self._reading:
            # A body, or a second request. It is read only to detect the end of the connection.
            connection.ignored_size += len(received)
            if connection.ignored_size > _BODY_MAX:
                self._drop(connection)
        else:
            self._read(connection, received)

    def _read(self, connection: Connection, received: bytes) -> None:
        start = max(len(connection.head) - 2, 0)
        connection.head += received
        if _HEAD_END.search(connection.head, start):
            del self._reading[connection]
            if len(self._waiting) >= _WAITING_MAX:
                self._refuse(connection, _BUSY)
            else:
                self._waiting.append(connection)
        elif len(connection.head) > _HEAD_MAX:
            del self._reading[connection]
            self._refuse(connection, _TOO_LARGE)

    def _start_waiting(self) -> None:
        while self._waiting and not self._is_full():
            connection = self._waiting.popleft()
            thread = threading.Thread(target=self._work, args=(connection,), name="rollout-viewer-request", daemon=True)
            connection.socket.settimeout(_SEND_TIMEOUT)
            try:
                thread.start()
            except RuntimeError:
                # The system cannot start more threads.
                self._refuse(connection, _BUSY)
            else:
                self._working[connection] = thread

    def _is_full(self) -> bool:
        return sum(not connection.is_stream for connection in self._working) >= THREADS_MAX

    def _work(self, connection: Connection) -> None:
        try:
            self._answer(connection)
        except RequestCancelledError:
            pass
        except Exception as error:  # noqa: BLE001 -- an error that ends the thread is logged
            _log_fault(error)
        with self._lock:
            if not self._is_ended:
                self._answered.append(connection)
                self._wake()
                return
        connection.socket.close()

    def _wake(self) -> None:
        # If the socket is full, the thread is already awake. If it is closed, there is no thread to wake.
        with suppress(OSError):
            self._wake_writer.send(b"\0")

    def _finish(self) -> None:
        self._wake_reader.recv(_READ_SIZE)
        with self._lock:
            answered, self._answered = self._answered, []
        for connection in answered:
            del self._working[connection]
            self._close(connection)

    def _drop_slow_clients(self) -> None:
        """
        Drop clients that do not send their request in time, or do not receive the response in time while requests wait.
        """
        now = time.monotonic()
        while self._reading and next(iter(self._reading)).deadline <= now:
            self._drop_oldest()
        if self._waiting and self._is_full():
            for connection in self._working:
                since = connection.sending_since
                if since is not None and now - since > _SEND_PATIENCE:
                    connection.cancel()

    def _drop_oldest(self) -> None:
        oldest = next(iter(self._reading), None)
        if oldest is not None:
            self._drop(oldest)

    def _drop(self, connection: Connection) -> None:
        """
        Cancel the request of a connection, and close the connection. If a thread answers it, the connection is closed
        after this thread has ended.
        """
        connection.cancel()
        if connection in self._working:
            self._unregister(connection)
            return
        self._reading.pop(connection, None)
        with suppress(ValueError):
            self._waiting.remove(connection)
        self._close(connection)

    def _refuse(self, connection: Connection, answer: bytes) -> None:
        with suppress(OSError):
            connection.socket.send(answer)
        self._close(connection)

    def _close(self, connection: Connection) -> None:
        self._unregister(connection)
        connection.socket.close()

    def _unregister(self, connection: Connection) -> None:
        with suppress(KeyError):
            self._selector.unregister(connection.socket)


def _log_fault(error: Exception) -> None:
    _logger.error("%s", escape_control_chars("".join(traceback.format_exception(error))))


def _refusal(status: str, text: str, **headers: str) -> bytes:
    body = text.encode()
    own = {"Server": "rollout", **HEADERS, "Content-Type": "text/plain; charset=utf-8", **headers}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in own.items())]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "Connection: close", "", ""])
    return head.encode() + body


_BUSY = _refusal(
    "503 Service Unavailable",
    f"The viewer answers {THREADS_MAX} requests and {_WAITING_MAX} more wait. Try again in a moment.\n",
    **{"Retry-After": "2"},
)
_TOO_LARGE = _refusal("431 Request Header Fields Too Large", "")
