"""
Facts about a session as a whole, collected line by line, by which sessions are filtered, sorted and shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from attrs import define, fields, frozen

from rollout._text import plain_text
from rollout.codec import RolloutLine
from rollout.home import RolloutName, is_below
from rollout.interpret._agents import ROOT
from rollout.interpret._prompts import folder_in, title_of

if TYPE_CHECKING:
    from rollout.interpret._facts import Context, Fact, GoalSet, Prompt, Renamed, SessionBegan, Settings
    from rollout.schema import SessionMeta

__all__ = [
    "Filters",
    "SessionFacts",
    "is_own_meta",
    "may_state_latest",
    "may_state_name",
    "meta_of_name",
    "states_latest",
    "with_recovered_cwd",
]

_PREVIEW_SIZE = 500
# The lines of which the latest counts, and how to find them without decoding.
_LATEST_EVENTS = ("thread_settings_applied", "thread_name_updated")
_LATEST_MARKS = tuple(b'"%s"' % kind.encode() for kind in ("turn_context", *_LATEST_EVENTS))


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

    Attributes:
        preview: The first request of the user, otherwise the goal; at most 500 characters.
        parent_id: Id of the session that has started this one as its sub-agent.
        role: Role of a sub-agent: ``review``, ``default`` or another value; None for other sessions.
        nickname: Name of a sub-agent.
        given_name: Name that the session's own file states, as Codex wrote it in spring 2026; see `rollout.store`.
        named_at: Timestamp of the line with this name.
    """

    preview: str | None = None
    parent_id: str | None = None
    role: str | None = None
    nickname: str | None = None
    given_name: str | None = None
    named_at: str | None = None

    def add(self, facts: Iterable[Fact]) -> None:
        """
        Add the facts of the next line. The first value of each fact is kept, but of *model* and the name the last one.
        """
        for fact in facts:
            reader = _READERS.get(type(fact).__name__)
            if reader is not None:
                reader(self, fact)

    @property
    def title(self) -> str | None:
        """The preview on one line, at most 120 characters."""
        return title_of(self.preview) if self.preview is not None else None

    @property
    def is_complete(self) -> bool:
        """Whether further lines can change only the model and the name."""
        return None not in (self.cwd, self.model, self.preview)


def _add_session(own: SessionFacts, fact: SessionBegan) -> None:
    own.cwd = own.cwd or fact.cwd
    own.branch, own.repository = fact.branch, fact.repository
    own.originator, own.source = fact.originator, fact.source
    own.parent_id, own.nickname = fact.parent_id, fact.nickname
    own.role = None if fact.role == ROOT else fact.role


def _add_settings(own: SessionFacts, fact: Settings) -> None:
    own.model = fact.model or own.model
    own.cwd = own.cwd or fact.cwd


def _add_context(own: SessionFacts, fact: Context) -> None:
    if own.cwd is None and fact.is_of_user:
        own.cwd = folder_in(fact.text)


def _add_name(own: SessionFacts, fact: Renamed) -> None:
    if not fact.is_copied:
        own.given_name, own.named_at = fact.name, fact.timestamp


def _add_goal(own: SessionFacts, fact: GoalSet) -> None:
    own.preview = own.preview or _preview_of(fact.text)


def _add_prompt(own: SessionFacts, fact: Prompt) -> None:
    # A sub-agent has a task of its own, even if it was given the history of its parent.
    if own.preview is None and not (fact.is_copied and fact.source in ("agent", "harness")):
        own.preview = _preview_of(fact.text)


def _preview_of(text: str) -> str | None:
    return plain_text(text.strip()[:_PREVIEW_SIZE]) or None


# By the names of the classes: a list of sessions does not import them, which takes 20 ms.
_READERS: dict[str, Callable[[SessionFacts, Any], None]] = {
    "SessionBegan": _add_session,
    "Settings": _add_settings,
    "Context": _add_context,
    "Prompt": _add_prompt,
    "GoalSet": _add_goal,
    "Renamed": _add_name,
}


def states_latest(line: RolloutLine) -> bool:
    """
    Return whether a line is of a type that states the model or the name, of which the latest counts.
    """
    return line.type == "turn_context" or line.payload.get("type") in _LATEST_EVENTS


def may_state_latest(raw: bytes) -> bool:
    """
    Return whether a line may state the model or the name, given its bytes; without decoding it.
    """
    return any(mark in raw for mark in _LATEST_MARKS)


def may_state_name(raw: bytes) -> bool:
    """
    Return whether lines may state a name, given their bytes; without decoding them.
    """
    return b'"thread_name_updated"' in raw


def is_own_meta(session_id: str, path: Path, *, is_first: bool) -> bool:
    """
    Return whether the first readable meta of a file is that of its session: after a meta that cannot be read, that of
    another session may follow, from which lines were copied.

    Args:
        session_id: Id in the meta.
        path: The file.
        is_first: Whether the meta is the first line.
    """
    name = RolloutName.parse(path)
    return is_first or name is None or session_id.lower() == name.session_id


def meta_of_name(path: Path) -> SessionMeta | None:
    """
    Return a meta with the values in a file's name, for a file whose own meta cannot be read; None for other names.
    """
    from rollout.schema import SessionMeta  # noqa: PLC0415 -- 50 ms, for damaged files only

    name = RolloutName.parse(path)
    if name is None:
        return None
    day, _, clock = name.timestamp.partition("T")
    return SessionMeta(id=name.session_id, timestamp=f"{day}T{clock.replace('-', ':')}")


def with_recovered_cwd(meta: SessionMeta, lines: Iterable[RolloutLine]) -> SessionMeta:
    """
    Return a meta with a cwd. Versions before 0.32 wrote no cwd; then it is taken from the first environment context.
    """
    if meta.cwd is not None:
        return meta
    from rollout.interpret._interpreter import Interpreter  # noqa: PLC0415 -- only for files of 2025

    facts, interpreter = SessionFacts(), Interpreter(has_texts=False)
    for line in lines:
        if line.type == "response_item":
            facts.add(interpreter.feed(line))
            if facts.cwd is not None:
                break
    return attrs.evolve(meta, cwd=facts.cwd)


@frozen
class Filters(_Origin):
    """
    Conditions for sessions and for their lines.

    Attributes:
        cwd: The session's folder, or a folder above it; of Windows in any spelling.
        branch: The git branch.
        repository: A part of the repository's URL.
        model: The name of the model.
        originator: The program that recorded the session.
        source: cli, vscode, exec, mcp, or another value.
        since: Earliest time of a line, or of the last line of a session; with a time zone.
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
        return facts.cwd is not None and is_below(facts.cwd, self.cwd)
