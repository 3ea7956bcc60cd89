"""
What a document consists of. Knows nothing of how it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import define, field, frozen

from rollout import schema
from rollout.stats import SessionStats, Tokens

__all__ = ["ITEM_KINDS", "Call", "Document", "FileChange", "Image", "Item", "PlanStep", "Turn"]

ITEM_KINDS = (
    "user", "agent", "reasoning", "context", "call", "plan", "compaction", "interruption", "error", "notice", "other",
    "unreadable",
)  # fmt: skip
"""
What an item is: `context` are standing orders and surroundings that no person wrote, `notice` what happened to the
session, `other` what this package does not know, `unreadable` a line that could not be read.
"""


@frozen
class Image:
    """
    An image of a message or an output.

    Attributes:
        source: Where it is: a data URL, an address on the net, or a path. Never to be loaded unasked.
        media_type: Of a data URL that holds a picture no browser runs anything of (PNG, JPEG, GIF, WebP); else None.
    """

    source: str = field(repr=False)
    media_type: str | None = None


@frozen
class PlanStep:
    """
    A step of a plan; *status* is pending, in_progress, completed, or what a later Codex says.
    """

    text: str
    status: str


@frozen
class FileChange:
    """
    What a patch does to a file.

    Attributes:
        path: The file, as the patch names it.
        kind: add, delete or update.
        diff: Lines that begin with ``+``, ``-``, a space or ``@@``, without the headings of a diff.
        moved_to: Its new path; None if it stays.
    """

    path: str
    kind: str
    diff: str
    moved_to: str | None = None

    @property
    def counts(self) -> tuple[int, int]:
        """How many lines are added, and how many removed."""
        marks = [line[:1] for line in self.diff.split("\n")]
        return marks.count("+"), marks.count("-")


@define
class Call:
    """
    A tool call and how it ended.

    Attributes:
        tool: Its name.
        call_id: Its id; None where a Codex wrote none.
        input: What it was given, for a reader: a command, a patch, a query, or its arguments as JSON.
        language: What the input is written in, as Pygments calls it: bash, json, diff, python; empty for plain text.
        cwd: Where a command ran; None if it is not said.
        output: What it answered, without what Codex says about it; None as long as it has not answered.
        exit_code: Of the command; None where it was none, or has not ended.
        is_failed: It ended with another code than 0, or says that it failed.
        duration: Seconds that it took, as Codex measured it; None if it is not said.
        elapsed: Seconds from the call's line to the answer's; None if they have no timestamps, or there is no answer.
        output_line: The key of the line that has the output; None as long as there is none.
        images: Among the output.
        changes: What it does to files, if it is a patch.
    """

    tool: str
    call_id: str | None = None
    input: str = ""
    language: str = ""
    cwd: str | None = None
    output: str | None = None
    exit_code: int | None = None
    is_failed: bool = False
    duration: float | None = None
    elapsed: float | None = None
    output_line: str | None = None
    images: tuple[Image, ...] = ()
    changes: tuple[FileChange, ...] = ()


@define
class Item:
    """
    One thing that a reader sees.

    Attributes:
        key: The number of its first line in the file, from 1, as text: ``12``; ``12-2`` for the second thing it says;
            ``b12`` for the twelfth line of what a fork inherited. It stays the same when the file grows.
        kind: One of `ITEM_KINDS`.
        title: What kind of notice, error, context or other thing it is; the author of a message of another agent.
        text: What it says: Markdown of user, agent, reasoning, plan, compaction; JSON of `other`; plain text elsewhere.
            Of a call only of ``update_plan``: why the plan has changed.
        timestamp: Of its first line, as it stands in the file.
        gap: Seconds since the item before it, in whichever turn; None if that is not known.
        lines: The keys of all lines that say it: itself, its echoes, its answer.
        call: The tool call, if it is one.
        plan: The steps, if it is a plan; a call of ``update_plan`` has both.
        images: Of a message.
    """

    key: str
    kind: str
    title: str = ""
    text: str = ""
    timestamp: str | None = None
    gap: float | None = None
    lines: list[str] = field(factory=list)
    call: Call | None = None
    plan: tuple[PlanStep, ...] = ()
    images: tuple[Image, ...] = ()


@define
class Turn:
    """
    What followed from one prompt.

    Attributes:
        number: From 1; 0 is what stands before the first prompt.
        prompt: The user's words; None where a turn began without any.
        items: What a reader sees, in order, the prompt among them.
        others: The lines that add nothing for a reader (counters, settings, marks): for each kind, as ``token_count``
            or ``turn_context``, their keys. Together with `Item.lines` these are all lines.
        model: The model that answered; None if it is not said.
        started_at: Timestamp of its first line.
        ended_at: Timestamp of its last line.
        duration: Seconds it ran, as Codex measured them, else between these.
        tokens: Used in it.
        status: ``completed``, ``interrupted``, ``failed``; None while it runs, or if it is not said.
        is_rolled_back: The user took it back.
        is_inherited: It is another session's, which this one goes on from by reference.
    """

    number: int
    prompt: str | None = None
    items: list[Item] = field(factory=list)
    others: dict[str, list[str]] = field(factory=dict)
    model: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    duration: float | None = None
    tokens: Tokens = Tokens()
    status: str | None = None
    is_rolled_back: bool = False
    is_inherited: bool = False


@define
class Document:
    """
    A session for a reader: everything that its file says, in turns.

    Attributes:
        session_id: Its id.
        path: Its file.
        meta: Its first session_meta.
        turns: In order; number 0 only if something stands before the first.
        stats: Counts of the session's own lines.
        line_count: Lines of its file, those that could not be read among them, blank ones not.
        inherited_count: Lines before them, of the session it goes on from by reference.
        missing_base: The id of that session, if its file is not there.
        token_growth: Timestamps and the sum of tokens used until then: one pair for each time that it grew.
    """

    session_id: str
    path: Path
    meta: schema.SessionMeta
    turns: list[Turn] = field(factory=list)
    stats: SessionStats = field(factory=SessionStats)
    line_count: int = 0
    inherited_count: int = 0
    missing_base: str | None = None
    token_growth: list[tuple[str, int]] = field(factory=list)

    @property
    def title(self) -> str:
        """The first line of the first prompt; the id if nobody asked anything."""
        said = next((turn.prompt.strip() for turn in self.turns if turn.prompt and turn.prompt.strip()), "")
        return said.split("\n", 1)[0] or self.session_id

    @property
    def others(self) -> Mapping[str, int]:
        """How many lines are on no page because they add nothing for a reader, by kind."""
        counts: dict[str, int] = {}
        for turn in self.turns:
            for kind, keys in turn.others.items():
                counts[kind] = counts.get(kind, 0) + len(keys)
        return counts
