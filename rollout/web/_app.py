"""
The application: which address shows what, and what becomes of errors.
"""

from __future__ import annotations

import logging
import sqlite3
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask, Response, render_template
from werkzeug.exceptions import HTTPException

from rollout._visible import visible
from rollout.errors import RolloutError
from rollout.export._html import SCRIPT, STYLE
from rollout.layout import StrPath, home_folder
from rollout.web._addresses import LineKey, SessionKey, TextKey
from rollout.web._lists import list_page, search_page
from rollout.web._live import events_page
from rollout.web._server import Viewer
from rollout.web._sessions import FORMATS, export_page, offset_page, output_page, raw_page, session_page
from rollout.web._site import Site
from rollout.web._statistics import session_stats_page, stats_page
from rollout.web._words import TESTS, WORDS

__all__ = ["make_app", "make_viewer"]

_logger = logging.getLogger("rollout.web")
_ROUTES: dict[str, tuple[str, Callable[..., Any]]] = {
    "sessions": ("/", list_page),
    "search": ("/search", search_page),
    "stats": ("/stats", stats_page),
    "session": ("/s/<session:key>", session_page),
    "offset": ("/s/<session:key>/at/<int:offset>", offset_page),
    "raw": ("/s/<session:key>/raw/<line:line>", raw_page),
    "output": ("/s/<session:key>/output/<text:text>", output_page),
    "events": ("/s/<session:key>/events", events_page),
    "session_stats": ("/s/<session:key>/stats", session_stats_page),
    "export": (f"/s/<session:key>/export/<any({', '.join(FORMATS)}):form>", export_page),
    "page_style": ("/page.css", lambda: _static(STYLE, "text/css")),
    "page_script": ("/page.js", lambda: _static(SCRIPT, "text/javascript")),
}


def make_viewer(
    home: StrPath | None = None, *, session: StrPath | None = None, host: str = "127.0.0.1", port: int = 0
) -> Viewer:
    """
    Make a viewer that listens; it answers while it is served: in a ``with`` block, by `Viewer.start` or
    `Viewer.serve_forever`.

    Args:
        home: By default ``CODEX_HOME``, else ``~/.codex``.
        session: The file of a session to begin with, of this home or not.
        host: An address of this machine, or a name that resolves to one. ``0.0.0.0`` means all IPv4 addresses, ``::``
            all addresses. Unless it is a loopback address, other machines can reach the viewer: see `Viewer.is_public`.
        port: 0 for any that is free.

    Raises:
        ValueError: *host* cannot be a host name.
        OSError: The name is not known, the address is not one of this machine, or the port is taken.
    """
    folder = home_folder(home).absolute()
    own = Site(folder, given=None if session is None else Path(session).absolute())
    path = "/" if own.given is None else f"/s/{own.key(own.given)}"
    return Viewer(make_app(own), host=host, port=port, path=path)


def make_app(own: Site) -> Flask:
    """
    Make the application of a site. It asks nobody who they are: that is the `Guard`'s.
    """
    app = Flask("rollout.web")
    app.extensions["rollout"] = own
    app.url_map.converters.update(session=SessionKey, line=LineKey, text=TextKey)
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    app.jinja_env.filters.update(WORDS)
    app.jinja_env.tests.update(TESTS)
    for name, (address, page) in _ROUTES.items():
        app.add_url_rule(address, name, page)
    app.register_error_handler(Exception, _failed)
    return app


def _static(text: str, kind: str) -> Response:
    return Response(text, mimetype=kind)


def _failed(error: Exception) -> Any:
    """
    Say what went wrong. What the files are to blame for is said to who looks, the rest to who wrote this.
    """
    if isinstance(error, HTTPException):
        return _problem(error.name, error.description or "", error.code or 500)
    if isinstance(error, FileNotFoundError):
        return _problem("Not found", "The file is gone.", 404)
    if isinstance(error, sqlite3.Error):
        return _problem("The index cannot be used", f"{error}. `rollout index --rebuild` makes it anew.", 500)
    if isinstance(error, (RolloutError, OSError, ImportError)):
        return _problem("It cannot be shown", str(error), 500)
    _logger.error("%s", visible(traceback.format_exc()))
    return _problem("Something went wrong", "That is a fault of this program; its error output has more.", 500)


def _problem(title: str, text: str, status: int) -> tuple[str, int]:
    return render_template("problem.html", title=title, text=visible(text)), status
