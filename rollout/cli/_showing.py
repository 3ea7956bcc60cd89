"""
The lines of a session as parts of text, shown as they come: what `rollout.cli._show` prints.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from attrs import evolve

from rollout.cli._output import is_terminal
from rollout.document import DocumentBuilder, Item, Turn
from rollout.export._text import TextRenderer
from rollout.follow import Follower
from rollout.reader import LineReader

if TYPE_CHECKING:
    from rollout.cli._show import Given
    from rollout.cli._terminal import TerminalRenderer

__all__ = ["Shown", "renderer"]

# Lines of a tool's output that are shown unless all are asked for.
_OUTPUT_LINES = 12
# Items that wait for the end of their turn, which says what it took, and for the answers of calls.
_WAITING_MAX = 200
# What the kinds of `--kind` are in a document; calls and outputs are one item there.
_SAID_AS = {"user": "user", "agent": "agent", "plan": "agent", "error": "agent", "reasoning": "reasoning"}
_SAID_AS["compaction"] = "summary"


def renderer(*, full: bool) -> TextRenderer | TerminalRenderer:
    """
    Give what draws the parts: for a person, or for a program.
    """
    lines = None if full else _OUTPUT_LINES
    # Rules and marks need more letters than some terminals have.
    if is_terminal() and (sys.stdout.encoding or "").lower().startswith("utf"):
        from rollout.cli._terminal import TerminalRenderer  # noqa: PLC0415 -- 0.1 s, for people only

        return TerminalRenderer(lines)
    return TextRenderer(lines)


class _Waiting(NamedTuple):
    """
    An item that is to be shown, in which turn; or only what answered it.
    """

    turn: Turn
    item: Item
    is_answer: bool = False


class Shown:
    """
    A session's lines as parts of text, a few turns at most in memory: an item goes when it is shown.

    Args:
        source: Where the lines come from; knows which could not be read.
        renderer: Draws the parts.
        kinds: Only what these say; all, if there are none.
        is_live: Each item is shown at once, the answer of a call when it comes.
        is_whole: The lines are those from the beginning.
        redact: Takes secrets out of what is said of lines that could not be read.
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
        self._waiting_max, self._is_whole = 0 if is_live else _WAITING_MAX, is_whole
        self._redact = redact or str
        self._builder = DocumentBuilder(source.path)
        self._skipped_count = 0
        self._waiting: deque[_Waiting] = deque()
        self._unanswered: set[str] = set()
        self._has_heading = False
        # Of the turn whose rule was drawn last: it, and whether its end is to be said yet.
        self._turn: Turn | None = None
        self._is_open = False

    def all(self, lines: Iterable[Given]) -> Iterator[str]:
        """
        Give a whole session.
        """
        for given in lines:
            yield from self.of(given)
        yield from self._unreadable()
        while self._waiting:
            yield from self._next(is_last=True)
        yield from self._end_of_turn()
        yield from self._heading()
        document = self._builder.document
        if document is not None and not self._kinds:
            yield self._renderer.ending(document)

    def of(self, given: Given) -> Iterator[str]:
        """
        Give what the next line adds.
        """
        yield from self._unreadable()
        self._builder.add(given.line, given.number, is_inherited=given.is_inherited)
        yield from self._news(f"b{given.number}" if given.is_inherited else str(given.number))

    def _unreadable(self) -> Iterator[str]:
        for skipped in self._source.skipped[self._skipped_count :]:
            self._skipped_count += 1
            self._builder.add_unreadable(evolve(skipped, reason=self._redact(skipped.reason)))
            yield from self._news(str(skipped.lineno))

    def _news(self, key: str) -> Iterator[str]:
        """
        Give what is to be shown now that the line of a key was taken.
        """
        for turn, items in self._builder.changes():
            for item in items:
                if item.lines[0] == key:
                    self._waiting.append(_Waiting(turn, item))
                elif item.key in self._unanswered and item.call and item.call.output is not None:
                    self._unanswered.remove(item.key)
                    # It stands where it came, in whichever turn that is.
                    now = self._waiting[-1].turn if self._waiting else turn
                    self._waiting.append(_Waiting(now, item, is_answer=True))
        while self._waiting and (len(self._waiting) > self._waiting_max or self._is_over(self._waiting[0].turn)):
            yield from self._next()
        if not self._waiting and self._turn is not None and self._turn.status in ("completed", "interrupted"):
            yield from self._end_of_turn()

    def _is_over(self, turn: Turn) -> bool:
        return bool(self._waiting) and self._waiting[-1].turn is not turn

    def _next(self, *, is_last: bool = False) -> Iterator[str]:
        """
        Give what waited longest.
        """
        turn, item, is_answer = self._waiting.popleft()
        if is_answer:
            yield from self._answer(item)
        else:
            yield from self._shown(turn, item, is_over=is_last or self._is_over(turn))

    def _shown(self, turn: Turn, item: Item, *, is_over: bool) -> Iterator[str]:
        said_as = "call" if item.call is not None else _SAID_AS.get(item.kind)
        has_answer = item.call is not None and (not self._kinds or "output" in self._kinds)
        is_said = not self._kinds or said_as in self._kinds
        if is_said or (has_answer and item.call and item.call.output is not None):
            yield from self._heading()
            yield from self._rule(turn, is_over=is_over)
        if is_said:
            # Standing orders and lines that cannot be read are nothing that somebody said.
            self.count += said_as is not None
            yield self._renderer.item(item)
        if item.call is not None and item.call.output is None:
            self._unanswered.add(item.key)
        elif has_answer:
            yield from self._answer(item)
        _forget(item)

    def _answer(self, item: Item) -> Iterator[str]:
        if not self._kinds or "output" in self._kinds:
            self.count += 1
            yield self._renderer.output(item)
        _forget(item)

    def _heading(self) -> Iterator[str]:
        document = self._builder.document
        if not self._has_heading and document is not None and self._is_whole:
            self._has_heading = True
            yield self._renderer.heading(document)

    def _rule(self, turn: Turn, *, is_over: bool) -> Iterator[str]:
        if turn is self._turn or not self._is_whole:
            return
        yield from self._end_of_turn()
        self._turn, self._is_open = turn, not is_over
        yield self._renderer.turn(turn, is_over=is_over)

    def _end_of_turn(self) -> Iterator[str]:
        if self._turn is not None and self._is_open:
            self._is_open = False
            yield self._renderer.turn_end(self._turn)


def _forget(item: Item) -> None:
    """
    Drop what was shown: a session may be larger than memory.
    """
    item.text, item.images = "", ()
    if item.call is not None:
        item.call.input, item.call.images, item.call.changes = "", (), ()
        item.call.output = item.call.output and ""
