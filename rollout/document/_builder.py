"""
Lines -> a document that grows with each: turns are begun, calls get their answers, what is said twice is said once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import define

from rollout import schema
from rollout._prompts import cwd_in
from rollout._turns import Standing, Turns, prompt_of, seconds_of
from rollout.codec import RolloutLine
from rollout.document._model import Call, Document, Item, Turn
from rollout.document._parts import seconds_in
from rollout.document._reading import read
from rollout.reader import SkippedLine
from rollout.stats import StatsCounter

__all__ = ["DocumentBuilder"]

# The echo of a message follows within so many lines.
_ECHO_LINES = 32
_ECHOED = ("user", "agent", "reasoning")
_COMPLETES = ("task_complete", "turn_complete")


@define
class _Saying:
    """
    Something that was said: where, and by which kinds of lines, each of which says it once.
    """

    item: Item
    turn: Turn
    count: int
    families: set[str]

    def is_echoed(self, family: str, count: int) -> bool:
        """
        Say whether a line of this kind, that many lines into the session, says it again; it is noted that it did.
        """
        if family in self.families or count - self.count > _ECHO_LINES:
            return False
        self.families.add(family)
        return True


@define
class _OpenCall:
    """
    A call that was seen, and whether response items have called and answered it.
    """

    item: Item
    turn: Turn
    began_at: float
    is_called: bool = False
    is_answered: bool = False


class DocumentBuilder:
    """
    Makes the document of one session from its lines, given in order. Not for several threads at once.

    Args:
        path: The session's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._document: Document | None = None
        self._turns: list[Turn] = []
        self._beginnings = Turns()
        self._standing: Standing[Turn] = Standing()
        self._counters = {True: StatsCounter(), False: StatsCounter()}
        self._line_counts = {True: 0, False: 0}
        self._growth: list[tuple[str, int]] = []
        self._said: dict[tuple[str, str], _Saying] = {}
        self._compaction: _Saying | None = None
        self._calls: dict[str, _OpenCall] = {}
        self._changed: dict[int, tuple[Turn, dict[str, Item]]] = {}
        self._count = 0
        self._last_at = 0.0
        self._model: str | None = None

    @property
    def document(self) -> Document | None:
        """What the lines have said so far, the same object each time; None before the session's own session_meta."""
        document = self._document
        if document is not None:
            document.stats = self._counters[False].stats
            document.inherited_count, document.line_count = self._line_counts[True], self._line_counts[False]
        return document

    def changes(self) -> list[tuple[Turn, list[Item]]]:
        """
        Give the turns that have changed since the last call, in order, and which of their items are new or changed.
        """
        changed = [self._changed[number] for number in sorted(self._changed)]
        self._changed = {}
        return [(turn, list(items.values())) for turn, items in changed]

    def add(self, line: RolloutLine, number: int, *, is_inherited: bool = False) -> None:
        """
        Take the next line.

        Args:
            line: It.
            number: Its number in its file, from 1.
            is_inherited: It is another session's, which this one goes on from.
        """
        key = f"b{number}" if is_inherited else str(number)
        self._line_counts[is_inherited] += 1
        self._count += 1
        turn = self._turn_of(line, is_inherited)
        self._note_facts(line, turn, is_inherited)
        if len(self._said) > 4 * _ECHO_LINES:
            self._said = {k: said for k, said in self._said.items() if self._count - said.count <= _ECHO_LINES}
        found = read(line)
        if isinstance(found, str):
            turn.others.setdefault(found, []).append(key)
            self._touch(turn)
            return
        if found[0].kind == "reasoning":
            found = self._new_reasoning(found, key, turn, line)
        for index, item in enumerate(found):
            item.key = key if not index else f"{key}-{index + 1}"
            item.lines = [key]
            item.timestamp = line.timestamp
            self._place(item, turn, line)

    def add_unreadable(self, line: SkippedLine) -> None:
        """
        Take a line that could not be read, in its place among the others.
        """
        self._line_counts[False] += 1
        self._count += 1
        turn = self._turns[-1] if self._turns else self._begin(0, is_inherited=False)
        text = f"{line.size} bytes from byte {line.offset} on"
        self._append(Item(str(line.lineno), "unreadable", line.reason, text, lines=[str(line.lineno)]), turn)

    def _turn_of(self, line: RolloutLine, is_inherited: bool) -> Turn:
        if self._beginnings.begins(line):
            number = self._turns[-1].number + 1 if self._turns else 1
            # What a person says anew is no echo, whatever they said before.
            self._said = {key: saying for key, saying in self._said.items() if key[0] != "user"}
            turn = self._begin(number, is_inherited=is_inherited)
        else:
            turn = self._turns[-1] if self._turns else self._begin(0, is_inherited=is_inherited)
        turn.prompt = turn.prompt or prompt_of(line)
        self._standing.note(turn)
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
            # Files before 0.32 say it in their first context only.
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
            for taken in self._standing.take_back(payload.get("num_turns")):
                self._touch(taken)
        if kind in (*_COMPLETES, "turn_aborted"):
            measured = seconds_in(payload)
            turn.duration = turn.duration if measured is None else measured

    def _note_meta(self, line: RolloutLine, is_inherited: bool) -> None:
        if self._document is None and not is_inherited:
            meta = line.item
            if isinstance(meta, schema.SessionMeta):
                self._document = Document(meta.id, self._path, meta, self._turns, token_growth=self._growth)

    def _new_reasoning(self, found: list[Item], key: str, turn: Turn, line: RolloutLine) -> list[Item]:
        """
        Make one item of those paragraphs that were not said yet: events have them one by one, items together.
        """
        fresh = [item for item in found if not self._is_echo(item, key, line)]
        if len(fresh) < 2:
            return fresh
        whole = Item("", "reasoning", text="\n\n".join(item.text for item in fresh))
        if self._is_echo(whole, key, line):
            return []
        for item in fresh:
            self._said["reasoning", item.text] = _Saying(whole, turn, self._count, {_family(line)})
        return [whole]

    def _place(self, item: Item, turn: Turn, line: RolloutLine) -> None:
        call, key = item.call, item.lines[0]
        if call is not None:
            self._place_call(item, call, turn, line)
        elif item.kind in _ECHOED and item.text:
            if not self._is_echo(item, key, line):
                self._said[item.kind, item.text] = _Saying(item, turn, self._count, {_family(line)})
                self._append(item, turn)
        elif item.kind == "compaction":
            self._place_compaction(item, turn, line)
        elif item.kind == "plan":
            self._place_plan(item, turn)
        else:
            self._append(item, turn)

    def _is_echo(self, item: Item, key: str, line: RolloutLine) -> bool:
        saying = self._said.get((item.kind, item.text))
        if saying is None or not saying.is_echoed(_family(line), self._count):
            return False
        saying.item.images = saying.item.images or item.images
        self._join(saying.item, key, saying.turn)
        return True

    def _place_plan(self, item: Item, turn: Turn) -> None:
        """
        Place a plan, unless its call is in the same turn already.
        """
        for earlier in reversed(turn.items[-_ECHO_LINES:]):
            if earlier.plan and earlier.plan == item.plan:
                self._join(earlier, item.key, turn)
                return
        self._append(item, turn)

    def _place_compaction(self, item: Item, turn: Turn, line: RolloutLine) -> None:
        """
        Place a compaction, of which up to three kinds of lines tell, each once.
        """
        family = f"{line.type}/{line.payload.get('type')}"
        saying = self._compaction
        if saying and saying.is_echoed(family, self._count):
            known = saying.item
            known.title, known.text = known.title or item.title, known.text or item.text
            self._join(known, item.key, saying.turn)
        else:
            self._compaction = _Saying(item, turn, self._count, {family})
            self._append(item, turn)

    def _place_call(self, item: Item, call: Call, turn: Turn, line: RolloutLine) -> None:
        at, is_item, is_answer = seconds_of(line.timestamp), line.type == "response_item", not call.tool
        known = self._calls.get(call.call_id or "")
        if known and is_item and (known.is_answered if is_answer else known.is_called):
            # An id that is used again.
            known = None
        if known is None:
            if call.output is not None:
                call.output_line = item.key
            known = _OpenCall(item, turn, at)
            if call.call_id:
                self._calls[call.call_id] = known
            self._append(item, turn)
        else:
            _merge(known, call, item, at, is_item=is_item)
            self._join(known.item, item.key, known.turn)
            self._last_at = at or self._last_at
        known.is_called |= is_item and not is_answer
        known.is_answered |= is_item and is_answer

    def _append(self, item: Item, turn: Turn) -> None:
        at = seconds_of(item.timestamp)
        item.gap = round(max(at - self._last_at, 0.0), 3) if at and self._last_at else None
        self._last_at = at or self._last_at
        turn.items.append(item)
        self._touch(turn, item)

    def _join(self, item: Item, key: str, turn: Turn) -> None:
        """
        Note that another line has the same item, which belongs to this turn.
        """
        # Lines come in order, so a line that has the item twice is the last one noted.
        if item.lines[-1] != key:
            item.lines.append(key)
        self._touch(turn, item)

    def _touch(self, turn: Turn, item: Item | None = None) -> None:
        _, items = self._changed.setdefault(turn.number, (turn, {}))
        if item is not None:
            items[item.key] = item


def _family(line: RolloutLine) -> str:
    kind = line.payload.get("type")
    return f"{line.type}/end" if kind in _COMPLETES else line.type


def _merge(known: _OpenCall, new: Call, item: Item, at: float, *, is_item: bool) -> None:
    """
    Complete a call by what another line says of it. Of two outputs the longer counts: one of them was cut.
    """
    call = known.item.call
    assert call is not None  # noqa: S101 -- only calls are kept
    if new.tool and is_item:
        call.tool = new.tool
    if new.input and (is_item or not call.input):
        call.input, call.language = new.input, new.language
    known.item.plan = known.item.plan or item.plan
    call.cwd = call.cwd or new.cwd
    call.images, call.changes = call.images or new.images, call.changes or new.changes
    call.exit_code = new.exit_code if call.exit_code is None else call.exit_code
    call.duration = new.duration if call.duration is None else call.duration
    call.is_failed |= new.is_failed
    if new.output is not None:
        if call.output is None or len(new.output) > len(call.output):
            call.output, call.output_line = new.output, item.key
        call.elapsed = round(max(at - known.began_at, 0.0), 3) if at and known.began_at else None
