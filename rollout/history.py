"""
A session loaded again: its lines, its turns, and what of it goes to a model.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from attrs import field, frozen

from rollout import schema
from rollout._display import Displayed
from rollout._lineage import base_of, inherited_lines
from rollout._prompts import is_context, is_prompt, with_recovered_cwd
from rollout._turns import Standing, Turns, prompt_of
from rollout.codec import RolloutLine
from rollout.document import Document, DocumentBuilder
from rollout.errors import MissingSessionMetaError, SessionNotFoundError
from rollout.finding import locate, use_found
from rollout.layout import StrPath, home_folder, home_of
from rollout.reader import LineReader, SkippedLine, read_lines
from rollout.schema import CALL_OUTPUTS

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

__all__ = ["History", "Turn", "load_history"]

_OUTPUTS = frozenset(CALL_OUTPUTS.values())
# What a model is not sent: snapshots of the folder, requests of the client, and what is not known.
_SENT = frozenset({
    *CALL_OUTPUTS, *_OUTPUTS, "message", "reasoning", "web_search_call", "agent_message", "tool_search_call",
    "tool_search_output", "image_generation_call", "compaction", "compaction_summary", "context_compaction",
})  # fmt: skip
_UNSENT_KEY = "internal_chat_message_metadata_passthrough"


@frozen
class Turn:
    """
    What followed from one message of the user.

    Attributes:
        prompt: The user's words; None where a turn began without any.
        lines: All lines from there to the next turn.
        turn_id: The turn's id, in sessions of 2026.
        is_rolled_back: The user took it back; it is no longer part of the history.
    """

    prompt: str | None
    lines: tuple[RolloutLine, ...] = field(repr=lambda lines: f"<{len(lines)} lines>")
    turn_id: str | None = None
    is_rolled_back: bool = False


@frozen
class History(Displayed):
    """
    A session as its file has it.

    Attributes:
        path: The file.
        session_id: The id in the first session_meta; it, not the file's name, is the session's.
        meta: The first session_meta. In files before 0.32 its *cwd* is what the first environment context says.
        lines: All readable lines.
        skipped: The lines that could not be read, and why.
        inherited: The lines before them, of the session that Codex forked this one from by reference.
        missing_base: The id of that session, if its file is not there: what this one has from it is missing.
        numbers: The number of each line in the file, from 1.
    """

    path: Path
    session_id: str
    meta: schema.SessionMeta
    lines: tuple[RolloutLine, ...] = field(repr=lambda lines: f"<{len(lines)} lines>")
    skipped: tuple[SkippedLine, ...] = ()
    inherited: tuple[RolloutLine, ...] = field(default=(), repr=lambda lines: f"<{len(lines)} lines>")
    missing_base: str | None = None
    numbers: Sequence[int] = field(default=(), repr=False)

    @property
    def items(self) -> tuple[schema.RolloutItem, ...]:
        """The typed items of all lines, made anew at every access."""
        return tuple(line.item for line in self.lines)

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns in order, those rolled back and those inherited among them."""
        return tuple(_turns((*self.inherited, *self.lines)))

    def numbered(self) -> Iterator[tuple[str, RolloutLine]]:
        """
        Give each line with its key in the document: its number in the file; ``b1``, ``b2`` for those inherited.
        """
        yield from ((f"b{number}", line) for number, line in enumerate(self.inherited, 1))
        yield from ((str(number), line) for number, line in zip(self.numbers, self.lines, strict=True))

    def document(self) -> Document:
        """
        Make the session's document for readers: turns, calls with their outputs, everything said once.
        """
        builder = DocumentBuilder(self.path)
        for number, line in enumerate(self.inherited, 1):
            builder.add(line, number, is_inherited=True)
        skipped = deque(self.skipped)
        for number, line in zip(self.numbers, self.lines, strict=True):
            while skipped and skipped[0].lineno < number:
                builder.add_unreadable(skipped.popleft())
            builder.add(line, number)
        for unreadable in skipped:
            builder.add_unreadable(unreadable)
        document = builder.document
        assert document is not None  # noqa: S101 -- a history has a session_meta
        document.missing_base = self.missing_base
        return document

    def to_dataframe(self) -> pd.DataFrame:
        """
        Make a table of pandas of what a reader sees of the session, one item of its document a row, in order.

        Returns:
            A table whose columns have the same dtypes if it is empty. What is not known is missing (``<NA>``, ``NaT``,
            NaN), as is what cannot be: the exit code of a message, an output before it is there.

            * *key* (string): the number of the item's first line in the file; ``b12`` for one that was inherited.
            * *turn* (Int64): the turn's number, from 1; 0 before the first prompt.
            * *kind* (string): user, agent, call, or another of `rollout.document.ITEM_KINDS`.
            * *title*, *tool* (string): what kind of notice or error it is; the tool that is called.
            * *timestamp* (datetime64[us, UTC]): of its first line.
            * *gap_seconds* (float64): seconds since the item before it.
            * *duration_seconds* (float64): seconds that a call took, measured or else until its answer.
            * *exit_code* (Int64), *is_failed* (boolean): of a call that was answered.
            * *text*, *output* (string): what it says, of a call what the tool was given; what the tool answered.
            * *characters*, *images*, *lines* (Int64): how many it has, of text and output; lines of the file.
            * *total_tokens* (Int64): tokens that the session had used when it was recorded.
            * *model* (string): the model of its turn.
            * *is_rolled_back*, *is_inherited* (boolean): its turn was taken back; is another session's.

        Raises:
            ModuleNotFoundError: The extra ``pandas`` is not installed.
        """
        from rollout._frame import document_frame  # noqa: PLC0415 -- an extra

        return document_frame(self.document())

    def _shown(self) -> dict[str, str]:
        from rollout._notebook import history_bundle  # noqa: PLC0415 -- for notebooks

        return history_bundle(self.document())

    def to_input(self) -> list[dict[str, Any]]:
        """
        Give the response items to send to a model to go on, as Codex 0.169.0 sends them.

        Turns rolled back are left out. A compaction stands for what it replaced: its own *replacement_history*, or
        else the user's words and the summary. A call without output gets the output "aborted", and an output
        without call is left out, as services refuse either.
        """
        sent = _Sent()
        for line in _effective((*self.inherited, *self.lines)):
            if line.type == "compacted":
                sent.compact(line.payload)
            elif _is_sent(line.payload):
                sent.items.append(line.payload)
        return [{k: v for k, v in item.items() if k != _UNSENT_KEY} for item in _paired(sent.items)]


