"""
The keys of sessions, lines and texts in URLs. None of them can be a path.
"""

from __future__ import annotations

from pathlib import Path

from werkzeug.routing import BaseConverter

from rollout.home import UUID_PATTERN, RolloutName

__all__ = ["FILE_KEY", "LineKey", "SessionKey", "TextKey", "key_of"]

FILE_KEY = "file"
"""The key of a session that is not in the home of the viewer."""


class SessionKey(BaseConverter):
    """
    The key of a session: its id, followed by the id of the file if the file has one.
    """

    # Old sessions of the TypeScript CLI may have short ids.
    regex = f"{UUID_PATTERN}(?:_{UUID_PATTERN})?|[0-9a-f]{{4,32}}|{FILE_KEY}"


class LineKey(BaseConverter):
    """
    The key of a line: its number, preceded by ``b`` if the line is inherited.
    """

    regex = r"b?[0-9]{1,9}"


class TextKey(BaseConverter):
    """
    The key of a text that a page truncates: the line that contains it, or the item and the kind of text.
    """

    regex = rf"{LineKey.regex}(?:-[0-9]{{1,9}})?(?:\.(?:text|input|diff[0-9]{{1,9}}))?"


def key_of(path: Path) -> str:
    """
    Return the key of a rollout according to its file name.
    """
    name = RolloutName.parse(path)
    if name is None:
        return FILE_KEY
    return f"{name.session_id}_{name.rollout_id}" if name.rollout_id else name.session_id
