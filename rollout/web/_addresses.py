"""
What stands in an address for a session, a line and a text. None of it can be a path.
"""

from __future__ import annotations

from pathlib import Path

from werkzeug.routing import BaseConverter

from rollout.layout import UUID_PATTERN, RolloutName

__all__ = ["GIVEN", "LineKey", "SessionKey", "TextKey", "key_of"]

GIVEN = "file"
"""The key of a session that lies in no home, or another one."""


class SessionKey(BaseConverter):
    """
    A session: its id, and the file's own where it has one.
    """

    regex = f"{UUID_PATTERN}(?:_{UUID_PATTERN})?|{GIVEN}"


class LineKey(BaseConverter):
    """
    A line: its number, with a b before it if it is inherited.
    """

    regex = r"b?[0-9]{1,9}"


class TextKey(BaseConverter):
    """
    A text that a page shows in part: the line that has it, or which text of which item.
    """

    regex = rf"{LineKey.regex}(?:-[0-9]{{1,9}})?(?:\.(?:text|input|diff[0-9]{{1,9}}))?"


def key_of(path: Path) -> str:
    """
    Give what a rollout is called in an address.
    """
    name = RolloutName.parse(path)
    if name is None:
        return GIVEN
    return f"{name.session_id}_{name.rollout_id}" if name.rollout_id else name.session_id
