"""
Patches in the two forms that Codex writes: its own ``*** Begin Patch`` text, and the changes of its events.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from attrs import frozen

__all__ = ["FileChange", "changes_in", "changes_of", "text_around"]

# A truncated patch has no end.
_PATCH = re.compile(r"\*\*\* Begin Patch[^\n]*\n?(.*?)(?:\*\*\* End Patch|\Z)", re.DOTALL)
_AROUND = re.compile(r"\*\*\* Begin Patch.*?(?:\*\*\* End Patch|\Z)", re.DOTALL)
_FILE = re.compile(r"\*\*\* (Add|Delete|Update) File: (.*)")
_MOVE = "*** Move to: "


@frozen
class FileChange:
    """
    The change of a file by a patch.

    Attributes:
        path: The file's path as written in the patch.
        kind: add, delete or update.
        diff: Lines that begin with ``+``, ``-``, a space or ``@@``, without the headings of a diff.
        moved_to: The file's new path; None if it is not moved.
    """

    path: str
    kind: str
    diff: str
    moved_to: str | None = None

    @property
    def counts(self) -> tuple[int, int]:
        """The numbers of added and of removed lines."""
        marks = [line[:1] for line in self.diff.split("\n")]
        return marks.count("+"), marks.count("-")


def changes_in(text: str) -> tuple[FileChange, ...]:
    """
    Return the changes of all patches in a text, without the text around them.
    """
    return tuple(change for patch in _PATCH.findall(text) for change in _changes(patch.split("\n")))


def text_around(text: str) -> str:
    """
    Return the text around the patches in a text.
    """
    parts = (part.strip("\n") for part in _AROUND.split(text))
    return "\n".join(part for part in parts if part.strip())


def _changes(lines: list[str]) -> Iterator[FileChange]:
    heading: re.Match[str] | None = None
    moved_to: str | None = None
    diff: list[str] = []
    for line in [*lines, "*** Delete File: "]:
        found = _FILE.match(line)
        if found:
            if heading:
                yield FileChange(heading[2].strip(), heading[1].lower(), "\n".join(diff).rstrip("\n"), moved_to)
            heading, moved_to, diff = found, None, []
        elif line.startswith(_MOVE):
            moved_to = line.removeprefix(_MOVE).strip()
        elif not line.startswith("*** "):
            diff.append(line)


def changes_of(value: Any) -> tuple[FileChange, ...]:
    """
    Return the changes of an event: a mapping of paths to changes, or a list of changes with their paths.
    """
    if isinstance(value, dict):
        pairs = [(path, change) for path, change in value.items() if isinstance(change, dict)]
    elif isinstance(value, list):
        pairs = [(str(change.get("path", "")), change) for change in value if isinstance(change, dict)]
    else:
        return ()
    return tuple(_change(path, change) for path, change in pairs)


def _change(path: str, change: dict[str, Any]) -> FileChange:
    kind: Any = change.get("type", change.get("kind"))
    if kind is None and len(change) == 1 and isinstance(own := next(iter(change.values())), dict):
        # As in {"add": {"content": ...}} of the events of 2025.
        kind, change = next(iter(change)), own
    if isinstance(kind, dict):
        # As in {"kind": {"type": "update", "move_path": ...}} of the app server.
        change = {**change, **kind}
        kind = kind.get("type")
    diff, content, moved_to = (
        change.get("unified_diff", change.get("diff")),
        change.get("content"),
        change.get("move_path"),
    )
    if not isinstance(diff, str):
        mark = "-" if kind == "delete" else "+"
        content = content if isinstance(content, str) else ""
        diff = "\n".join(f"{mark}{line}" for line in content.splitlines())
    return FileChange(path, str(kind or "update"), diff.rstrip("\n"), moved_to if isinstance(moved_to, str) else None)
