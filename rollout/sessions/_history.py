"""
A loaded session: its lines, its turns, and the items to send to a model.
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
from rollout.codec import RolloutLine
from rollout.document import Document, DocumentBuilder
from rollout.errors import MissingSessionMetaError, SessionNotFoundError
from rollout.home import StrPath, find_and_use, home_folder, home_of, locate
from rollout.interpret import ActiveTurns, TurnDetector, is_context, is_prompt, prompt_of, with_recovered_cwd
from rollout.reading import LineReader, SkippedLine, base_of, inherited_lines, read_lines
from rollout.schema import CALL_OUTPUTS

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

__all__ = ["History", "Turn", "load_history"]

_OUTPUTS = frozenset(CALL_OUTPUTS.values())
# Types of items that are sent to a model. Snapshots of the folder, requests of the client and unknown types are not.
_SENT_TYPES = frozenset({
    *CALL_OUTPUTS, *_OUTPUTS, "message", "reasoning", "web_search_call", "agent_message", "tool_search_call",
    "tool_search_output", "image_generation_call", "compaction", "compaction_summary", "context_compaction",
})  # fmt: skip
_UNSENT_KEY = "internal_chat_message_metadata_passthrough"


@frozen
class Turn:
    """
    One turn: a message of the user, and everything up to the next one.

    Attributes:
        prompt: Text of the user; None if the turn began without a prompt.
        lines: All lines of the turn.
        turn_id: Id of the turn, in sessions of 2026.
        is_rolled_back: Whether the turn was rolled back; it is then no longer part of the history.
    """

    prompt: str | None
    lines: tuple[RolloutLine, ...] = field(repr=lambda lines: f"<{len(lines)} lines>")
    turn_id: str | None = None
    is_rolled_back: bool = False


@frozen
class History:
    """
    The contents of a session's file.

    Attributes:
        path: Path of the file.
        session_id: Id in the first session_meta. This id, not the file name, identifies the session.
        meta: First session_meta. In files before 0.32 its *cwd* comes from the first environment context.
        lines: All readable lines.
        skipped: Lines that could not be read, with the reasons.
        inherited: Lines before *lines*, from the session from which Codex forked this session by reference.
        missing_base: Id of that session if its file is missing; *inherited* is then empty.
        numbers: Number of each line in the file, from 1.
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
        """Typed items of all lines, built at every access."""
        return tuple(line.item for line in self.lines)

    @property
    def turns(self) -> tuple[Turn, ...]:
        """All turns in order, including rolled back and inherited ones."""
        return tuple(_turns((*self.inherited, *self.lines)))

    def numbered(self) -> Iterator[tuple[str, RolloutLine]]:
        """
        Yield each line with its key in the document: its number in the file; ``b1``, ``b2`` for inherited lines.
        """
        yield from ((f"b{number}", line) for number, line in enumerate(self.inherited, 1))
        yield from ((str(number), line) for number, line in zip(self.numbers, self.lines, strict=True))

    def document(self) -> Document:
        """
        Return the session as a document for readers: turns, calls with their outputs, each text once.
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
        Return a pandas table of the session's document, one row for each item, in order.

        Returns:
            A table whose columns have the same dtypes if it is empty. Unknown values are missing (``<NA>``, ``NaT``,
            NaN), as are values that do not apply: the exit code of a message, the output of a call without output.

            * *key* (string): number of the item's first line in the file; ``b12`` for an inherited line.
            * *turn* (Int64): number of the turn, from 1; 0 before the first prompt.
            * *kind* (string): user, agent, call, or another of `rollout.document.ITEM_KINDS`.
            * *title*, *tool* (string): kind of a notice or error; name of the called tool.
            * *timestamp* (datetime64[us, UTC]): time of the first line.
            * *gap_seconds* (float64): seconds since the previous item.
            * *duration_seconds* (float64): measured seconds of a call, otherwise seconds until its output.
            * *exit_code* (Int64), *is_failed* (boolean): result of a call with an output.
            * *text*, *output* (string): text of the item, or input of the tool; output of the tool.
            * *characters*, *images*, *lines* (Int64): number of characters of text and output, of images, and of lines
              in the file.
            * *total_tokens* (Int64): tokens that the session had used when the item was recorded.
            * *model* (string): model of the turn.
            * *is_rolled_back*, *is_inherited* (boolean): whether the turn was rolled back; whether it is from another
              session.

        Raises:
            ModuleNotFoundError: The extra ``pandas`` is not installed.
        """
        from rollout.document import document_frame  # noqa: PLC0415 -- an extra

        return document_frame(self.document())

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_()["text/html"]

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        from rollout.notebook import history_bundle  # noqa: PLC0415 -- for notebooks

        return history_bundle(self.document())

    def to_input(self) -> list[dict[str, Any]]:
        """
        Return the response items to send to a model to continue the session, as Codex 0.169.0 sends them.

        Rolled back turns are left out. A compaction replaces the items before it with its *replacement_history*,
        otherwise with the user's prompts and the summary. A call without an output gets the output "aborted", and an
        output without a call is left out, because services refuse both.
        """
        model_input = _ModelInput()
        for line in _effective_lines((*self.inherited, *self.lines)):
            if line.type == "compacted":
                model_input.compact(line.payload)
            elif _is_sent(line.payload):
                model_input.items.append(line.payload)
        return [{k: v for k, v in item.items() if k != _UNSENT_KEY} for item in _pair_calls(model_input.items)]


