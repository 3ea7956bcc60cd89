"""
The document of a session that may still be written: built from the complete lines, and extended by each new line.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from rollout.codec import RolloutLine
from rollout.document import Document, DocumentBuilder, Item, Turn
from rollout.errors import SessionNotFoundError
from rollout.home import home_of
from rollout.reading import Follower, LineReader, SkippedLine, base_of, inherited_lines

__all__ = ["LiveDocument", "NumberedLine"]


NumberedLine: TypeAlias = "tuple[int, RolloutLine | SkippedLine]"
"""A line and its number in the file."""


class LiveDocument:
    """
    The document of a session, built line by line. One thread may use `lines` and `close`, and another thread the other
    methods.

    Args:
        path: File of the session.
        home: Home in which to find the session that a fork inherits from, if the file is not in a home.
        source: Source of the lines. Closed by `close`.

    Attributes:
        lineno: Number of the last line in the document.
    """

    def __init__(self, path: Path, home: Path, source: Follower | LineReader) -> None:
        self._source = source
        self._builder = DocumentBuilder(path)
        self._home = home_of(path) or home
        self._missing_base: str | None = None
        self._has_meta = False
        self.lineno = 0

    def __enter__(self) -> LiveDocument:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """
        End the iteration of `lines`, also while another thread waits for the next line.
        """
        self._source.close()

    def lines(self) -> Iterator[NumberedLine]:
        """
        Yield the lines, unreadable lines included. Blocks until the next line is complete.
        """
        skipped_count = 0
        for line in self._source:
            lineno = self._source.lineno
            yield from self._unreadable(skipped_count)
            skipped_count = len(self._source.skipped)
            yield lineno, line
        yield from self._unreadable(skipped_count)

    def _unreadable(self, start: int) -> Iterator[NumberedLine]:
        return ((line.lineno, line) for line in self._source.skipped[start:])

    def add(self, numbered: NumberedLine) -> None:
        """
        Add the next line to the document.
        """
        self.lineno, line = numbered
        if isinstance(line, SkippedLine):
            self._builder.add_unreadable(line)
            return
        if line.type == "session_meta" and not self._has_meta:
            self._has_meta = True
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
        """The document of the lines so far, always the same object; None before the first session_meta."""
        document = self._builder.document
        if document is not None:
            document.missing_base = self._missing_base
        return document

    def changes(self) -> list[tuple[Turn, list[Item]]]:
        """
        Return the turns that changed since the last call, each with its changed items.
        """
        return self._builder.changes()
