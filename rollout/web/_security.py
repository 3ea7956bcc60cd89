"""
Who is answered, and with which headers: everything that comes to the viewer passes here first. Knows no page.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Response

from rollout.web._listening import authority_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["HEADERS", "Guard"]

_METHODS = ("GET", "HEAD")
# No address of the viewer needs an escape, so that nothing can be hidden behind one; nor a segment of dots alone.
_PATH = re.compile(r"(?:/(?!\.+(?:/|$))[\w.-]+)+/?", re.ASCII)
_POLICY = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'",
    "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'",
))  # fmt: skip
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # What was recorded is kept by no cache.
    "Cache-Control": "no-store",
}
"""Of every answer."""


class Guard:
    """
    A WSGI application around another: it lets through what its own pages ask, and nothing else.

    A browser may be made to ask by any page on the net, also under another name for this machine (DNS rebinding), and
    other users of this machine may ask, too. So the Host header must be exactly the address and port at which the
    request arrived, the Origin header, if there is one, must be the same, and the path begins with a secret token. A
    host name is never accepted: other people may control the address that it resolves to.

    Args:
        app: What answers; it gets the path behind the token.
        token: The first segment of every path.
        forwarded: Further hosts, with ports, that the Host header may have.
    """

    def __init__(self, app: WSGIApplication, *, token: str, forwarded: Collection[str] = ()) -> None:
        self._app, self._token, self._forwarded = app, token, forwarded

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            # A page may say more about itself, and never less: none of them sets those of the others.
            given = {name for name, _ in headers}
            headers = [*headers, *((name, value) for name, value in HEADERS.items() if name not in given)]
            return start_response(status, headers, exc_info)

        return self._answer(environ)(environ, start)

    def _answer(self, environ: WSGIEnvironment) -> WSGIApplication:
        host = environ.get("HTTP_HOST")
        own = authority_of(environ["SERVER_NAME"], int(environ["SERVER_PORT"]))
        if not (host == own or host in self._forwarded) or not self._is_own(environ):
            return Response("Forbidden\n", 403, mimetype="text/plain")
        if environ["REQUEST_METHOD"] not in _METHODS:
            return Response("Method not allowed\n", 405, {"Allow": ", ".join(_METHODS)}, mimetype="text/plain")
        path = environ["RAW_URI"].partition("?")[0]
        token, _, rest = path[1:].partition("/")
        is_known = hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode())
        if not is_known or _PATH.fullmatch(path) is None:
            return Response("Not found\n", 404, mimetype="text/plain")
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = f"/{token}", f"/{rest}"
        return self._app

    def _is_own(self, environ: WSGIEnvironment) -> bool:
        """
        Say whether a browser sends this for one of our pages, or for who typed or followed an address; programs that
        are none say nothing.
        """
        if environ.get("HTTP_ORIGIN") not in (None, f"http://{environ['HTTP_HOST']}"):
            return False
        if environ.get("HTTP_SEC_FETCH_SITE") in (None, "same-origin", "none"):
            return True
        # A link, from a notebook say: it opens a page, of which the other one sees nothing.
        return (environ.get("HTTP_SEC_FETCH_MODE"), environ.get("HTTP_SEC_FETCH_DEST")) == ("navigate", "document")
