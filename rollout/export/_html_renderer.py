"""
Turns and items as HTML: what each part of a page says. How it looks is the style's, what it does the script's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape

from rollout._units import counted, duration_text, size_text
from rollout._visible import one_line, visible
from rollout.document import Call, Document, Item, Turn
from rollout.export._detail import has_outputs, shown
from rollout.export._html_blocks import block, change_parts, folded, grouped, picture, preview, wrapped
from rollout.export._html_cut import FOLD_LINES, PROSE, cut
from rollout.export._markup import markdown
from rollout.export._words import clock, command_text, facts, moment, notes, taken

__all__ = ["Renderer"]

_NAMES = {
    "user": "User", "agent": "Agent", "reasoning": "Reasoning", "context": "Context", "plan": "Plan",
    "compaction": "Compaction", "interruption": "Interrupted", "error": "Error", "notice": "Notice", "other": "Other",
    "unreadable": "Unreadable line",
}  # fmt: skip
# Seconds; shorter gaps are the agent's pace.
_GAP_MIN = 60
# Items that are folded whatever their size, and those that are if they are long (characters).
_FOLDED = frozenset(("context", "other"))
_FOLDED_LONG = {"reasoning": 1500, "compaction": 600, "notice": 600}
# What texts begin with that have the colours of a diff.
_DIFFS = ("diff --git ", "--- a/")
_TITLE_MAX = 160
_STEPS = {"completed": "done", "in_progress": "in progress", "pending": "to do"}


@cache
def _environment() -> Environment:
    # Whatever a template shows and did not come from `_markup` is made harmless, then escaped.
    environment = Environment(
        loader=PackageLoader("rollout.export"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, (Markup, int)) else visible(str(value)),
    )
    # How high a turn may be, before it is laid out: 1 for 1 item, 4 for 8 to 15, no more than 9.
    environment.filters["bits"] = lambda count: min(count.bit_length(), 9)
    environment.globals.update(counted=counted, moment=moment, clock=clock, one_line=one_line)
    return environment


class Renderer:
    """
    Gives the parts of a page. Keeps nothing of what it is given; any number of threads may share one.

    Args:
        detail: How much is shown, one of `DETAILS`.
        is_live: The session may go on: a call without an answer is running.
        cwd: The folder of the session: of calls that ran elsewhere it is said where.

    Raises:
        ValueError: There is no such detail.
    """

    def __init__(self, *, detail: str = "full", is_live: bool = False, cwd: str | None = None) -> None:
        self._detail = detail
        self._has_outputs = has_outputs(detail)
        self._is_live = is_live
        self._cwd = cwd
        load = _environment().get_template
        self._page, self._session, self._contents = load("page.html"), load("session.html"), load("contents.html")
        # Macros, which a type checker does not know: called as they are, an item takes half the time of a render.
        self._turn: Any = load("turn.html").module
        self._item: Any = load("item.html").module
        self._closing = load("closing.html")

    def page_head(self, title: str, style: str, policy: str) -> str:
        """
        Give the beginning of a page, down to its body.
        """
        return self._page.render(title=one_line(title), style=Markup(style), policy=policy)  # noqa: S704 -- our own

    def body(self, document: Document) -> Iterator[str]:
        """
        Give what a page consists of, turn by turn: the jump list beside, the session's head, its turns, its end.
        """
        yield f'<div class="page">\n{self.contents(document)}<main id="session" tabindex="-1">\n'
        yield self.heading(document)
        yield '<div id="turns">\n'
        yield from map(self.turn, document.turns)
        yield f"</div>\n{self.closing(document)}</main>\n</div>\n"

    def heading(self, document: Document) -> str:
        """
        Give the session's head: title, facts, counts.
        """
        stats = document.stats
        tools = sorted(stats.tools.items(), key=lambda tool: -tool[1].calls)
        return self._session.render(
            document=document,
            title=_title(document.title),
            taken=taken(stats),
            facts=list(facts(document)),
            tools=[
                (one_line(name), tool, duration_text(tool.duration) if tool.duration else "") for name, tool in tools
            ],
            tokens=stats.tokens,
            ended=moment(stats.last_at),
            active=duration_text(stats.active_duration) if stats.active_duration else "",
            lasted=duration_text(stats.duration) if stats.duration else "",
            chart=_chart([total for _, total in document.token_growth]),
            is_live=self._is_live,
        )

    def contents(self, document: Document) -> str:
        """
        Give the jump list of turns.
        """
        count = sum(turn.number > 0 for turn in document.turns)
        return self._contents.render(turns=[(turn, _turn_title(turn)) for turn in document.turns], count=count)

    def closing(self, document: Document) -> str:
        """
        Give the end of the page: what became of each line of the file.
        """
        return self._closing.render(
            notes=list(notes(document, self._detail)),
            session_id=document.session_id,
            is_live=self._is_live,
            detail=self._detail,
        )

    def turn(self, turn: Turn) -> str:
        """
        Give a turn: its head, its items, and the lines that add nothing for a reader.
        """
        is_over = turn.status is not None
        items = [self.item(item, is_over=is_over) for item in shown(turn, self._detail)[0]]
        return str(
            self._turn.section(turn, self._turn_facts(turn), _turn_title(turn), grouped(items), self._others(turn))
        )

    def turn_head(self, turn: Turn) -> str:
        """
        Give the head of a turn alone.
        """
        return str(self._turn.head(turn, self._turn_facts(turn), _turn_title(turn)))

    def others(self, turn: Turn) -> str:
        """
        Give the footer of a turn alone.
        """
        return str(self._turn.others(*self._others(turn)))

    def item(self, item: Item, *, is_over: bool = False) -> str:
        """
        Give an item; its id is ``L`` and its key.

        Args:
            item: It.
            is_over: Its turn has ended: of a live session, too, no more answers come.
        """
        call, body, kind = item.call, self._body(item, is_over=is_over), item.kind
        name = (call.tool or "answer") if call and kind == "call" else _NAMES.get(kind, kind)
        return str(
            self._item.article(
                item,
                f"{kind} failed" if call and call.is_failed else kind,
                one_line(name),
                "" if body.startswith("<details") else one_line(item.title),
                clock(item.timestamp) or f"#{item.key}",
                duration_text(item.gap).removesuffix(" 0 s") if item.gap is not None and item.gap >= _GAP_MIN else "",
                body,
            )
        )

    def _body(self, item: Item, *, is_over: bool) -> Markup:
        parts = [self._text(item)] if item.text else []
        if item.plan:
            parts.append(
                self._item.plan([(step.text, _STEPS.get(step.status, step.status), step.status) for step in item.plan])
            )
        if item.call is not None:
            parts += self._call(item, item.call, is_over=is_over)
        parts += [self._item.picture(picture(image)) for image in item.images]
        return Markup("").join(parts)

    def _others(self, turn: Turn) -> tuple[list[tuple[str, list[str]]], int]:
        return list(turn.others.items()), shown(turn, self._detail)[1]

    def _turn_facts(self, turn: Turn) -> list[str]:
        status = "taken back" if turn.is_rolled_back else turn.status
        found = ["inherited"] if turn.is_inherited else []
        found += [one_line(status)] if status else []
        found += [duration_text(turn.duration)] if turn.duration else []
        found += [f"{turn.tokens.total_tokens:,} tokens"] if turn.tokens.total_tokens else []
        return found + ([one_line(turn.model)] if turn.model else [])

    def _text(self, item: Item) -> Markup:
        is_prose = item.kind in PROSE
        part = cut(item.text, is_prose=is_prose)
        if is_prose and not part.note:
            shown_text = wrapped("text", markdown(item.text, has_breaks=item.kind == "user"))
        else:
            language = "json" if item.kind == "other" else "diff" if item.text.startswith(_DIFFS) else ""
            shown_text = block(part.head, part.tail, part.note, f"{item.key}.text", language)
        if item.kind in _FOLDED or len(item.text) > _FOLDED_LONG.get(item.kind, len(item.text)):
            return folded(item, shown_text)
        return shown_text

    def _call(self, item: Item, call: Call, *, is_over: bool) -> Iterator[Markup]:
        text = command_text(call)
        if text and not item.plan:
            part = cut(text)
            kind = "input command" if call.language == "bash" else "input"
            yield wrapped(kind, block(part.head, part.tail, part.note, f"{item.key}.input", call.language))
        if call.changes:
            changes = [change_parts(change, f"{item.key}.diff{n}") for n, change in enumerate(call.changes)]
            yield self._item.changes(changes)
        yield self._output(item, call, is_over=is_over)
        if self._has_outputs:
            yield from (self._item.picture(picture(image)) for image in call.images)

    def _call_facts(self, call: Call, *, is_over: bool) -> list[str]:
        found = []
        if call.output is None:
            found.append("running" if self._is_live and not is_over else "no answer")
        elif call.exit_code is not None:
            found.append(f"{'failed, ' if call.is_failed else ''}exit code {call.exit_code}")
        elif call.is_failed:
            found.append("failed")
        took = call.elapsed if call.duration is None else call.duration
        found += [duration_text(took)] if took else []
        found += [f"in {one_line(call.cwd)}"] if call.cwd and call.cwd != self._cwd else []
        if call.output is not None and not call.output.strip() and self._has_outputs:
            found.append("no output")
        return found

    def _output(self, item: Item, call: Call, *, is_over: bool) -> Markup:
        facts = " · ".join(self._call_facts(call, is_over=is_over))
        text = call.output
        if not self._has_outputs or text is None or not text.strip():
            return Markup('<p class="facts">{}</p>').format(facts) if facts else Markup("")
        part = cut(text)
        line_count = text.count("\n", 0, len(text) - 1) + 1
        is_folded = line_count > FOLD_LINES
        language = "diff" if text.startswith(_DIFFS) else "terminal"
        said = f"{counted(line_count, 'line')}, {size_text(len(text))}"
        # What went wrong is said at the end.
        begin = preview(text, is_end=call.is_failed) if is_folded else ""
        shown_output = block(part.head, part.tail, part.note, call.output_line or item.key, language)
        return Markup(  # noqa: S704 -- each part is escaped
            f'<details class="output"{"" if is_folded else " open"}><summary>'
            f"{f'<b>{escape(facts)}</b> · ' if facts else ''}{escape(said)}{begin}</summary>{shown_output}</details>"
        )


def _turn_title(turn: Turn) -> str:
    if turn.number == 0:
        return "Before the first prompt"
    return _title(turn.prompt or "") or "Without a prompt"


def _title(text: str) -> str:
    line = one_line(text.strip()[: 4 * _TITLE_MAX].split("\n", 1)[0])
    return line if len(line) <= _TITLE_MAX else f"{line[:_TITLE_MAX]}…"


def _chart(totals: Sequence[int]) -> str:
    """
    Give the points of a curve, 200 wide and 40 high; nothing for fewer than three.
    """
    if len(totals) < 3 or totals[-1] <= 0:
        return ""
    step = max(len(totals) // 200, 1)
    points = [*totals[::step], totals[-1]]
    return " ".join(
        f"{200 * n / (len(points) - 1):.1f},{40 - 38 * min(total / totals[-1], 1):.1f}"
        for n, total in enumerate(points)
    )
