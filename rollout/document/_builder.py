"""
Build a document line by line from the facts of its lines: start turns, join calls with their outputs, add the keys of
repeated lines to the items that they repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

from rollout import schema
from rollout.codec import RolloutLine, json_for_reading
from rollout.document._model import Call, Document, Item, PlanStep, Turn
from rollout.document._placement import Placed, Placement, Source
from rollout.interpret import (
    ActiveTurns,
    CallBegan,
    CallEnded,
    Compacted,
    Context,
    Fact,
    GoalSet,
    Notice,
    PlanChanged,
    Problem,
    Prompt,
    Quiet,
    Renamed,
    RolledBack,
    Said,
    SessionBegan,
    SessionFacts,
    Settings,
    TurnBegan,
    TurnEnded,
    Unknown,
    Usage,
    is_own_meta,
    meta_of_name,
    seconds_of,
)
from rollout.reading import SkippedLine
from rollout.stats import Tokens, sum_known

__all__ = ["DocumentBuilder"]

# Number of items at the end of a turn with which a plan is compared.
_PLAN_ITEMS = 32


class DocumentBuilder:
    """
    Builder of the document of one session from its lines, in order. Not safe for use by several threads at once.

    Args:
        path: The session's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._document: Document | None = None
        # Whether the first lines cannot be read, and whether the meta of the document has only the values of the file's
        # name.
        self._is_cut = self._is_by_name = False
        self._turns: list[Turn] = []
        self._standing: ActiveTurns[Turn] = ActiveTurns()
        self._sources = {True: Source(), False: Source()}
        self._facts = SessionFacts()
        self._growth: list[tuple[str, int]] = []
        self._model: str | None = None
        # The prompt that the compaction with which the file begins has replaced, and whether a later line has one.
        self._first_prompt: str | None = None
        self._has_prompt = False
        # The kind of the line that is read, if it belongs to no item.
        self._quiet_kind = ""
        self._place = Placement(self._sources[False])

    @property
    def document(self) -> Document | None:
        """The document of the lines so far, always the same object; None before the session's own session_meta."""
        document = self._document
        if document is not None:
            own = self._sources[False]
            document.stats = own.counter.stats
            document.facts = self._facts
            document.inherited_count, document.line_count = self._sources[True].line_count, own.line_count
        return document

    def changes(self) -> list[tuple[Turn, list[Item]]]:
        """
        Return the turns that changed since the last call, in order, each with its new and changed items.
        """
        return self._place.changes()

    def add(self, line: RolloutLine, number: int, *, is_inherited: bool = False) -> None:
        """
        Add the next line.

        Args:
            line: The line.
            number: The line's number in its file, from 1.
            is_inherited: Whether the line belongs to the session that this session continues.
        """
        source = self._sources[is_inherited]
        facts = source.read(line)
        if not is_inherited:
            self._facts.add(facts)
            self._note_meta(line)
        turn = self._turn_of(line, facts, is_inherited)
        self._place.move(line, f"b{number}" if is_inherited else str(number), turn, source)
        self._quiet_kind = source.interpreter.kind or line.type
        for fact in facts:
            _READERS[type(fact)](self, fact)
        if not self._place.is_shown:
            turn.others.setdefault(self._quiet_kind, []).append(self._place.key)
            self._place.mark_changed(turn)
        if turn.status is None:
            turn.duration = round(max(seconds_of(turn.ended_at) - seconds_of(turn.started_at), 0.0), 3)
        source.forget()

    def add_unreadable(self, line: SkippedLine) -> None:
        """
        Add a line that could not be read, at its position among the other lines.
        """
        source = self._sources[False]
        source.line_count += 1
        source.interpreter.skip()
        self._is_cut |= self._document is None
        turn = self._turns[-1] if self._turns else self._begin(0, is_inherited=False)
        text = f"{line.size} bytes from byte {line.offset} on"
        self._place.append(Item(str(line.lineno), "unreadable", line.reason, text, lines=[str(line.lineno)]), turn)

    def _note_meta(self, line: RolloutLine) -> None:
        """
        Begin the document with the session's meta. If it cannot be read, begin it with the name of the file.
        """
        meta = line.item if line.type == "session_meta" else None
        if self._document is None:
            if isinstance(meta, schema.SessionMeta) and is_own_meta(meta.id, self._path, is_first=not self._is_cut):
                self._begin_document(meta)
            else:
                self._begin_by_name()
        elif self._is_by_name and isinstance(meta, schema.SessionMeta) and meta.id == self._document.session_id:
            self._document.meta, self._is_by_name = meta, False
        if self._document is not None and self._document.meta.cwd is None and self._facts.cwd is not None:
            # Files from before 0.32 contain the folder only in their first context.
            self._document.meta = attrs.evolve(self._document.meta, cwd=self._facts.cwd)

    def _begin_by_name(self) -> None:
        meta = meta_of_name(self._path) if self._document is None else None
        if meta is not None:
            self._is_by_name = True
            self._begin_document(meta)

    def _begin_document(self, meta: schema.SessionMeta) -> None:
        self._document = Document(meta.id, self._path, meta, self._turns, token_growth=self._growth)

    def _turn_of(self, line: RolloutLine, facts: Sequence[Fact], is_inherited: bool) -> Turn:
        if any(isinstance(fact, TurnBegan) for fact in facts):
            number = self._turns[-1].number + 1 if self._turns else 1
            turn = self._begin(number, is_inherited=is_inherited)
        else:
            turn = self._turns[-1] if self._turns else self._begin(0, is_inherited=is_inherited)
        if line.timestamp:
            turn.started_at = turn.started_at or line.timestamp
            turn.ended_at = line.timestamp
        return turn

    def _begin(self, number: int, *, is_inherited: bool) -> Turn:
        turn = Turn(number, self._first_prompt if number == 1 else None, model=self._model, is_inherited=is_inherited)
        self._turns.append(turn)
        return turn

    # Facts that are not items

    def _note_settings(self, fact: Settings) -> None:
        if fact.model is not None:
            self._model = self._place.turn.model = fact.model

    def _note_usage(self, fact: Usage) -> None:
        turn, used = self._place.turn, Tokens(*fact.counts)
        turn.tokens = sum_known(turn.tokens, used)
        if self._place.source is self._sources[False]:
            before = self._growth[-1][1] if self._growth else 0
            self._growth.append((fact.timestamp or "", before + used.total_tokens))

    def _note_end(self, fact: TurnEnded) -> None:
        turn = self._place.turn
        turn.status = fact.outcome
        if fact.duration is not None:
            turn.duration = fact.duration
        if fact.outcome == "interrupted":
            self._place.add(Item("", "interruption", title=fact.reason))

    def _note_rollback(self, fact: RolledBack) -> None:
        for turn in self._standing.roll_back(fact.count):
            self._place.mark_changed(turn)
        self._place.add(
            Item("", "notice", title="rolled back", text=f"{fact.words} turn{'' if fact.words == '1' else 's'}")
        )

    def _note_session(self, fact: SessionBegan) -> None:
        if fact.instructions:
            self._place.add(Item("", "context", title="instructions", text=fact.instructions))

    def _note_quiet(self, fact: Quiet) -> None:
        self._quiet_kind = fact.type

    def _ignore(self, fact: Fact) -> None:
        pass

    # Items

    def _add_prompt(self, fact: Prompt) -> None:
        turn = self._place.turn
        if fact.source == "history":
            self._first_prompt = self._first_prompt or fact.text
            return
        turn.prompt = fact.text if turn.prompt is None or not self._has_prompt else turn.prompt or fact.text
        self._has_prompt = True
        self._standing.add(turn)
        if not (fact.words or fact.images):
            return
        number = fact.confirms if fact.confirms is not None else fact.echo_of
        known = self._place.source.find(number, "context" if fact.confirms is not None else "user")
        if known is None:
            self._place.add(Item("", "user", text=fact.words, images=fact.images), "user")
        else:
            # The earlier line was taken for Codex's: it is the prompt.
            known.item.kind, known.item.title = "user", ""
            self._place.source.said[self._place.source.interpreter.count, "user"] = known
            known.item.images = known.item.images or fact.images
            self._place.repeat(known)

    def _add_context(self, fact: Context) -> None:
        self._place.add(Item("", "context", title=fact.kind, text=fact.text, images=fact.images), "context")

    def _add_said(self, fact: Said) -> None:
        for known in filter(None, (self._place.source.find(number, fact.who) for number in fact.echoes)):
            known.item.images = known.item.images or fact.images
            self._place.repeat(known)
        if fact.text or not fact.echoes:
            self._place.add(Item("", fact.who, title=fact.title, text=fact.text, images=fact.images), fact.who)

    def _add_compaction(self, fact: Compacted) -> None:
        title = "" if fact.kept is None or not fact.kept else f"{fact.kept} items kept"
        known = self._place.source.find(fact.echo_of, "compaction")
        if known is None:
            self._place.add(Item("", "compaction", title=title, text=fact.text), "compaction")
        else:
            known.item.title, known.item.text = known.item.title or title, known.item.text or fact.text
            self._place.repeat(known)

    def _add_plan(self, fact: PlanChanged) -> None:
        """
        Add a plan, unless its call is already in the same turn.
        """
        turn = self._place.turn
        plan = tuple(PlanStep(*step) for step in fact.steps)
        for earlier in reversed(turn.items[-_PLAN_ITEMS:]):
            if earlier.plan and earlier.plan == plan:
                self._place.repeat(Placed(earlier, turn))
                return
        self._place.add(Item("", "plan", text=fact.text, plan=plan))

    def _add_problem(self, fact: Problem) -> None:
        if fact.ends_turn:
            self._place.turn.status = "failed"
        known = self._place.source.find(fact.echo_of, "error")
        if known is None:
            self._place.add(Item("", "error", title=fact.title, text=fact.text), "error")
        else:
            self._place.repeat(known)

    def _add_notice(self, fact: Notice) -> None:
        self._place.add(Item("", "notice", title=fact.title, text=fact.text))

    def _add_goal(self, fact: GoalSet) -> None:
        self._place.add(Item("", "notice", title="goal", text=fact.text))

    def _add_name(self, fact: Renamed) -> None:
        self._place.add(Item("", "notice", title="named", text=fact.name))

    def _add_unknown(self, fact: Unknown) -> None:
        self._place.add(Item("", "other", title=fact.type, text=json_for_reading(fact.payload)))

    def _add_call(self, fact: CallBegan) -> None:
        given = fact.input
        plan = tuple(PlanStep(*step) for step in given.plan)
        placed = self._place.source.calls.get(fact.call)
        if placed is None:
            parent = None if fact.parent is None else self._place.source.calls.get(fact.parent)
            call = Call(fact.tool, fact.call_id, given.text, given.language, given.cwd, changes=given.changes)
            call.parent = parent.item.key if parent else None
            item = Item("", "call", text=given.explanation, call=call, plan=plan)
            self._place.source.calls[fact.call] = self._place.add(item)
            return
        call_item = placed.item
        call = _call_in(call_item)
        call.tool = fact.tool
        if given.text and (fact.is_item or not call.input):
            call.input, call.language = given.text, given.language
        call.cwd, call.changes = call.cwd or given.cwd, call.changes or given.changes
        call_item.plan, call_item.text = call_item.plan or plan, call_item.text or given.explanation
        self._place.repeat(placed)

    def _end_call(self, fact: CallEnded) -> None:
        placed = None if fact.call is None else self._place.source.calls.get(fact.call)
        if placed is None:
            placed = self._place.add(Item("", "call", call=Call(fact.tool, fact.call_id)))
        call = _call_in(placed.item)
        call.images = call.images or fact.images
        call.exit_code, call.duration = fact.exit_code, fact.duration
        call.is_failed, call.failure = fact.is_failed, fact.reason if fact.is_failed else ""
        if fact.text is not None:
            # Of two outputs, keep the longer one: the other one was truncated.
            if call.output is None or len(fact.text) > len(call.output):
                call.output, call.output_line = fact.text, self._place.key
            at = seconds_of(fact.timestamp)
            if placed.item.lines[0] != self._place.key:
                call.elapsed = round(max(at - placed.began_at, 0.0), 3) if at and placed.began_at else None
        if placed.item.lines[-1] != self._place.key:
            self._place.pass_time()
        self._place.repeat(placed)


def _call_in(item: Item) -> Call:
    assert item.call is not None  # noqa: S101 -- only calls are noted by their number
    return item.call


_READERS: dict[type[Fact], Callable[[DocumentBuilder, Any], None]] = {
    SessionBegan: DocumentBuilder._note_session,
    Renamed: DocumentBuilder._add_name,
    GoalSet: DocumentBuilder._add_goal,
    TurnBegan: DocumentBuilder._ignore,
    TurnEnded: DocumentBuilder._note_end,
    Settings: DocumentBuilder._note_settings,
    Prompt: DocumentBuilder._add_prompt,
    Context: DocumentBuilder._add_context,
    Said: DocumentBuilder._add_said,
    CallBegan: DocumentBuilder._add_call,
    CallEnded: DocumentBuilder._end_call,
    Usage: DocumentBuilder._note_usage,
    Compacted: DocumentBuilder._add_compaction,
    RolledBack: DocumentBuilder._note_rollback,
    PlanChanged: DocumentBuilder._add_plan,
    Problem: DocumentBuilder._add_problem,
    Notice: DocumentBuilder._add_notice,
    Unknown: DocumentBuilder._add_unknown,
    Quiet: DocumentBuilder._note_quiet,
}
