"""
What is typed into the forms of the pages, and what an address says, as filters.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from rollout._facts import Filters
from rollout._units import read_moment

__all__ = ["Form", "number_of", "read_form"]

_TEXTS = ("branch", "repository", "model", "originator", "source", "kind", "tool")
_FIELDS = frozenset(("q", "n", "since", "until", "cwd", "archived", "failed", "sort", "cursor", "skip", *_TEXTS))
_NUMBER_MAX = 10**9


@frozen
class Form:
    """
    A form as it was sent.

    Attributes:
        values: What each field held, those that were empty left out; what is no field is not among them.
        filters: What they mean.
        problems: What means nothing, in words for who typed it.
    """

    values: Mapping[str, str]
    filters: Filters
    problems: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Nothing is filtered."""
        return self.filters in (Filters(archived=False), Filters())


def read_form(sent: Mapping[str, str], *, archived: bool | None, since: str = "") -> Form:
    """
    Read a form.

    Args:
        sent: Its fields.
        archived: Which sessions, if the form does not say.
        since: From when on, if the form does not say.
    """
    given = {"since": since, **sent}
    values = {name: text.strip() for name, text in given.items() if name in _FIELDS and text.strip()}
    problems = []
    known: dict[str, Any] = {name: values.get(name) for name in _TEXTS}
    for name in ("since", "until"):
        text = values.get(name, "")
        known[name] = read_moment(text)
        if text and known[name] is None:
            problems.append(f"“{text}” is no time: say 30m, 12h, 2d, 1w, 2026-11-21 or 2026-11-21T14:30")
    cwd = values.get("cwd")
    if cwd is not None and "\0" in cwd:
        problems.append("a folder's name has no NUL in it")
        cwd = None
    filters = Filters(
        **known,
        cwd=None if cwd is None else os.path.abspath(os.path.expanduser(cwd)),  # noqa: PTH100, PTH111 -- ".." goes, too
        archived={"yes": True, "no": False, "both": None}.get(values.get("archived", ""), archived),
        failed="failed" in values,
    )
    return Form(values, filters, tuple(problems))


def number_of(text: str | None, default: int) -> int:
    """
    Read a number of an address, from 0 to a thousand millions; *default* where there is none.
    """
    is_number = text is not None and text.isascii() and text.isdecimal() and len(text) <= len(str(_NUMBER_MAX))
    return min(int(text or 0), _NUMBER_MAX) if is_number else default