def load_history(path_or_id: StrPath, *, home: StrPath | None = None) -> History:
    """
    Load a session. Blocks; the whole session is in memory. Needs no lock. Unreadable lines are skipped and counted.

    Args:
        path_or_id: Path of the file (plain or ``.jsonl.zst``), or the session's id or the beginning of the id.
        home: The home in which to find an id; by default ``CODEX_HOME``, else ``~/.codex``.

    Raises:
        SessionNotFoundError: No session has this id.
        AmbiguousSessionError: Several ids have this beginning.
        MissingSessionMetaError: The file is empty, or has no session_meta.
        OSError: The file cannot be read.
        ModuleNotFoundError: The file is compressed and the extra ``zstd`` is not installed.
    """
    return history_of(find_and_use(lambda: locate(path_or_id, home), read_lines), home)


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
    base, missing_base = _load_inherited(lines, home_of(path) or home_folder(home))
    meta = with_recovered_cwd(meta, payloads)
    return History(path, meta.id, meta, lines, tuple(reader.skipped), base, missing_base, numbers)


def _numbered(reader: LineReader, numbers: array[int]) -> Iterator[RolloutLine]:
    for line in reader:
        numbers.append(reader.lineno)
        yield line


def _load_inherited(lines: Sequence[RolloutLine], home: Path) -> tuple[tuple[RolloutLine, ...], str | None]:
    meta = next(line.payload for line in lines if line.type == "session_meta")
    try:
        return tuple(inherited_lines(meta, home)), None
    except (SessionNotFoundError, OSError, ImportError):
        return (), base_of(meta)


def _meta_item(line: RolloutLine) -> schema.RolloutItem | None:
    return line.item if line.type == "session_meta" else None


def _effective_lines(lines: Iterable[RolloutLine]) -> list[RolloutLine]:
    """
    Return the lines of the history, without the lines that were rolled back.
    """
    kept = _EffectiveLines()
    for line in lines:
        if line.type in ("response_item", "compacted"):
            kept.add(line)
        elif line.type == "event_msg" and line.payload.get("type") == "thread_rolled_back":
            kept.roll_back(line.payload.get("num_turns"))
    return kept.lines


@attrs.define
class _EffectiveLines:
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

        The lines before the first prompt are never removed.
        """
        if not self.prompts or type(count) is not int or count < 1:
            return
        first = max(len(self.prompts) - count, 0)
        start = self.prompts[first]
        while first and self.are_contexts[start - 1]:
            start -= 1
        del self.prompts[first:], self.lines[start:], self.are_contexts[start:]


@attrs.define
class _ModelInput:
    """
    The items that are sent to a model, after all compactions of the session.
    """

    items: list[dict[str, Any]] = field(factory=list)
    # Number of items, from the first, that are known to be prompts: no later compaction examines them again.
    prompt_count: int = 0

    def compact(self, payload: dict[str, Any]) -> None:
        """
        Replace all items with the history in a compaction, otherwise with the user's prompts and the summary.
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
    return isinstance(kind, str) and kind in _SENT_TYPES


def _pair_calls(items: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """
    Yield the items. Adds an output to each call without an output, and leaves out outputs without a call.
    """
    items = list(items)
    # Converted to text: in a damaged file, an id may be any value.
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
    beginnings = TurnDetector()
    standing: ActiveTurns[_OpenTurn] = ActiveTurns()
    for line in lines:
        if beginnings.is_start(line):
            turns.append(_OpenTurn(turn_id=line.payload.get("turn_id") if line.type == "event_msg" else None))
        if not turns:
            continue
        turns[-1].lines.append(line)
        turns[-1].prompt = turns[-1].prompt or prompt_of(line)
        standing.add(turns[-1])
        if line.type == "event_msg" and line.payload.get("type") == "thread_rolled_back":
            standing.roll_back(line.payload.get("num_turns"))
    for turn in turns:
        yield Turn(turn.prompt, tuple(turn.lines), turn.turn_id, turn.is_rolled_back)
