"""
Facts about a session as a whole, collected line by line, by which sessions are filtered, sorted and shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import define, fields, frozen

from rollout.codec import RolloutLine
from rollout.interpret._prompts import cwd_in, is_prompt, message_text

__all__ = ["Filters", "SessionFacts"]

_REQUEST_MARK = "## My request for Codex:"


@define
class _Origin:
    """
    The folder, repository, model and program of a session; in `Filters` the conditions for them.
    """

    cwd: str | None = None
    branch: str | None = None
    repository: str | None = None
    model: str | None = None
    originator: str | None = None
    source: str | None = None


@define
class SessionFacts(_Origin):
    """
    The facts of one session; None for a fact that its lines do not contain.
    """

    preview: str | None = None

    def add(self, line: RolloutLine) -> None:
        """
        Add the next line. The first value of each fact is kept, except for *model*: its last value is kept.
        """
        payload = line.payload
        if line.type == "session_meta":
            self._add_meta(payload)
        elif line.type == "turn_context":
            self.model = _text(payload.get("model")) or self.model
            self.cwd = self.cwd or _text(payload.get("cwd"))
        elif self.preview is None:
            self.preview = _user_text(line)
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
        """Whether further lines can change only the model."""
        return None not in (self.cwd, self.model, self.preview)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _user_text(line: RolloutLine) -> str | None:
    """
    Return the user's text in a line: a prompt in one of the three forms that Codex writes, or the goal of the session.
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
class Filters(_Origin):
    """
    Conditions for sessions and for their lines.

    Attributes:
        cwd: The session's folder, or a folder above it.
        branch: The git branch.
        repository: A part of the repository's URL.
        model: The name of the model.
        originator: The program that recorded the session.
        source: cli, vscode, exec, mcp, or another value.
        since: Earliest time of a line, or of the last change of a session; with a time zone.
        until: Latest time of a line, or of the start of a session; with a time zone.
        archived: True for only archived sessions, False for only sessions that are not archived, None for both.
        kind: user, agent, reasoning, call, output or summary: only texts of this kind.
        tool: Only calls and outputs of this tool.
        failed: Only outputs of commands that failed.
    """

    since: datetime | None = None
    until: datetime | None = None
    archived: bool | None = None
    kind: str | None = None
    tool: str | None = None
    failed: bool = False

    @property
    def needs_facts(self) -> bool:
        """Whether a condition needs the facts of a session, for which its file must be opened."""
        return any(getattr(self, condition.name) is not None for condition in fields(_Origin))

    @property
    def needs_texts(self) -> bool:
        """Whether a condition applies to single texts of a session."""
        return self.failed or self.kind is not None or self.tool is not None

    def matches(self, facts: SessionFacts) -> bool:
        """
        Return whether the facts of a session meet the conditions.
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
