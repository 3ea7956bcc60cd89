"""
Read the forms of the pages and the queries of URLs as filters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from rollout._text import read_moment
from rollout.home import typed_folder
from rollout.interpret import Filters

__all__ = ["Form", "read_form", "read_number"]

_TEXTS = ("branch", "repository", "model", "originator", "source", "kind", "tool")
_FIELDS = frozenset(
    ("q", "n", "since", "until", "cwd", "archived", "agents", "failed", "sort", "cursor", "skip", *_TEXTS)
)
_NUMBER_MAX = 10**9


@frozen
class Form:
    """
    A form as a browser sent it.

    Attributes:
        values: Text of each known field that is not empty.
        filters: Meaning of the fields.
        problems: Messages for the user, one for each invalid field.
    """

    values: Mapping[str, str]
    filters: Filters
    problems: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether no filter is set."""
        return self.filters in (Filters(archived=False), Filters())


def read_form(fields: Mapping[str, str], *, archived: bool | None, since: str = "") -> Form:
    """
    Read a form.

    Args:
        fields: Fields as they were sent.
        archived: Default for the archive: only archived sessions, no archived sessions, or None for both.
        since: Default for the earliest time.
    """
    given = {"since": since, **fields}
    values = {name: text.strip() for name, text in given.items() if name in _FIELDS and text.strip()}
    problems = []
    known: dict[str, Any] = {name: values.get(name) for name in _TEXTS}
    for name in ("since", "until"):
        text = values.get(name, "")
        known[name] = read_moment(text)
        if text and known[name] is None:
            problems.append(f"“{text}” is not a valid time. Use 30m, 12h, 2d, 1w, 2026-11-21 or 2026-11-21T14:30.")
    cwd = values.get("cwd")
    if cwd is not None and "\0" in cwd:
        problems.append("A folder name cannot contain a NUL character.")
        cwd = None
    filters = Filters(
        **known,
        cwd=None if cwd is None else typed_folder(cwd),
        archived={"yes": True, "no": False, "both": None}.get(values.get("archived", ""), archived),
        failed="failed" in values,
    )
    return Form(values, filters, tuple(problems))


def read_number(text: str | None, default: int) -> int:
    """
    Read a number from a URL, from 0 to 1,000,000,000; *default* if the text is not a number.
    """
    is_number = text is not None and text.isascii() and text.isdecimal() and len(text) <= len(str(_NUMBER_MAX))
    return min(int(text or 0), _NUMBER_MAX) if is_number else default
