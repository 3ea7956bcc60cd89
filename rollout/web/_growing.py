"""
The document of a session that is being written: as far as its lines are complete, and on from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from rollout._lineage import base_of, inherited_lines
from rollout.codec import RolloutLine
from rollout.document import Document, DocumentBuilder, Item, Turn
from rollout.errors import SessionNotFoundError
from rollout.follow import Follower
from rollout.layout import home_of
from rollout.reader import LineReader, SkippedLine

__all__ = ["Growing", "Numbered"]


Numbered: TypeAlias = "tuple[int, RolloutLine | SkippedLine]"
"""A line and its number in the file."""


class Growing:
    """
    A session from its first line on. `lines` and `close` may be used by one thread, and the rest by another.

    Args:
        path: The file; a plain one.
        home: Where the session it goes on from lies, if the file lies in no home.
        source: Source of the lines. Closed by `close`.

    Attributes:
        lineno: The number of the line that the document has last.
    """

    def __init__(self, path: Path, home: Path, source: Follower | LineReader) -> None:
        self._source = source
        self._builder = DocumentBuilder(path)
        self._home = home_of(path) or home
        self._missing_base: str | None = None
        self._is_begun = False
        self.lineno = 0

    def __enter__(self) -> Growing:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """
        End `lines`, also while another thread waits for the next.
        """
        self._source.close()

    def lines(self) -> Iterator[Numbered]:
        """
        Give the lines; blocks for the next.
        """
        known = 0
        for line in self._source:
            lineno = self._source.lineno
            yield from self._unreadable(known)
            known = len(self._source.skipped)
            yield lineno, line
        yield from self._unreadable(known)

    def _unreadable(self, known: int) -> Iterator[Numbered]:
        return ((line.lineno, line) for line in self._source.skipped[known:])

    def add(self, numbered: Numbered) -> None:
        """
        Take the next line into the document.
        """
        self.lineno, line = numbered
        if isinstance(line, SkippedLine):
            self._builder.add_unreadable(line)
            return
        if line.type == "session_meta" and not self._is_begun:
            self._is_begun = True
            self._add_inherited(line)
        self._builder.add(line, self.lineno)

    def _add_inherited(self, meta: RolloutLine) -> None:
        try:
            for number, line in enumerate(inherited_lines(meta.payload, self._home), 1):
                self._builder.add(line, number, is_inherited=True)
        except (SessionNotFoundError, OSError, ImportError):
            self._missing_base = base_of(meta.payload)

    @property
    def document(self) -> Document | None:
        """What the lines have said so far, the same object each time; None before the first session_meta."""
        document = self._builder.document
        if document is not None:
            document.missing_base = self._missing_base
        return document

    def changes(self) -> list[tuple[Turn, list[Item]]]:
        """
        Give the turns that changed since the last call, and which of their items.
        """
        return self._builder.changes()
