"""
The application: its routes and its error pages.
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

from rollout._text import escape_control_chars
from rollout.errors import RolloutError
from rollout.export.html import SCRIPT, STYLE
from rollout.home import StrPath, home_folder
from rollout.web._context import Site
from rollout.web._event_stream import events_page
from rollout.web._lists import list_page, search_page
from rollout.web._server import Viewer
from rollout.web._sessions import FORMATS, export_page, offset_page, output_page, raw_page, session_page
from rollout.web._statistics import session_stats_page, stats_page
from rollout.web._template_filters import FILTERS, TESTS
from rollout.web._url_keys import LineKey, SessionKey, TextKey

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
    "page_style": ("/page.css", lambda: _static_file(STYLE, "text/css")),
    "page_script": ("/page.js", lambda: _static_file(SCRIPT, "text/javascript")),
}


def make_viewer(
    home: StrPath | None = None, *, session: StrPath | None = None, host: str = "127.0.0.1", port: int = 0
) -> Viewer:
    """
    Return a viewer that listens on its port. It answers requests only while it is served: in a ``with`` block, by
    `Viewer.start` or by `Viewer.serve_forever`.

    Args:
        home: Home folder; by default ``CODEX_HOME``, else ``~/.codex``.
        session: File of the session to open first, in this home or elsewhere.
        host: An address of this machine, or a name that resolves to one. ``0.0.0.0`` means all IPv4 addresses, ``::``
            all addresses. Unless it is a loopback address, other machines can reach the viewer: see `Viewer.is_public`.
        port: Port number; 0 for any free port.

    Raises:
        ValueError: *host* cannot be a host name.
        OSError: The name is unknown, the address is not one of this machine, or the port is in use.
    """
    folder = home_folder(home).absolute()
    site = Site(folder, session=None if session is None else Path(session).absolute())
    path = "/" if site.session is None else f"/s/{site.find_key(site.session)}"
    return Viewer(make_app(site), host=host, port=port, path=path)


def make_app(site: Site) -> Flask:
    """
    Return the application of a site. It checks neither token nor headers: `Guard` does.
    """
    app = Flask("rollout.web")
    app.extensions["rollout"] = site
    app.url_map.converters.update(session=SessionKey, line=LineKey, text=TextKey)
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    app.jinja_env.filters.update(FILTERS)
    app.jinja_env.tests.update(TESTS)
    for name, (route, page) in _ROUTES.items():
        app.add_url_rule(route, name, page)
    app.register_error_handler(Exception, _error_page)
    return app


def _static_file(text: str, media_type: str) -> Response:
    return Response(text, mimetype=media_type)


def _error_page(error: Exception) -> Any:
    """
    Return the page for an error. An error caused by files is described on the page; any other error is a fault in
    this program, and is logged.
    """
    if isinstance(error, HTTPException):
        return _problem_page(error.name, error.description or "", error.code or 500)
    if isinstance(error, FileNotFoundError):
        return _problem_page("Not found", "The file no longer exists.", 404)
    if isinstance(error, sqlite3.Error):
        return _problem_page("The index cannot be used", f"{error}. `rollout index --rebuild` rebuilds it.", 500)
    if isinstance(error, (RolloutError, OSError, ImportError)):
        return _problem_page("This page cannot be shown", str(error), 500)
    _logger.error("%s", escape_control_chars(traceback.format_exc()))
    return _problem_page("Internal error", "This is a fault in the viewer. Its error output has the details.", 500)


def _problem_page(title: str, text: str, status: int) -> tuple[str, int]:
    return render_template("problem.html", title=title, text=escape_control_chars(text)), status
