"""
A session of a list, a page of a list, and the position at which the next page begins.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen

from rollout import schema
from rollout.errors import InvalidCursorError
from rollout.home import Problem, RolloutName, parse_key
from rollout.interpret import SessionFacts
from rollout.schema import to_item

__all__ = ["Cursor", "Page", "SessionInfo", "has_started"]


@frozen
class Cursor:
    """
    Position of the last session of a page: the next page begins after it. Its text ``YYYY-MM-DDThh-mm-ss|uuid`` is the
    cursor of Codex.

    Attributes:
        timestamp: Local time in the session's file name.
        id: UUID in the file name, in lower case; the second UUID if the name has two.
    """

    timestamp: str
    id: str

    @classmethod
    def parse(cls, token: str) -> Cursor:
        """
        Read a cursor from its text.

        Raises:
            InvalidCursorError: The text is not a cursor.
        """
        key = parse_key(token)
        if key is None:
            raise InvalidCursorError(token)
        return cls(*key)

    def __str__(self) -> str:
        return f"{self.timestamp}|{self.id}"


@frozen
class SessionInfo:
    """
    One session of a list. Fields that its source does not provide have their default values.

    Attributes:
        path: Path of the file.
        session_id: Id in the file name.
        timestamp: Local time at which the session started where it was recorded, from the file name
            (``YYYY-MM-DDThh-mm-ss``).
        updated_at: Time of the last use, in UTC: of the last line that has a time, but not before the start. None if
            unknown.
        is_updated_by_file: Whether *updated_at* is the time of the last change of the file, because no line that was
            read has a time: for a compressed file of more than 64 MiB uncompressed without an index.
        size: Size of the file in bytes.
        facts: Folder, branch, model and similar facts, if the lines that were read contain them.
        preview: First request of the user, at most 500 characters.
        has_early_user_message: Whether a user_message event comes before the 10th record: Codex of 2025 lists only such
            sessions. From `list_sessions`.
        head: Payloads of the first records (session_meta and response items), up to 10. From `list_sessions`.
        tail: Payloads of the last response items, up to 10, in order; empty for a compressed file of more than
            64 MiB uncompressed. From `list_sessions`.
        is_archived: Whether the file is in the archive.
        problem: Reason why the file, or a part of the file, could not be read; None if there is no problem, or if it is
            unknown.
        turns: Number of the user's prompts; None if unknown, for example for a large file without an index.
        tokens: Number of tokens used; None if unknown.
        name: Name of the session, set by a person; None if there is no name, or if it is unknown.
        is_live: Whether a writer has the session open; None if unknown.
        agents: Number of its sub-agents, and of the sub-agents of these; None if unknown.
    """

    path: Path
    session_id: str
    timestamp: str
    updated_at: datetime | None = None
    is_updated_by_file: bool = False
    size: int = 0
    facts: SessionFacts = field(factory=SessionFacts, repr=False)
    _meta: dict[str, Any] | None = field(default=None, repr=False)
    preview: str | None = None
    has_early_user_message: bool = False
    head: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    tail: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    is_archived: bool = False
    problem: str | None = None
    turns: int | None = None
    tokens: int | None = None
    name: str | None = None
    is_live: bool | None = None
    agents: int | None = None
    # Start that the session_meta states, in Unix seconds; 0 if it is not known.
    _stated_start: float = field(default=0.0, repr=False, eq=False)

    @property
    def started_at(self) -> datetime | None:
        """Time at which the session started, in UTC; None if it is unknown."""
        # Not built before: it takes 5 us, and a page of a list does not need it.
        stated = None if self._stated_start <= 0 else datetime.fromtimestamp(int(self._stated_start), timezone.utc)
        name = RolloutName.parse(self.path)
        return name.start(stated) if name else stated

    @property
    def meta(self) -> schema.SessionMeta | None:
        """The session_meta, built at every access; None if it is not among the first records."""
        # Not built before: importing the classes of the format takes 50 ms.
        item = None if self._meta is None else to_item("session_meta", self._meta)
        if not isinstance(item, schema.SessionMeta):
            return None
        return attrs.evolve(item, cwd=self.facts.cwd) if item.cwd is None else item

    @property
    def title(self) -> str | None:
        """The first request of the user on one line, at most 120 characters; None if it is unknown."""
        return self.facts.title

    @property
    def state(self) -> str:
        """live, damaged, archived or ok. A live session never counts as damaged: its writer may complete a line."""
        return "live" if self.is_live else "damaged" if self.problem else "archived" if self.is_archived else "ok"

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_()["text/html"]

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        from rollout.sessions._display import session_bundle  # noqa: PLC0415 -- for notebooks

        return session_bundle(self)


@frozen
class Page:
    """
    Some sessions, newest first.

    Attributes:
        items: Sessions.
        next_cursor: Cursor of the next page; None on the last page, or if the next page is found by *skipped*.
        scanned: Number of files that were opened to fill the page.
        reached_cap: Whether the page ended early because *scan_limit* files were opened; *next_cursor* continues there.
        problems: Folders and files that could not be read.
        skipped: Number of sessions before the next page, for lists from an index, which have no cursor; otherwise None.
        read_until: Start (UTC) of the last session that was read, if the page ended at its time limit; otherwise None.
    """

    items: tuple[SessionInfo, ...] = ()
    next_cursor: Cursor | None = None
    scanned: int = 0
    reached_cap: bool = False
    problems: tuple[Problem, ...] = ()
    skipped: int | None = None
    read_until: str | None = None

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_()["text/html"]

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        from rollout.sessions._display import page_bundle  # noqa: PLC0415 -- for notebooks

        return page_bundle(self)


def has_started(started_at: datetime | None, until: datetime) -> bool:
    """
    Return whether a session had started at a time; True if its start is unknown.
    """
    return started_at is None or started_at <= until