def load_history(path_or_id: StrPath, *, home: StrPath | None = None) -> History:
    """
    Load a session. Needs no lock and no writer; what cannot be read is skipped and counted.

    Args:
        path_or_id: The file (plain or ``.jsonl.zst``), or the session's id or the beginning of it.
        home: Where to look for an id; by default ``CODEX_HOME``, else ``~/.codex``.

    Raises:
        SessionNotFoundError: No session has this id.
        AmbiguousSessionError: Several ids begin so.
        MissingSessionMetaError: The file is empty, or has no session_meta.
        OSError: The file cannot be read.
    """
    return history_of(use_found(lambda: locate(path_or_id, home), read_lines), home)


def history_of(reader: LineReader, home: StrPath | None = None) -> History:
    """
    Load a session from a reader of its file, as `load_history` does.
    """
    path = reader.path
    numbers = array("Q")
    lines = tuple(_numbered(reader, numbers))
    meta = next((item for line in lines if isinstance(item := _meta_item(line), schema.SessionMeta)), None)
    if meta is None:
        raise MissingSessionMetaError(path, "no session_meta" if lines or reader.skipped else "empty session file")
    payloads = (line.payload for line in lines if line.type == "response_item")
    base, missing_base = _inherited(lines, home_of(path) or home_folder(home))
    meta = with_recovered_cwd(meta, payloads)
    return History(path, meta.id, meta, lines, tuple(reader.skipped), base, missing_base, numbers)


def _numbered(reader: LineReader, numbers: array[int]) -> Iterator[RolloutLine]:
    for line in reader:
        numbers.append(reader.lineno)
        yield line


def _inherited(lines: Sequence[RolloutLine], home: Path) -> tuple[tuple[RolloutLine, ...], str | None]:
    meta = next(line.payload for line in lines if line.type == "session_meta")
    try:
        return tuple(inherited_lines(meta, home)), None
    except (SessionNotFoundError, OSError, ImportError):
        return (), base_of(meta)


def _meta_item(line: RolloutLine) -> schema.RolloutItem | None:
    return line.item if line.type == "session_meta" else None


