"""
The viewer: a local web application that lists, searches, shows and follows sessions, and changes nothing.

By default only this machine can reach it. Its URL contains a random token. It needs the extra ``web``.

>>> from rollout.web import make_viewer
>>> with make_viewer() as viewer:
...     print(viewer.url)
http://127.0.0.1:38417/qM0u3zB.../
"""

from __future__ import annotations

from rollout._lazy import extra_error

try:
    import flask  # noqa: F401 -- an extra
except ModuleNotFoundError as error:
    raise extra_error("the viewer needs", "web", error) from error

from rollout.web._app import make_viewer
from rollout.web._server import Viewer

__all__ = ["Viewer", "make_viewer"]
