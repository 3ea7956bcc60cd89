"""
Build a document line by line: start turns, join calls with their outputs, merge repeated items.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import define

from rollout import schema
from rollout.codec import RolloutLine
from rollout.document._content import seconds_in
from rollout.document._line_items import read_items
from rollout.document._model import Call, Document, Item, Turn
from rollout.interpret import ActiveTurns, TurnDetector, cwd_in, prompt_of, seconds_of
from rollout.reading import SkippedLine
from rollout.stats import StatsCounter

__all__ = ["DocumentBuilder"]

# Maximum number of lines between an item and its echo: the same text in a line of another kind.
_ECHO_LINES = 32
_ECHOED = ("user", "agent", "reasoning")
_COMPLETES = ("task_complete", "turn_complete")


@define
class _EchoTracker:
    """
    An item that lines of other kinds may repeat: its position, and the kinds of lines that have contained it so far.
    Each kind contains it once.
    """

    item: Item
    turn: Turn
    count: int
    families: set[str]

    def add_echo(self, family: str, count: int) -> bool:
        """
        Return whether a line is an echo of the item, and if so, record the kind of the line.

        Args:
            family: The kind of the line.
            count: The number of lines of the session up to this one.
        """
        if family in self.families or count - self.count > _ECHO_LINES:
            return False
        self.families.add(family)
        return True


@define
class _OpenCall:
    """
    A call in the document, and whether response items for the call and for its output have been read.
    """

    item: Item
    turn: Turn
    began_at: float
    is_called: bool = False
    is_answered: bool = False


class DocumentBuilder:
    """
    Builder of the document of one session from its lines, in order. Not safe for use by several threads at once.

    Args:
        path: The session's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._document: Document | None = None
        self._turns: list[Turn] = []
        self._beginnings = TurnDetector()
        self._standing: ActiveTurns[Turn] = ActiveTurns()
        self._counters = {True: StatsCounter(), False: StatsCounter()}
        self._line_counts = {True: 0, False: 0}
        self._growth: list[tuple[str, int]] = []
        self._trackers: dict[tuple[str, str], _EchoTracker] = {}
        self._compaction: _EchoTracker | None = None
        self._calls: dict[str, _OpenCall] = {}
        self._changed: dict[int, tuple[Turn, dict[str, Item]]] = {}
        self._count = 0
        self._last_at = 0.0
        self._model: str | None = None

    @property
    def document(self) -> Document | None:
        """The document of the lines so far, always the same object; None before the session's own session_meta."""
        document = self._document
        if document is not None:
            document.stats = self._counters[False].stats
            document.inherited_count, document.line_count = self._line_counts[True], self._line_counts[False]
        return document

    def changes(self) -> list[tuple[Turn, list[Item]]]:
        """
        Return the turns that changed since the last call, in order, each with its new and changed items.
        """
        changed = [self._changed[number] for number in sorted(self._changed)]
        self._changed = {}
        return [(turn, list(items.values())) for turn, items in changed]

    def add(self, line: RolloutLine, number: int, *, is_inherited: bool = False) -> None:
        """
        Add the next line.

        Args:
            line: The line.
            number: The line's number in its file, from 1.
            is_inherited: Whether the line belongs to the session that this session continues.
        """
        key = f"b{number}" if is_inherited else str(number)
        self._line_counts[is_inherited] += 1
        self._count += 1
        turn = self._turn_of(line, is_inherited)
        self._note_facts(line, turn, is_inherited)
        if len(self._trackers) > 4 * _ECHO_LINES:
            self._trackers = {k: t for k, t in self._trackers.items() if self._count - t.count <= _ECHO_LINES}
        items = read_items(line)
        if isinstance(items, str):
            turn.others.setdefault(items, []).append(key)
            self._mark_changed(turn)
            return
        if items[0].kind == "reasoning":
            items = self._merge_reasoning(items, key, turn, line)
        for index, item in enumerate(items):
            item.key = key if not index else f"{key}-{index + 1}"
            item.lines = [key]
            item.timestamp = line.timestamp
            self._add_item(item, turn, line)

    def add_unreadable(self, line: SkippedLine) -> None:
        """
        Add a line that could not be read, at its position among the other lines.
        """
        self._line_counts[False] += 1
        self._count += 1
        turn = self._turns[-1] if self._turns else self._begin(0, is_inherited=False)
        text = f"{line.size} bytes from byte {line.offset} on"
        self._append(Item(str(line.lineno), "unreadable", line.reason, text, lines=[str(line.lineno)]), turn)

    def _turn_of(self, line: RolloutLine, is_inherited: bool) -> Turn:
        if self._beginnings.is_start(line):
            number = self._turns[-1].number + 1 if self._turns else 1
            # A new prompt is not an echo, even if it equals an earlier prompt.
            self._trackers = {key: tracker for key, tracker in self._trackers.items() if key[0] != "user"}
            turn = self._begin(number, is_inherited=is_inherited)
        else:
            turn = self._turns[-1] if self._turns else self._begin(0, is_inherited=is_inherited)
        turn.prompt = turn.prompt or prompt_of(line)
        self._standing.add(turn)
        if line.timestamp:
            turn.started_at = turn.started_at or line.timestamp
            turn.ended_at = line.timestamp
        return turn

    def _begin(self, number: int, *, is_inherited: bool) -> Turn:
        turn = Turn(number, model=self._model, is_inherited=is_inherited)
        self._turns.append(turn)
        return turn

    def _note_facts(self, line: RolloutLine, turn: Turn, is_inherited: bool) -> None:
        counter = self._counters[is_inherited]
        before = counter.tokens
        counter.add(line)
        if line.type == "event_msg":
            self._note_event(line.payload, turn)
        elif line.type == "session_meta":
            self._note_meta(line, is_inherited)
        elif line.type == "turn_context":
            model = line.payload.get("model")
            self._model = turn.model = model if isinstance(model, str) else turn.model
        elif line.type == "response_item" and self._document and self._document.meta.cwd is None:
            # Files from before 0.32 contain the folder only in their first context.
            self._document.meta = attrs.evolve(self._document.meta, cwd=cwd_in(line.payload))
        if counter.tokens is not before and counter.tokens != before:
            turn.tokens += counter.tokens - before
            if not is_inherited:
                self._growth.append((line.timestamp or "", counter.tokens.total_tokens))
        if turn.status is None:
            turn.duration = round(max(seconds_of(turn.ended_at) - seconds_of(turn.started_at), 0.0), 3)

    def _note_event(self, payload: Mapping[str, Any], turn: Turn) -> None:
        kind = payload.get("type")
        if kind in _COMPLETES:
            turn.status = "failed" if payload.get("error") or turn.status == "failed" else "completed"
        elif kind == "turn_aborted":
            turn.status = "interrupted"
        elif kind == "error":
            turn.status = "failed"
        elif kind == "thread_rolled_back":
            for rolled_back in self._standing.roll_back(payload.get("num_turns")):
                self._mark_changed(rolled_back)
        if kind in (*_COMPLETES, "turn_aborted"):
            measured = seconds_in(payload)
            turn.duration = turn.duration if measured is None else measured

    def _note_meta(self, line: RolloutLine, is_inherited: bool) -> None:
        if self._document is None and not is_inherited:
            meta = line.item
            if isinstance(meta, schema.SessionMeta):
                self._document = Document(meta.id, self._path, meta, self._turns, token_growth=self._growth)

    def _merge_reasoning(self, items: list[Item], key: str, turn: Turn, line: RolloutLine) -> list[Item]:
        """
        Return the new paragraphs as one item. Events contain paragraphs one by one, response items all together.
        """
        new_items = [item for item in items if not self._is_echo(item, key, line)]
        if len(new_items) < 2:
            return new_items
        whole = Item("", "reasoning", text="\n\n".join(item.text for item in new_items))
        if self._is_echo(whole, key, line):
            return []
        for item in new_items:
            self._trackers["reasoning", item.text] = _EchoTracker(whole, turn, self._count, {_family(line)})
        return [whole]

    def _add_item(self, item: Item, turn: Turn, line: RolloutLine) -> None:
        call, key = item.call, item.lines[0]
        if call is not None:
            self._add_call(item, call, turn, line)
        elif item.kind in _ECHOED and item.text:
            if not self._is_echo(item, key, line):
                self._trackers[item.kind, item.text] = _EchoTracker(item, turn, self._count, {_family(line)})
                self._append(item, turn)
        elif item.kind == "compaction":
            self._add_compaction(item, turn, line)
        elif item.kind == "plan":
            self._add_plan(item, turn)
        else:
            self._append(item, turn)

    def _is_echo(self, item: Item, key: str, line: RolloutLine) -> bool:
        """
        Return whether an item is an echo of an earlier one, and if so, record this line for the earlier item.
        """
        tracker = self._trackers.get((item.kind, item.text))
        if tracker is None or not tracker.add_echo(_family(line), self._count):
            return False
        tracker.item.images = tracker.item.images or item.images
        self._add_key(tracker.item, key, tracker.turn)
        return True

    def _add_plan(self, item: Item, turn: Turn) -> None:
        """
        Add a plan, unless its call is already in the same turn.
        """
        for earlier in reversed(turn.items[-_ECHO_LINES:]):
            if earlier.plan and earlier.plan == item.plan:
                self._add_key(earlier, item.key, turn)
                return
        self._append(item, turn)

    def _add_compaction(self, item: Item, turn: Turn, line: RolloutLine) -> None:
        """
        Add a compaction. Up to three kinds of lines describe it, each once.
        """
        family = f"{line.type}/{line.payload.get('type')}"
        tracker = self._compaction
        if tracker and tracker.add_echo(family, self._count):
            first = tracker.item
            first.title, first.text = first.title or item.title, first.text or item.text
            self._add_key(first, item.key, tracker.turn)
        else:
            self._compaction = _EchoTracker(item, turn, self._count, {family})
            self._append(item, turn)

    def _add_call(self, item: Item, call: Call, turn: Turn, line: RolloutLine) -> None:
        at, is_item, is_answer = seconds_of(line.timestamp), line.type == "response_item", not call.tool
        open_call = self._calls.get(call.call_id or "")
        if open_call and is_item and (open_call.is_answered if is_answer else open_call.is_called):
            # The id is used a second time.
            open_call = None
        if open_call is None:
            if call.output is not None:
                call.output_line = item.key
            open_call = _OpenCall(item, turn, at)
            if call.call_id:
                self._calls[call.call_id] = open_call
            self._append(item, turn)
        else:
            _merge(open_call, call, item, at, is_item=is_item)
            self._add_key(open_call.item, item.key, open_call.turn)
            self._last_at = at or self._last_at
        open_call.is_called |= is_item and not is_answer
        open_call.is_answered |= is_item and is_answer

    def _append(self, item: Item, turn: Turn) -> None:
        at = seconds_of(item.timestamp)
        item.gap = round(max(at - self._last_at, 0.0), 3) if at and self._last_at else None
        self._last_at = at or self._last_at
        turn.items.append(item)
        self._mark_changed(turn, item)

    def _add_key(self, item: Item, key: str, turn: Turn) -> None:
        """
        Record that another line contains the same item of this turn.
        """
        # Lines are added in order, so a line that contains the item twice is the last noted line.
        if item.lines[-1] != key:
            item.lines.append(key)
        self._mark_changed(turn, item)

    def _mark_changed(self, turn: Turn, item: Item | None = None) -> None:
        _, items = self._changed.setdefault(turn.number, (turn, {}))
        if item is not None:
            items[item.key] = item


def _family(line: RolloutLine) -> str:
    kind = line.payload.get("type")
    return f"{line.type}/end" if kind in _COMPLETES else line.type


def _merge(open_call: _OpenCall, new: Call, item: Item, at: float, *, is_item: bool) -> None:
    """
    Complete a call from another line about the call. Of two outputs, keep the longer one: the other one was truncated.
    """
    call = open_call.item.call
    assert call is not None  # noqa: S101 -- `_OpenCall` holds only calls
    if new.tool and is_item:
        call.tool = new.tool
    if new.input and (is_item or not call.input):
        call.input, call.language = new.input, new.language
    open_call.item.plan = open_call.item.plan or item.plan
    call.cwd = call.cwd or new.cwd
    call.images, call.changes = call.images or new.images, call.changes or new.changes
    call.exit_code = new.exit_code if call.exit_code is None else call.exit_code
    call.duration = new.duration if call.duration is None else call.duration
    call.is_failed |= new.is_failed
    if new.output is not None:
        if call.output is None or len(new.output) > len(call.output):
            call.output, call.output_line = new.output, item.key
        call.elapsed = round(max(at - open_call.began_at, 0.0), 3) if at and open_call.began_at else None
