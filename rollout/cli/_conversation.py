"""
The lines of a session as a conversation: rendered part by part, for `rollout.cli._show` to print.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from attrs import evolve

from rollout.cli._output import is_terminal
from rollout.document import DocumentBuilder, Item, Turn
from rollout.export import TextRenderer
from rollout.reading import Follower, LineReader

if TYPE_CHECKING:
    from rollout.cli._show import NumberedLine
    from rollout.cli._terminal import TerminalRenderer

__all__ = ["Conversation", "make_renderer"]

# Lines of an output that are shown without --full.
_OUTPUT_LINES = 12
# Items that wait for the end of their turn, whose duration and tokens are then known, and for outputs of calls.
_PENDING_MAX = 200
# Kinds of items in a document -> kinds of `--kind`. A call and its output are one item in a document.
_TEXT_KINDS = {
    "user": "user",
    "agent": "agent",
    "plan": "agent",
    "error": "agent",
    "reasoning": "reasoning",
    "compaction": "summary",
}


def make_renderer(*, full: bool) -> TextRenderer | TerminalRenderer:
    """
    Return the renderer for a terminal, or else the one for plain text.
    """
    lines = None if full else _OUTPUT_LINES
    # Rules and marks are not in the character set of all terminals.
    if is_terminal() and (sys.stdout.encoding or "").lower().startswith("utf"):
        from rollout.cli._terminal import TerminalRenderer  # noqa: PLC0415 -- 0.1 s, for terminals only

        return TerminalRenderer(lines)
    return TextRenderer(lines)


class _Pending(NamedTuple):
    """
    An item to show and its turn, or only the output of a call.
    """

    turn: Turn
    item: Item
    is_output: bool = False


class Conversation:
    """
    A session that is rendered while its lines are read. Memory holds a few turns at most: a rendered item is emptied.

    Args:
        source: Source of the lines; it also lists the unreadable lines.
        renderer: Renderer of the parts.
        kinds: Kinds of text to show; all if empty.
        is_live: Whether to show each item at once, and the output of a call when it arrives.
        is_whole: Whether the lines begin with the first line of the session.
        redact: Function that removes secrets from the reasons why lines could not be read.
    """

    def __init__(
        self,
        source: LineReader | Follower,
        renderer: TextRenderer | TerminalRenderer,
        kinds: Collection[str] = (),
        *,
        is_live: bool = False,
        is_whole: bool = True,
        redact: Callable[[str], str] | None = None,
    ) -> None:
        self.count = 0
        self._source, self._renderer, self._kinds = source, renderer, frozenset(kinds)
        self._pending_max, self._is_whole = 0 if is_live else _PENDING_MAX, is_whole
        self._redact = redact or str
        self._builder = DocumentBuilder(source.path)
        self._skipped_count = 0
        self._pending: deque[_Pending] = deque()
        # Keys of calls whose output has not been shown.
        self._open_calls: set[str] = set()
        self._has_heading = False
        # The turn whose heading was rendered last, and whether the rule at its end must follow.
        self._turn: Turn | None = None
        self._needs_end = False

    def render_all(self, lines: Iterable[NumberedLine]) -> Iterator[str]:
        """
        Yield the parts of a whole session.
        """
        for numbered in lines:
            yield from self.render_line(numbered)
        yield from self._render_unreadable()
        while self._pending:
            yield from self._render_next(is_last=True)
        yield from self._render_turn_end()
        yield from self._render_heading()
        document = self._builder.document
        if document is not None and not self._kinds:
            yield self._renderer.ending(document)

    def render_line(self, numbered: NumberedLine) -> Iterator[str]:
        """
        Yield the parts that the next line adds.
        """
        yield from self._render_unreadable()
        self._builder.add(numbered.line, numbered.number, is_inherited=numbered.is_inherited)
        yield from self._render_changes(f"b{numbered.number}" if numbered.is_inherited else str(numbered.number))

    def _render_unreadable(self) -> Iterator[str]:
        for skipped in self._source.skipped[self._skipped_count :]:
            self._skipped_count += 1
            self._builder.add_unreadable(evolve(skipped, reason=self._redact(skipped.reason)))
            yield from self._render_changes(str(skipped.lineno))

    def _render_changes(self, key: str) -> Iterator[str]:
        """
        Yield the parts that can be shown after the line with this key.
        """
        for turn, items in self._builder.changes():
            for item in items:
                if item.lines[0] == key:
                    self._pending.append(_Pending(turn, item))
                elif item.key in self._open_calls and item.call and item.call.output is not None:
                    self._open_calls.remove(item.key)
                    # An output is shown at its own position, even in a later turn than its call.
                    current_turn = self._pending[-1].turn if self._pending else turn
                    self._pending.append(_Pending(current_turn, item, is_output=True))
        while self._pending and (len(self._pending) > self._pending_max or self._can_render_next()):
            yield from self._render_next()
        if not self._pending and self._turn is not None and self._turn.status in ("completed", "interrupted"):
            yield from self._render_turn_end()

    def _can_render_next(self) -> bool:
        document = self._builder.document
        # The heading contains the title, which is the first prompt.
        has_title = self._has_heading or document is None or document.facts.preview is not None
        return has_title and self._has_ended(self._pending[0].turn)

    def _has_ended(self, turn: Turn) -> bool:
        return bool(self._pending) and self._pending[-1].turn is not turn

    def _render_next(self, *, is_last: bool = False) -> Iterator[str]:
        """
        Yield the parts of the oldest pending item.
        """
        turn, item, is_output = self._pending.popleft()
        if is_output:
            yield from self._render_output(item)
        else:
            yield from self._render_item(turn, item, is_over=is_last or self._has_ended(turn))

    def _render_item(self, turn: Turn, item: Item, *, is_over: bool) -> Iterator[str]:
        kind = "call" if item.call is not None else _TEXT_KINDS.get(item.kind)
        shows_output = item.call is not None and (not self._kinds or "output" in self._kinds)
        shows_item = not self._kinds or kind in self._kinds
        if shows_item or (shows_output and item.call and item.call.output is not None):
            yield from self._render_heading()
            yield from self._render_turn_rule(turn, is_over=is_over)
        if shows_item:
            # Instructions and unreadable lines do not count as messages.
            self.count += kind is not None
            yield self._renderer.item(item)
        if item.call is not None and item.call.output is None:
            self._open_calls.add(item.key)
        elif shows_output:
            yield from self._render_output(item)
        _clear(item)

    def _render_output(self, item: Item) -> Iterator[str]:
        if not self._kinds or "output" in self._kinds:
            self.count += 1
            yield self._renderer.output(item)
        _clear(item)

    def _render_heading(self) -> Iterator[str]:
        document = self._builder.document
        if not self._has_heading and document is not None and self._is_whole:
            self._has_heading = True
            yield self._renderer.heading(document)

    def _render_turn_rule(self, turn: Turn, *, is_over: bool) -> Iterator[str]:
        if turn is self._turn or not self._is_whole:
            return
        yield from self._render_turn_end()
        self._turn, self._needs_end = turn, not is_over
        yield self._renderer.turn(turn, is_over=is_over)

    def _render_turn_end(self) -> Iterator[str]:
        if self._turn is not None and self._needs_end:
            self._needs_end = False
            yield self._renderer.turn_end(self._turn)


def _clear(item: Item) -> None:
    """
    Empty an item that was shown, because a session may be larger than memory.
    """
    item.text, item.images = "", ()
    if item.call is not None:
        item.call.input, item.call.images, item.call.changes = "", (), ()
        item.call.output = item.call.output and ""