def _effective(lines: Iterable[RolloutLine]) -> list[RolloutLine]:
    """
    Return the lines of the history, without those that were rolled back.
    """
    kept = _Kept()
    for line in lines:
        if line.type in ("response_item", "compacted"):
            kept.add(line)
        elif line.type == "event_msg" and line.payload.get("type") == "thread_rolled_back":
            kept.roll_back(line.payload.get("num_turns"))
    return kept.lines


@attrs.define
class _Kept:
    """
    The lines of a history so far. Each line is examined once, when it is added, so that the cost of a rollback depends
    only on the lines that it removes.
    """

    lines: list[RolloutLine] = field(factory=list)
    # Whether each line is context; then the indices of the lines that are prompts.
    are_contexts: list[bool] = field(factory=list)
    prompts: list[int] = field(factory=list)

    def add(self, line: RolloutLine) -> None:
        is_item = line.type == "response_item"
        if is_item and is_prompt(line.payload):
            self.prompts.append(len(self.lines))
        self.are_contexts.append(is_item and is_context(line.payload))
        self.lines.append(line)

    def roll_back(self, count: Any) -> None:
        """
        Remove the last *count* turns. Each begins at the user's prompt, or at the context directly before it.

        The lines before the very first prompt stay, however many turns are rolled back.
        """
        if not self.prompts or type(count) is not int or count < 1:
            return
        first = max(len(self.prompts) - count, 0)
        start = self.prompts[first]
        while first and self.are_contexts[start - 1]:
            start -= 1
        del self.prompts[first:], self.lines[start:], self.are_contexts[start:]


@attrs.define
class _Sent:
    """
    The items that are sent to a model, after all compactions of the session.
    """

    items: list[dict[str, Any]] = field(factory=list)
    # Number of items, from the first, that are known to be prompts: no later compaction examines them again.
    prompt_count: int = 0

    def compact(self, payload: dict[str, Any]) -> None:
        """
        Replace all items by the history that a compaction contains, or else by the user's prompts and its summary.
        """
        replacement = payload.get("replacement_history")
        if isinstance(replacement, list):
            self.items = [item for item in replacement if isinstance(item, dict) and _is_sent(item)]
            self.prompt_count = 0
            return
        self.items[self.prompt_count :] = filter(is_prompt, self.items[self.prompt_count :])
        self.prompt_count = len(self.items)
        content = [{"type": "input_text", "text": str(payload.get("message", ""))}]
        self.items.append({"type": "message", "role": "user", "content": content})


def _is_sent(item: dict[str, Any]) -> bool:
    kind = item.get("type")
    return isinstance(kind, str) and kind in _SENT


def _paired(items: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """
    Give every call an output, and leave out outputs that answer none.
    """
    items = list(items)
    # As text, since a damaged file may hold anything in its place.
    calls = {str(item.get("call_id")) for item in items if item["type"] in CALL_OUTPUTS}
    answered = {str(item.get("call_id")) for item in items if item["type"] in _OUTPUTS}
    for item in items:
        call_id = str(item.get("call_id"))
        if item["type"] in _OUTPUTS and call_id not in calls:
            continue
        yield item
        if item["type"] in CALL_OUTPUTS and call_id not in answered:
            yield {"type": CALL_OUTPUTS[item["type"]], "call_id": item.get("call_id"), "output": "aborted"}


@attrs.define
class _OpenTurn:
    lines: list[RolloutLine] = field(factory=list)
    prompt: str | None = None
    turn_id: str | None = None
    is_rolled_back: bool = False


def _turns(lines: Iterable[RolloutLine]) -> Iterator[Turn]:
    turns: list[_OpenTurn] = []
    beginnings = Turns()
    standing: Standing[_OpenTurn] = Standing()
    for line in lines:
        if beginnings.begins(line):
            turns.append(_OpenTurn(turn_id=line.payload.get("turn_id") if line.type == "event_msg" else None))
        if not turns:
            continue
        turns[-1].lines.append(line)
        turns[-1].prompt = turns[-1].prompt or prompt_of(line)
        standing.note(turns[-1])
        if line.type == "event_msg" and line.payload.get("type") == "thread_rolled_back":
            standing.take_back(line.payload.get("num_turns"))
    for turn in turns:
        yield Turn(turn.prompt, tuple(turn.lines), turn.turn_id, turn.is_rolled_back)
