"""
Which sessions are wanted, and which texts of them.
"""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from rollout._facts import Facts

__all__ = ["Facts", "Filters"]


@frozen
class Filters:
    """
    Which sessions, and which lines of them.

    Attributes:
        since: Lines from then on, sessions that changed since; with a time zone.
        until: Lines up to then, sessions begun until then.
        cwd: The session's folder, or one above it.
        branch: The git branch.
        repository: A part of the repository's URL.
        model: The model's name.
        originator: The program that recorded it.
        source: cli, vscode, exec, mcp, or another.
        archived: True for archived sessions only, False for live ones only; None for both.
        kind: user, agent, reasoning, call, output or summary: only texts of this kind.
        tool: Only calls and outputs of this tool.
        failed: Only outputs of commands that failed.
    """

    since: datetime | None = None
    until: datetime | None = None
    cwd: str | None = None
    branch: str | None = None
    repository: str | None = None
    model: str | None = None
    originator: str | None = None
    source: str | None = None
    archived: bool | None = None
    kind: str | None = None
    tool: str | None = None
    failed: bool = False

    @property
    def is_of_facts(self) -> bool:
        """Some say something about the session as a whole that its file must be opened for."""
        wanted = (self.cwd, self.branch, self.repository, self.model, self.originator, self.source)
        return any(value is not None for value in wanted)

    @property
    def is_of_texts(self) -> bool:
        """Some say something about single texts."""
        return self.failed or self.kind is not None or self.tool is not None

    def fit(self, facts: Facts) -> bool:
        """
        Say whether a session is wanted.
        """
        for name in ("branch", "model", "originator", "source"):
            wanted = getattr(self, name)
            if wanted is not None and getattr(facts, name) != wanted:
                return False
        if self.repository is not None and self.repository not in (facts.repository or ""):
            return False
        if self.cwd is None:
            return True
        folder = self.cwd.rstrip("/")
        return facts.cwd is not None and (facts.cwd.rstrip("/") == folder or facts.cwd.startswith(f"{folder}/"))
