"""
What is known of a session as a whole, gathered line by line: what it is filtered, sorted and shown by.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import define, frozen

from rollout._prompts import cwd_in, is_prompt, message_text
from rollout.codec import RolloutLine

__all__ = ["Facts", "Filters", "first_words"]

_REQUEST_MARK = "## My request for Codex:"


@define
class Facts:
    """
    One session's facts; None for what it does not say.
    """

    cwd: str | None = None
    branch: str | None = None
    repository: str | None = None
    model: str | None = None
    originator: str | None = None
    source: str | None = None
    preview: str | None = None

    def add(self, line: RolloutLine) -> None:
        """
        Take the next line. The meta's first word counts, and the model's last.
        """
        payload = line.payload
        if line.type == "session_meta":
            self._add_meta(payload)
        elif line.type == "turn_context":
            self.model = _text(payload.get("model")) or self.model
            self.cwd = self.cwd or _text(payload.get("cwd"))
        elif self.preview is None:
            self.preview = first_words(line)
            if self.cwd is None and line.type == "response_item":
                self.cwd = cwd_in(payload)

    def _add_meta(self, payload: Mapping[str, Any]) -> None:
        source, git = payload.get("source"), payload.get("git")
        git = git if isinstance(git, dict) else {}
        self.cwd = self.cwd or _text(payload.get("cwd"))
        self.branch = self.branch or _text(git.get("branch"))
        self.repository = self.repository or _text(git.get("repository_url"))
        self.originator = self.originator or _text(payload.get("originator"))
        self.source = self.source or _text(next(iter(source), None) if isinstance(source, dict) else source)

    @property
    def is_complete(self) -> bool:
        """More lines would add nothing but another model."""
        return None not in (self.cwd, self.model, self.preview)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def first_words(line: RolloutLine) -> str | None:
    """
    Give what the user says in a line: a prompt in any of the three forms Codex writes it in, or the session's goal.
    """
    text: Any = None
    if line.type == "response_item" and is_prompt(line.payload):
        text = message_text(line.payload)
    elif _is_event(line, "user_message"):
        text = line.payload.get("message")
    elif _is_event(line, "item_completed"):
        item = line.payload.get("item")
        text = message_text(item) if isinstance(item, dict) and item.get("type") == "UserMessage" else None
    elif _is_event(line, "thread_goal_updated"):
        goal = line.payload.get("goal")
        text = goal.get("objective") if isinstance(goal, dict) else None
    return text.rpartition(_REQUEST_MARK)[2].strip() or None if isinstance(text, str) else None


def _is_event(line: RolloutLine, kind: str) -> bool:
    return line.type == "event_msg" and line.payload.get("type") == kind


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
