"""
The access checks and the security headers of the viewer, which apply to every request. Independent of the pages.
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
# No path of the viewer contains a percent escape or a segment of only dots; either could hide another path.
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
    # No cache may keep recorded content.
    "Cache-Control": "no-store",
}
"""The security headers of every response."""


class Guard:
    """
    WSGI middleware that passes on the requests of the viewer's own pages, and refuses all others.

    Any web page can make a browser send a request, also under another name for this machine (DNS rebinding), and other
    users of this machine can send requests. So the Host header must be exactly the address and port at which the
    request arrived, the Origin header, if there is one, must be the same, and the path must begin with a secret token.
    A host name is never accepted: an attacker may control the address to which it resolves.

    Args:
        app: Application that handles the requests. Its paths do not contain the token.
        token: First segment of every path.
        forwarded: Further accepted values of the Host header, with ports.
    """

    def __init__(self, app: WSGIApplication, *, token: str, forwarded: Collection[str] = ()) -> None:
        self._app, self._token, self._forwarded = app, token, forwarded

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            # A response may set a header itself: static files set Cache-Control. No response sets one of the others.
            own = {name for name, _ in headers}
            headers = [*headers, *((name, value) for name, value in HEADERS.items() if name not in own)]
            return start_response(status, headers, exc_info)

        return self._answer(environ)(environ, start)

    def _answer(self, environ: WSGIEnvironment) -> WSGIApplication:
        host = environ.get("HTTP_HOST")
        own = authority_of(environ["SERVER_NAME"], int(environ["SERVER_PORT"]))
        if not (host == own or host in self._forwarded) or not _is_allowed_origin(environ):
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


def _is_allowed_origin(environ: WSGIEnvironment) -> bool:
    """
    Return whether a request comes from a page of the viewer, from a link or a typed URL, or from a program that is
    not a browser and sends none of these headers.
    """
    if environ.get("HTTP_ORIGIN") not in (None, f"http://{environ['HTTP_HOST']}"):
        return False
    if environ.get("HTTP_SEC_FETCH_SITE") in (None, "same-origin", "none"):
        return True
    # A link on another page, for example in a notebook. It opens the page; the other page cannot read the response.
    return (environ.get("HTTP_SEC_FETCH_MODE"), environ.get("HTTP_SEC_FETCH_DEST")) == ("navigate", "document")
