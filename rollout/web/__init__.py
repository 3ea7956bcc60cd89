"""
Sessions in a browser: a local web application that lists, searches, shows and follows them, and changes nothing.

By default only this machine can reach it. Its URL contains a random token. Needs the extra ``web``.

>>> from rollout.web import make_viewer
>>> with make_viewer() as viewer:
...     print(viewer.url)
http://127.0.0.1:38417/qM0u3zB.../
"""

from __future__ import annotations

try:
    import flask  # noqa: F401 -- an extra
except ModuleNotFoundError as error:
    message = "the viewer needs the extra: pip install 'rollout-recorder[web]'"
    raise ModuleNotFoundError(message, name=error.name) from error

from rollout.web._app import make_viewer
from rollout.web._server import Viewer

__all__ = ["Viewer", "make_viewer"]
