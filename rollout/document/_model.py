"""
The parts of a document, independent of how it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import define, field, frozen

from rollout import schema
from rollout.interpret import FileChange, Image, SessionFacts
from rollout.stats import SessionStats, Tokens

__all__ = ["ITEM_KINDS", "Call", "Document", "FileChange", "Image", "Item", "PlanStep", "Turn"]

ITEM_KINDS = (
    "user", "agent", "reasoning", "context", "call", "plan", "compaction", "interruption", "error", "notice", "other",
    "unreadable",
)  # fmt: skip
"""
The kinds of items. `context`: instructions and environment, not written by a person; `notice`: an event of the
session; `other`: a kind unknown to this package; `unreadable`: a line that could not be read.
"""


@frozen
class PlanStep:
    """
    A step of a plan; *status* is pending, in_progress, completed, or a value of a later Codex.
    """

    text: str
    status: str


@define
class Call:
    """
    A tool call and its outcome.

    Attributes:
        tool: The tool's name; empty for an output whose call is not in the file.
        call_id: The call's id; None if the file has none.
        input: The input for a reader: a command, a patch, a query, or the arguments as JSON.
        language: The language of the input, a Pygments name: bash, json, javascript; empty for plain text.
        cwd: The folder in which a command ran; None if unknown.
        output: Output of the tool without the header that Codex adds; None if no output was recorded yet.
        exit_code: The exit code of a command; None for other calls, and before the command has ended.
        is_failed: Whether the call failed.
        duration: Seconds that the call took, as measured by Codex; None if not recorded.
        elapsed: Seconds from the line of the call to the line of its output; None without timestamps or output.
        output_line: Key of the line with the output; None if no output was recorded yet.
        failure: Reason of the failure: ``exit code 1``, denied, aborted, timeout, unsupported, script failed or error;
            empty if the call did not fail.
        parent: Key of the item of the script that made this call; None for a call of the model.
        images: The images in the output.
        changes: The changes of files, if the call is a patch.
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
    failure: str = ""
    parent: str | None = None
    images: tuple[Image, ...] = ()
    changes: tuple[FileChange, ...] = ()

    @property
    def seconds(self) -> float | None:
        """Seconds that the call took: *duration*, or *elapsed* if it is unknown."""
        return self.elapsed if self.duration is None else self.duration


@define
class Item:
    """
    One entry of a document: a message, a call, a notice, or another of `ITEM_KINDS`.

    Attributes:
        key: The number of the item's first line in the file, from 1, as text: ``12``; ``12-2`` for the second item of
            a line; ``b12`` for the twelfth line that a fork inherited. It does not change when the file grows.
        kind: One of `ITEM_KINDS`.
        title: The kind of a notice, error, context or other item; the author of a message from another agent.
        text: Markdown for user, agent, reasoning, plan, compaction; JSON for `other`; otherwise plain text. For calls,
            only ``update_plan`` has a text: the reason for the change of the plan.
        timestamp: The timestamp of the first line, as in the file.
        gap: Seconds since the previous item, which may be in another turn; None if unknown.
        lines: The keys of all lines of the item: its own, its echoes, its output.
        call: The tool call, for an item of that kind.
        plan: The steps of a plan; an item of a call of ``update_plan`` has *call* and *plan*.
        images: The images of a message.
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
    A prompt and the work that followed from it.

    Attributes:
        number: From 1; the items before the first prompt are turn 0.
        prompt: The user's request, without what Codex or an editor adds; None for a turn that began without a prompt.
        items: The items that a reader sees, in order, including the prompt.
        others: The keys of lines without content for a reader (counters, settings, marks), by kind: ``token_count``,
            ``turn_context``. Together with `Item.lines`, these are all lines.
        model: The model that answered; None if unknown.
        started_at: The timestamp of the first line.
        ended_at: The timestamp of the last line.
        duration: Seconds that the agent worked, if the lines state it, otherwise from *started_at* to *ended_at*.
        tokens: The tokens used in the turn; None if no line states them.
        status: ``completed``, ``interrupted``, ``failed``; None while the turn runs, or if unknown.
        is_rolled_back: Whether the user rolled the turn back.
        is_inherited: Whether the turn belongs to the session that this session continues by reference.
    """

    number: int
    prompt: str | None = None
    items: list[Item] = field(factory=list)
    others: dict[str, list[str]] = field(factory=dict)
    model: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    duration: float | None = None
    tokens: Tokens | None = None
    status: str | None = None
    is_rolled_back: bool = False
    is_inherited: bool = False


@define
class Document:
    """
    A session for readers: the whole content of its file, in turns.

    Attributes:
        session_id: The session's id.
        path: The session's file.
        meta: The first session_meta.
        turns: The turns in order; turn 0 only if there are lines before the first prompt.
        stats: Statistics of the session's own lines.
        line_count: The number of lines of the file, including unreadable lines, without blank lines.
        inherited_count: The number of lines of the session that this session continues by reference.
        missing_base: The id of that session, if its file is missing.
        facts: Title, folder, model and similar facts of the session's own lines.
        token_growth: Pairs of a timestamp and the number of tokens used until then, one pair for each increase.
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
    facts: SessionFacts = field(factory=SessionFacts, repr=False)

    @property
    def title(self) -> str:
        """The first request on one line, at most 120 characters; the id for a session without a prompt."""
        return self.facts.title or self.session_id

    @property
    def others(self) -> Mapping[str, int]:
        """The numbers of lines without content for a reader, by kind."""
        counts: dict[str, int] = {}
        for turn in self.turns:
            for kind, keys in turn.others.items():
                counts[kind] = counts.get(kind, 0) + len(keys)
        return counts
