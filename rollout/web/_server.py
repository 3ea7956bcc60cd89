"""
The viewer's server: on a loopback address, a thread for each request, quiet. Knows no page.
"""

from __future__ import annotations

import logging
import secrets
import socket
import socketserver
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from rollout._visible import visible
from rollout.web._security import HEADERS, Guard

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["HOSTS", "Viewer"]

HOSTS = {"127.0.0.1": socket.AF_INET, "::1": socket.AF_INET6}
"""The addresses that it may be served on: those that lead to this machine only."""

# Seconds that a connection may say nothing, or take nothing; a stream is written to more often.
_TIMEOUT = 60.0
# How soon it ends.
_POLL = 0.1
_WAITING_MAX = 128
_TOKEN_SIZE = 32
_logger = logging.getLogger("rollout.web")


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _TIMEOUT

    def version_string(self) -> str:
        return "rollout"

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Answer what is no request; the original repeats it on a page."""
        self.send_response(code)
        for name, value in {**HEADERS, "Content-Length": "0", "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()

    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing of requests: their addresses hold the token."""


class _Server(ThreadedWSGIServer):
    # Waited for when it closes.
    daemon_threads = False

    def __init__(self, listener: socket.socket, app: WSGIApplication) -> None:
        host, port = listener.getsockname()[:2]
        self._connections: set[socket.socket] = set()
        super().__init__(host, port, app, _Handler, fd=listener.fileno())

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().close_request(request)

    def end_connections(self) -> None:
        """
        End those that are open: a browser keeps some for later.
        """
        for connection in list(self._connections):
            # Else ended meanwhile.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: ARG002
        _logger.error("%s", visible(message % args))

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        _logger.error("%s", visible(traceback.format_exc()))


class Viewer:
    """
    A viewer that listens; made by `make_viewer`. Use it in a ``with`` block, which serves meanwhile, or call
    `serve_forever`.

    Attributes:
        url: The address to open in a browser. Who knows it can read every session of the home.
    """

    def __init__(self, app: WSGIApplication, close_app: Callable[[], None], *, host: str, port: int, path: str) -> None:
        token = secrets.token_urlsafe(_TOKEN_SIZE)
        with _listener(host, port) as listener:
            own_port = listener.getsockname()[1]
            authority = f"[{host}]:{own_port}" if ":" in host else f"{host}:{own_port}"
            self._server = _Server(listener, Guard(app, authority=authority, token=token))
        self.url = f"http://{authority}/{token}{path}"
        self._close_app = close_app
        self._thread: threading.Thread | None = None
        self._is_served = False

    def __enter__(self) -> Viewer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def serve_forever(self) -> None:
        """
        Serve until KeyboardInterrupt; `close` it then.
        """
        self._is_served = True
        # Not werkzeug's, which keeps a KeyboardInterrupt to itself.
        socketserver.BaseServer.serve_forever(self._server, poll_interval=_POLL)

    def start(self) -> None:
        """
        Serve in a thread of its own, until `close`.
        """
        self._is_served = True
        self._thread = threading.Thread(target=self.serve_forever, name="rollout-viewer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """
        End all that is served, and wait until it has ended.
        """
        if self._is_served:
            self._server.shutdown()
        if self._thread is not None:
            self._thread.join()
        self._close_app()
        self._server.end_connections()
        self._server.server_close()


def _listener(host: str, port: int) -> socket.socket:
    if host not in HOSTS:
        raise ValueError(f"{host!r} is not served: the viewer listens on {' or '.join(HOSTS)} only")
    listener = socket.socket(HOSTS[host], socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_WAITING_MAX)
    except BaseException:
        listener.close()
        raise
    return listener
