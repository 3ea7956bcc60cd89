"""
The server of the viewer: HTTP over `Connections`, with werkzeug's handler. Logs no requests; independent of the pages.
"""

from __future__ import annotations

import io
import logging
import secrets
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from werkzeug.serving import WSGIRequestHandler

from rollout._text import escape_control_chars
from rollout.web._cancel import BEGIN_STREAM, IS_CANCELLED
from rollout.web._connections import Connection, Connections
from rollout.web._listening import authority_of, is_loopback, is_wildcard, listen, local_address, reachable_hosts
from rollout.web._security import HEADERS, Guard

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

__all__ = ["Viewer"]

_TOKEN_SIZE = 32
_logger = logging.getLogger("rollout.web")


class _HandlerServer:
    """
    The part of a server's interface that werkzeug's handler uses.
    """

    ssl_context = None
    multithread, multiprocess, passthrough_errors = True, False, False
    _server_version = "rollout"

    def __init__(self, app: WSGIApplication, address: tuple[str, int], connection: Connection) -> None:
        self.app, self.server_address, self._connection = app, address, connection

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: ARG002
        # The exception that ends a cancelled request is not an error. While Python exits, a thread must not log.
        if not self._connection.is_cancelled:
            _logger.error("%s", escape_control_chars(message % args))


class _OutputBuffer:
    """
    Buffer for the parts of a response, sent by `flush`: a chunk is sent in one packet instead of four.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection, self._parts = connection, bytearray()

    def write(self, content: Any) -> int:
        self._parts += content
        return len(content)

    def flush(self) -> None:
        content, self._parts = bytes(self._parts), bytearray()
        if content:
            self._connection.send(content)


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    request: Connection

    def setup(self) -> None:
        self.connection = self.request.socket
        self.rfile, self.wfile = io.BytesIO(self.request.head), _OutputBuffer(self.request)  # type: ignore[assignment]

    def finish(self) -> None:
        """Send the rest of the response. `Connections` then closes the connection."""
        with suppress(OSError):
            self.wfile.flush()

    def make_environ(self) -> WSGIEnvironment:
        own = {IS_CANCELLED: lambda: self.request.is_cancelled, BEGIN_STREAM: self.request.begin_stream}
        return {**super().make_environ(), **own}

    def version_string(self) -> str:
        return "rollout"

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Answer an invalid request. The inherited method would repeat the request on a page."""
        self.send_response(code)
        for name, value in {**HEADERS, "Content-Length": "0", "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()

    def log(self, type: str, message: str, *args: Any) -> None:
        """Log nothing: the URLs of requests contain the token."""


class Viewer:
    """
    A listening viewer, made by `make_viewer`. Use it in a ``with`` block, which serves it in a thread, or call
    `serve_forever`.

    Attributes:
        url: URL to open in a browser on this machine. It gives access to every session of the home: keep it secret.
        is_public: Whether other machines can reach the viewer, because it does not listen on a loopback address.
        public_urls: Known URLs to open on other machines. If this machine has several networks, only the URL for the
            default route is known.
    """

    def __init__(self, app: WSGIApplication, *, host: str, port: int, path: str) -> None:
        token = secrets.token_urlsafe(_TOKEN_SIZE)
        listener = listen(host, port)
        own_host, own_port = local_address(listener)
        # If the port is forwarded, a browser uses a loopback address of another machine, or of the host of a container.
        forwarded = {authority_of(name, own_port) for name in ("127.0.0.1", "::1") if is_wildcard(own_host)}
        self._app = Guard(app, token=token, forwarded=forwarded)
        self._connections = Connections(listener, self._answer)
        hosts = reachable_hosts(own_host)
        urls = {name: f"http://{authority_of(name, own_port)}/{token}{path}" for name in hosts}
        self.url = urls[hosts[0]]
        self.public_urls = tuple(url for name, url in urls.items() if not is_loopback(name))
        self.is_public = not is_loopback(own_host)
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Viewer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, connection: Connection) -> None:
        try:
            client, own = connection.socket.getpeername()[:2], local_address(connection.socket)
        except OSError:
            # The client has disconnected.
            return
        _Handler(connection, client, _HandlerServer(self._app, own, connection))  # type: ignore[arg-type]

    def serve_forever(self) -> None:
        """
        Serve in the calling thread until KeyboardInterrupt. Call `close` afterwards.
        """
        self._connections.run()

    def start(self) -> None:
        """
        Serve in a new thread until `close`.
        """
        self._thread = threading.Thread(target=self.serve_forever, name="rollout-viewer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """
        Close every connection and cancel all requests. Blocks for at most 0.2 seconds: a thread in the middle of a step
        (a plot, a query) ends after this step, or with the process.
        """
        self._connections.stop()
        if self._thread is not None:
            self._thread.join()
        self._connections.end()
