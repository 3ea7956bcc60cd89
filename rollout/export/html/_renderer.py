"""
Turns and items as HTML: the content of each part of a page. The style defines its look, the script its behavior.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape

from rollout._text import (
    clock_text,
    duration_text,
    escape_control_chars,
    moment_text,
    one_line,
    pluralize,
    size_text,
    to_local,
    utc_text,
    utc_timestamp,
    zone_text,
)
from rollout.document import Call, Document, Item, Turn, call_facts, turn_facts, usage_facts
from rollout.export._detail import has_outputs, visible_items
from rollout.export._labels import command_text, line_notes, session_lines
from rollout.export.html._blocks import change_parts, fold, group_items, image_parts, preview, text_block, wrap
from rollout.export.html._markup import markdown
from rollout.export.html._truncate import FOLD_LINES, PROSE, truncate
from rollout.home import folder_key
from rollout.interpret import title_of

__all__ = ["Renderer"]

_NAMES = {
    "user": "User", "agent": "Agent", "reasoning": "Reasoning", "context": "Context", "plan": "Plan",
    "compaction": "Compaction", "interruption": "Interrupted", "error": "Error", "notice": "Notice", "other": "Other",
    "unreadable": "Unreadable line",
}  # fmt: skip
# Seconds; shorter gaps are usual and not shown.
_GAP_MIN = 60
# Kinds of items that are always folded, and kinds that are folded if they are longer than a number of characters.
_FOLDED = frozenset(("context", "other"))
_FOLDED_LONG = {"reasoning": 1500, "compaction": 600, "notice": 600}
# Beginnings of texts that are shown as diffs.
_DIFFS = ("diff --git ", "--- a/")
_STEPS = {"completed": "done", "in_progress": "in progress", "pending": "to do"}


@cache
def _environment() -> Environment:
    # In all template values except markup, control characters are escaped, then HTML.
    environment = Environment(
        loader=PackageLoader("rollout.export.html"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, (Markup, int)) else escape_control_chars(str(value)),
    )
    # Estimated height of a turn before its layout: 1 for 1 item, 4 for 8 to 15 items, at most 9.
    environment.filters["bits"] = lambda count: min(count.bit_length(), 9)
    environment.globals.update(pluralize=pluralize, moment=_moment, one_line=one_line)
    return environment


def _moment(timestamp: str) -> Markup:
    """
    Return a timestamp as local time, with its value in UTC for a pointer, and for programs.
    """
    local = to_local(timestamp)
    if local is None:
        return escape(moment_text(timestamp))
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        utc_timestamp(local), utc_text(timestamp), moment_text(local)
    )


def _zones(document: Document) -> str:
    """
    Return the time zone of the times on a page; two if summer time begins or ends during the session.
    """
    ends = filter(None, (document.meta.timestamp, document.stats.last_at))
    return " and ".join(dict.fromkeys(map(zone_text, ends))) or zone_text()


class Renderer:
    """
    Renderer of the parts of a page. It has no state; any number of threads may share one.

    Args:
        detail: One of `DETAILS`.
        is_live: Whether the session may continue: a call without an output is then shown as running.
        cwd: The folder of the session; calls that ran in another folder show that folder.

    Raises:
        ValueError: The level of detail is unknown.
    """

    def __init__(self, *, detail: str = "full", is_live: bool = False, cwd: str | None = None) -> None:
        self._detail = detail
        self._has_outputs = has_outputs(detail)
        self._is_live = is_live
        self._folder = folder_key(cwd or "")
        load = _environment().get_template
        self._page, self._session, self._contents = load("page.html"), load("session.html"), load("contents.html")
        # Macros, which a type checker does not know: a direct call takes half the time of rendering a template.
        self._turn: Any = load("turn.html").module
        self._item: Any = load("item.html").module
        self._closing = load("closing.html")

    def page_head(self, title: str, style: str, policy: str) -> str:
        """
        Return the beginning of a page, up to its body.
        """
        return self._page.render(title=one_line(title), style=Markup(style), policy=policy)  # noqa: S704 -- our own

    def body(self, document: Document) -> Iterator[str]:
        """
        Yield the body of a page: the jump list, the head, the turns one by one, the end.
        """
        yield f'<div class="page">\n{self.contents(document)}<main id="session" tabindex="-1">\n'
        yield self.heading(document)
        yield '<div id="turns">\n'
        yield from map(self.turn, document.turns)
        yield f"</div>\n{self.closing(document)}</main>\n</div>\n"

    def heading(self, document: Document) -> str:
        """
        Return the head of the page: title, facts, counts.
        """
        stats = document.stats
        tools = sorted(stats.tools.items(), key=lambda tool: -tool[1].calls)
        return self._session.render(
            document=document,
            title=one_line(document.title),
            usage_facts=usage_facts(stats),
            facts=list(session_lines(document)),
            tools=[
                (one_line(name), tool, duration_text(tool.duration) if tool.duration else "") for name, tool in tools
            ],
            tokens=stats.tokens,
            ended=stats.last_at,
            active=duration_text(stats.active_duration) if stats.active_duration else "",
            lasted=duration_text(stats.duration) if stats.duration else "",
            chart=_chart([total for _, total in document.token_growth]),
            is_live=self._is_live,
        )

    def contents(self, document: Document) -> str:
        """
        Return the jump list of turns.
        """
        count = sum(turn.number > 0 for turn in document.turns)
        return self._contents.render(turns=[(turn, _turn_title(turn)) for turn in document.turns], count=count)

    def closing(self, document: Document) -> str:
        """
        Return the end of the page: notes about the lines that are shown and not shown.
        """
        return self._closing.render(
            notes=list(line_notes(document, self._detail)),
            session_id=document.session_id,
            zone=_zones(document),
            is_live=self._is_live,
            detail=self._detail,
        )

    def turn(self, turn: Turn) -> str:
        """
        Return a turn: its head, its items, and the lines without content for a reader.
        """
        is_over = turn.status is not None
        items = [self.item(item, is_over=is_over) for item in visible_items(turn, self._detail)[0]]
        return str(
            self._turn.section(turn, turn_facts(turn), _turn_title(turn), group_items(items), self._others(turn))
        )

    def turn_head(self, turn: Turn) -> str:
        """
        Return only the head of a turn.
        """
        return str(self._turn.head(turn, turn_facts(turn), _turn_title(turn)))

    def others(self, turn: Turn) -> str:
        """
        Return only the footer of a turn.
        """
        return str(self._turn.others(*self._others(turn)))

    def item(self, item: Item, *, is_over: bool = False) -> str:
        """
        Return an item; its id is ``L`` and its key.

        Args:
            item: The item.
            is_over: Whether its turn has ended: then no more outputs follow, even in a live session.
        """
        call, body, kind = item.call, self._body(item, is_over=is_over), item.kind
        name = (call.tool or "output") if call and kind == "call" else _NAMES.get(kind, kind)
        return str(
            self._item.article(
                item,
                f"{kind} failed" if call and call.is_failed else kind,
                one_line(name),
                "" if body.startswith("<details") else one_line(item.title),
                clock_text(item.timestamp) or f"#{item.key}",
                utc_text(item.timestamp),
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
        parts += [self._item.picture(image_parts(image)) for image in item.images]
        return Markup("").join(parts)

    def _others(self, turn: Turn) -> tuple[list[tuple[str, list[str]]], int]:
        return list(turn.others.items()), visible_items(turn, self._detail)[1]

    def _text(self, item: Item) -> Markup:
        is_prose = item.kind in PROSE
        part = truncate(item.text, is_prose=is_prose)
        if is_prose and not part.note:
            shown_text = wrap("text", markdown(item.text, has_breaks=item.kind == "user"))
        else:
            language = "json" if item.kind == "other" else "diff" if item.text.startswith(_DIFFS) else ""
            shown_text = text_block(part.head, part.tail, part.note, f"{item.key}.text", language)
        if item.kind in _FOLDED or len(item.text) > _FOLDED_LONG.get(item.kind, len(item.text)):
            return fold(item, shown_text)
        return shown_text

    def _call(self, item: Item, call: Call, *, is_over: bool) -> Iterator[Markup]:
        text = command_text(call)
        if text and not item.plan:
            part = truncate(text)
            kind = "input command" if call.language == "bash" else "input"
            yield wrap(kind, text_block(part.head, part.tail, part.note, f"{item.key}.input", call.language))
        if call.changes:
            changes = [change_parts(change, f"{item.key}.diff{n}") for n, change in enumerate(call.changes)]
            yield self._item.changes(changes)
        yield self._output(item, call, is_over=is_over)
        if self._has_outputs:
            yield from (self._item.picture(image_parts(image)) for image in call.images)

    def _call_facts(self, call: Call, *, is_over: bool) -> list[str]:
        facts = call_facts(call)
        if call.output is None:
            facts.insert(0, "running" if self._is_live and not is_over else "no output recorded")
        elif call.is_failed and call.exit_code:
            facts[0] = f"failed, {facts[0]}"
        facts += [f"in {one_line(call.cwd)}"] if call.cwd and folder_key(call.cwd) != self._folder else []
        if call.output is not None and not call.output.strip() and self._has_outputs:
            facts.append("no output")
        return facts

    def _output(self, item: Item, call: Call, *, is_over: bool) -> Markup:
        facts = " · ".join(self._call_facts(call, is_over=is_over))
        text = call.output
        if not self._has_outputs or text is None or not text.strip():
            return Markup('<p class="facts">{}</p>').format(facts) if facts else Markup("")
        part = truncate(text)
        line_count = text.count("\n", 0, len(text) - 1) + 1
        is_folded = line_count > FOLD_LINES
        language = "diff" if text.startswith(_DIFFS) else "terminal"
        size = f"{pluralize(line_count, 'line')}, {size_text(len(text))}"
        # Error messages are at the end.
        begin = preview(text, is_end=call.is_failed) if is_folded else ""
        shown_output = text_block(part.head, part.tail, part.note, call.output_line or item.key, language)
        return Markup(  # noqa: S704 -- each part is escaped
            f'<details class="output"{"" if is_folded else " open"}><summary>'
            f"{f'<b>{escape(facts)}</b> · ' if facts else ''}{escape(size)}{begin}</summary>{shown_output}</details>"
        )


def _turn_title(turn: Turn) -> str:
    if turn.number == 0:
        return "Before the first prompt"
    return one_line(title_of(turn.prompt or "")) or "No prompt"


def _chart(totals: Sequence[int]) -> str:
    """
    Return the points of a curve, 200 wide and 40 high; empty for fewer than three values.
    """
    if len(totals) < 3 or totals[-1] <= 0:
        return ""
    step = max(len(totals) // 200, 1)
    points = [*totals[::step], totals[-1]]
    return " ".join(
        f"{200 * n / (len(points) - 1):.1f},{40 - 38 * min(total / totals[-1], 1):.1f}"
        for n, total in enumerate(points)
    )
