"""
The facts that the lines of a session state: what happened, in the order of the file.

Read the attributes, do not set them: the same fact may be given to several readers.
"""

from __future__ import annotations

from typing import Any

from rollout.interpret._parts import Image
from rollout.interpret._record import Record

__all__ = [
    "Compacted",
    "Context",
    "Counts",
    "Fact",
    "GoalSet",
    "Notice",
    "PlanChanged",
    "Problem",
    "Prompt",
    "Quiet",
    "Renamed",
    "RolledBack",
    "Said",
    "SessionBegan",
    "Settings",
    "TurnBegan",
    "TurnEnded",
    "Unknown",
    "Usage",
]

Counts = tuple[int, int, int, int, int]
"""Numbers of tokens: input, cached input, output, reasoning output, total."""


class Fact(Record):
    """
    One fact that a line states.

    Attributes:
        number: Number of the line among the lines of the session that are not blank, from 1.
        timestamp: Timestamp of the line, as in the file.
        turn: Index of the turn, from 0; -1 before the first.
        is_copied: Whether the line was copied from another session.
    """

    number: int
    timestamp: str | None
    turn: int
    is_copied: bool


class SessionBegan(Fact):
    """
    The session's own session_meta. A text is None if the meta does not contain it.

    Attributes:
        id: Id of the session.
        started_at: Time of the start.
        source: cli, vscode, exec, mcp, subagent or another value.
        parent_id: Id of the session that started this one as its sub-agent.
        forked_from: Id of the session of which this one is a fork.
        instructions: Instructions for the model; empty if the meta contains none.
        role: ``root``; for a sub-agent, its role: ``review``, ``default`` or another value.
        agent_path: Path of a sub-agent in the tree of agents.
        nickname: Name of a sub-agent.
    """

    id: str
    started_at: str | None = None
    cwd: str | None = None
    branch: str | None = None
    repository: str | None = None
    originator: str | None = None
    cli_version: str | None = None
    source: str | None = None
    model_provider: str | None = None
    parent_id: str | None = None
    forked_from: str | None = None
    instructions: str = ""
    role: str = "root"
    agent_path: str | None = None
    nickname: str | None = None


class Renamed(Fact):
    """The session got a name."""

    name: str


class GoalSet(Fact):
    """The session got a goal."""

    text: str


class TurnBegan(Fact):
    """
    A turn begins with this line.

    Attributes:
        turn_id: Id of the turn; None if the turn began with a prompt.
    """

    turn_id: str | None = None


class TurnEnded(Fact):
    """
    A turn ends with this line.

    Attributes:
        outcome: completed, interrupted or failed.
        duration: Seconds that the agent worked; None if the lines do not state it.
        reason: Reason of an interruption.
    """

    outcome: str
    duration: float | None = None
    reason: str = ""


class Settings(Fact):
    """Settings that apply from this line on; None if the line does not contain one."""

    model: str | None = None
    effort: str | None = None
    cwd: str | None = None


class Prompt(Fact):
    """
    A message that a person, or for a sub-agent another agent, wrote.

    Attributes:
        text: The request, without surroundings such as the open files of an editor.
        words: The whole message.
        images: Images of the message.
        source: person, agent, harness (written by Codex as the task of a review), or history (from a compaction with
            which the file begins).
        is_steering: Whether the message was sent while the turn was running.
        echo_of: Number of the earlier line with the same message; None for a new message.
        confirms: Number of an earlier line that was taken for surroundings, and contains this message; otherwise None.
    """

    text: str
    words: str
    images: tuple[Image, ...] = ()
    source: str = "person"
    is_steering: bool = False
    echo_of: int | None = None
    confirms: int | None = None


class Context(Fact):
    """
    A message of the user or developer that Codex wrote: instructions, environment and the like.

    Attributes:
        kind: Kind of the message: ``environment context``, ``developer`` or another.
        text: The message.
        is_of_user: Whether its role is the user's.
    """

    kind: str
    text: str
    images: tuple[Image, ...] = ()
    is_of_user: bool = True


class Said(Fact):
    """
    Text of an agent or of its reasoning.

    Attributes:
        who: agent, reasoning, or user for words that were spoken.
        text: The text; of reasoning, only its paragraphs that earlier lines do not contain.
        words: All text of the line.
        title: Author and recipient of a message between agents, or ``spoken``.
        echoes: Numbers of the earlier lines that contain this text or paragraphs of it.
    """

    who: str
    text: str
    words: str
    title: str = ""
    images: tuple[Image, ...] = ()
    echoes: tuple[int, ...] = ()


class Usage(Fact):
    """
    Tokens used since the last such fact.

    Attributes:
        counts: Numbers of tokens; not negative.
        model: Model that used them; None if unknown.
    """

    counts: Counts
    model: str | None = None


class Compacted(Fact):
    """
    The history was replaced by a shorter one.

    Attributes:
        text: Summary; empty if the line contains none.
        kept: Number of items of the new history; None if the line does not contain it.
        echo_of: Number of the earlier line about the same compaction.
    """

    text: str = ""
    kept: int | None = None
    echo_of: int | None = None


class RolledBack(Fact):
    """
    The last turns with a prompt were removed from the history.

    Attributes:
        count: Number of turns; 0 if the line states no valid number.
        words: The number as in the line.
    """

    count: int
    words: str = ""


class PlanChanged(Fact):
    """
    The plan of the agent.

    Attributes:
        text: Text of the plan, or the reason for its change.
        steps: Pairs of a step and its status.
    """

    text: str = ""
    steps: tuple[tuple[str, str], ...] = ()


class Problem(Fact):
    """
    An error.

    Attributes:
        title: ``connection`` for an error after which Codex tries again; otherwise empty.
        ends_turn: Whether the turn has failed.
        echo_of: Number of the earlier line that states the same error.
    """

    text: str
    title: str = ""
    ends_turn: bool = False
    echo_of: int | None = None


class Notice(Fact):
    """
    An event of the session for a reader, with a title such as ``review started``.
    """

    title: str
    text: str = ""


class Unknown(Fact):
    """
    A line of a kind that this package does not know.
    """

    type: str
    payload: Any


class Quiet(Fact):
    """
    A line without content for a reader.
    """

    type: str
