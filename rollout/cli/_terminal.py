"""
A session drawn for a terminal: the same parts as plain text, with colors, rules and Markdown.

Imported only for output on a terminal: `rich` takes 0.1 s to import.
"""

from __future__ import annotations

import io
import re
from shutil import get_terminal_size

from rich.box import ROUNDED
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markdown import CodeBlock, Markdown, TableElement
from rich.padding import Padding
from rich.panel import Panel
from rich.style import Style
from rich.syntax import ANSISyntaxTheme, Syntax
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from rollout._text import duration_text, escape_control_chars, moment_text, one_line
from rollout.cli._output import has_colors
from rollout.document import Call, Document, FileChange, Image, Item, Turn, call_facts, turn_facts, usage_facts
from rollout.export import (
    change_text,
    command_text,
    first_lines,
    image_text,
    line_notes,
    sanitize_markdown,
    session_lines,
    truncate_line,
)
from rollout.export.html import lexer_name

__all__ = ["TerminalRenderer"]

# Maximum number of columns, also of rules and panels: longer lines of prose are hard to read.
_WIDTH_MAX = 110
# Characters: longer texts are drawn without colors, because rich would take seconds; longer titles are truncated.
_STYLED_MAX, _TITLE_MAX = 20_000, 200
# Minimum number of seconds between two items for which the pause is shown.
_GAP = 60
_STYLE = re.compile(r"(\x1b\[[\d;]*m)")
# Color codes that are kept in an output: none that hide text.
_SAFE_STYLE = re.compile(r"(\x1b\[(?:(?:0?[0-79]|2[1-79]|[349][0-79]|10[0-7]|[34]8;5;\d{1,3})(?:;(?!m)|(?=m)))*m)")
# Spaces with which rich pads lines.
_PADDING = re.compile(r"(?<! )(?: |\x1b\[[\d;]+m +\x1b\[0m)+\n")
_BLANK = re.compile(r"^ +$", re.MULTILINE)
# "Erase in line" has no effect here, because nothing is overwritten.
_ERASURE = re.compile(r"\x1b\[[0-2]?K")
_STEPS = {"completed": ("✔", "green"), "in_progress": ("▶", "yellow")}
_DIFF = {"+": "green", "-": "red", "@": "cyan"}
# Only those of the sixteen terminal colors that are readable on dark and on light backgrounds.
_CODE = ANSISyntaxTheme({
    ("Comment",): Style(dim=True),
    ("Keyword",): Style(color="magenta"),
    ("Literal", "String"): Style(color="green"),
    ("Literal", "Number"): Style(color="cyan"),
    ("Name", "Builtin"): Style(color="cyan"),
    ("Name", "Function"): Style(color="cyan"),
    ("Name", "Tag"): Style(color="cyan"),
})  # fmt: skip
_THEME = Theme({
    "markdown.code": "cyan", "markdown.block_quote": "dim", "markdown.link": "underline", "markdown.link_url": "dim",
    "markdown.item.number": "bold", "markdown.item.bullet": "bold", "markdown.hr": "dim",
    "markdown.table.border": "dim", "markdown.table.header": "bold",
})  # fmt: skip


class TerminalRenderer:
    """
    A renderer of the parts of a session. Each part ends with an empty line, except a call that has no output yet: the
    output or the empty line follows later.

    Args:
        output_lines: Number of lines of an output to show; None for all.
    """

    def __init__(self, output_lines: int | None = None) -> None:
        self._output_lines = output_lines
        width = get_terminal_size().columns
        self._width = max(min(width, _WIDTH_MAX), 20)
        # Nothing is written to this file: the text is captured.
        self._console = Console(
            file=io.StringIO(), force_terminal=True, color_system="standard" if has_colors() else None, theme=_THEME,
            width=self._width, highlight=False, markup=False, emoji=False, legacy_windows=False,
        )  # fmt: skip
        self._open_item: Item | None = None

    def heading(self, document: Document) -> str:
        """
        Draw the facts about a session.
        """
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, text in session_lines(document):
            # The path would take two lines; `rollout path` prints it.
            if name != "file":
                grid.add_row(name, Text(text))
        has_title = document.title != document.session_id
        title = [Text(truncate_line(document.title, _TITLE_MAX), style="bold", overflow="fold")] if has_title else []
        panel = Panel(Group(*title, grid), box=ROUNDED, border_style="dim", width=self._width)
        return self._draw(panel) + "\n"

    def turn(self, turn: Turn, *, is_over: bool = True) -> str:
        """
        Draw the rule above a turn; nothing for items before the first turn.
        """
        facts = [*filter(None, [moment_text(turn.started_at), *turn_facts(turn, is_over=is_over)])]
        return self._closing_line() + (self._rule(f"Turn {turn.number}", facts) if turn.number else "")

    def turn_end(self, turn: Turn) -> str:
        """
        Draw the rule below a turn that had not ended when its heading was drawn.
        """
        return self._closing_line() + (self._rule(f"Turn {turn.number} ended", turn_facts(turn)) if turn.number else "")

    def item(self, item: Item) -> str:
        """
        Draw an item; for a call its input, not its output.
        """
        gap = f"  {duration_text(item.gap)} later" if item.gap and item.gap >= _GAP else ""
        before = self._closing_line() + (self._draw(Text(gap, "dim")) + "\n" if gap else "")
        if item.plan:
            body = self._plan(item)
        elif item.call is not None:
            body = self._call(item.call)
        else:
            body = self._message(item)
        images = "".join(map(self._image, item.images))
        if item.call is None:
            return f"{before}{body}{images}\n"
        self._open_item = item
        return before + body + images

    def output(self, item: Item) -> str:
        """
        Draw the output of a call; nothing for other items, or while there is no output.
        """
        call = item.call
        if call is None or call.output is None:
            return ""
        is_separate = item is not self._open_item
        title = self._draw(Text(f"↳ {one_line(call.tool) or 'output'}", "bold")) if is_separate else ""
        before, self._open_item = self._closing_line() if is_separate else "", None
        text, more = first_lines(call.output, self._output_lines)
        bar = self._style("  │ ", "dim")
        body = _prefix_lines(self._draw_colors(text), bar, bar) if text.strip() else ""
        if more:
            body += f"{bar}{self._style(more, 'dim')}\n"
        images = _prefix_lines("".join(map(self._image, call.images)), bar, bar) if call.images else ""
        mark = self._style("✗", "bold red") if call.is_failed else self._style("✔", "green")
        call_end = self._style(
            " · ".join(map(escape_control_chars, call_facts(call))), "red" if call.is_failed else "dim"
        )
        return f"{before}{title}{body}{images}{self._style('  ╰ ', 'dim')}{mark} {call_end}".rstrip() + "\n\n"

    def ending(self, document: Document, detail: str = "full") -> str:
        """
        Draw the usage of a session, and the notes about its lines.
        """
        lines = [", ".join(usage_facts(document.stats)), *line_notes(document, detail)]
        return self._closing_line() + self._draw(Text("\n".join(lines), "dim"))

    def _closing_line(self) -> str:
        """
        Return the empty line below a call without an output.
        """
        is_open, self._open_item = self._open_item is not None, None
        return "\n" if is_open else ""

    def _message(self, item: Item) -> str:
        if item.kind == "user":
            bar = self._style("▌ ", "bold green")
            return _prefix_lines(self._markdown(item.text, keeps_breaks=True), bar, bar)
        if item.kind == "agent":
            title = self._draw(Text(f"{one_line(item.title)}:", "dim")) if item.title else ""
            return _prefix_lines(title + self._markdown(item.text), self._style("• ", "bold cyan"), "  ")
        if item.kind == "reasoning":
            return _prefix_lines(self._markdown(item.text, "dim italic"), "  ", "  ")
        if item.kind == "compaction":
            title = self._draw(Text(f"≡ {_item_title(item)}", "bold magenta"))
            return title + (_prefix_lines(self._markdown(item.text), "  ", "  ") if item.text.strip() else "")
        return self._note(item)

    def _note(self, item: Item) -> str:
        mark, style = {
            "error": ("✗", "bold red"), "unreadable": ("✗", "red"), "interruption": ("■", "bold yellow"),
        }.get(item.kind, ("·", "dim"))  # fmt: skip
        is_truncated = item.kind in ("context", "other", "unreadable")
        text, more = first_lines(escape_control_chars(item.text), self._output_lines if is_truncated else None)
        if text and "\n" not in text and not more and len(text) <= _STYLED_MAX:
            return self._draw(
                Text.assemble((f"{mark} {_item_title(item)}: ", style), (text, "" if mark == "✗" else "dim"))
            )
        title = self._draw(Text(f"{mark} {_item_title(item)}", style))
        body = _prefix_lines(self._dim(text) if mark == "·" else f"{text}\n", "  ", "  ") if text else ""
        return title + body + (self._draw(Text(f"  {more}", "dim")) if more else "")

    def _plan(self, item: Item) -> str:
        title = self._draw(Text("☰ plan", "bold yellow"))
        text = _prefix_lines(self._markdown(item.text), "  ", "  ") if item.text.strip() else ""
        steps = Text()
        for step in item.plan:
            mark, style = _STEPS.get(step.status, ("○", ""))
            steps.append(f"{mark} {one_line(step.text)}\n", style)
        return title + text + _prefix_lines(self._draw(steps, 2), "  ", "  ")

    def _call(self, call: Call) -> str:
        text = command_text(call)
        if call.language == "bash" and not call.changes:
            return _prefix_lines(self._code(text, "bash"), self._style("▸ ", "bold yellow"), "  ")
        title = self._draw(Text(f"◆ {one_line(call.tool)}", "bold yellow"))
        body = _prefix_lines(self._code(text, call.language), "  ", "  ") if text.strip() else ""
        return title + body + "".join(map(self._change, call.changes))

    def _change(self, change: FileChange) -> str:
        text, more = first_lines(escape_control_chars(change.diff), self._output_lines and 4 * self._output_lines)
        lines = Text()
        if len(text) > _STYLED_MAX:
            lines.append(_prefix_lines(f"\n{text}", "", "    ").rstrip("\n"))
        else:
            for line in text.split("\n") if text else ():
                lines.append(f"\n    {line}", _DIFF.get(line[:1], ""))
        if more:
            lines.append(f"\n    {more}", "dim")
        return self._draw(Text.assemble((f"  {change_text(change)}", "bold"), lines), is_wrapped=False)

    def _dim(self, text: str) -> str:
        return f"{text}\n" if len(text) > _STYLED_MAX else self._draw(Text(text, "dim"), 2)

    def _image(self, image: Image) -> str:
        return self._draw(Text(f"  [image: {image_text(image)}]", "dim"))

    def _rule(self, left: str, known_facts: list[str]) -> str:
        right = " · ".join(known_facts)
        dash_count = self._width - len(left) - len(right) - 9
        if dash_count < 1:
            rest = self._draw(Text(f"   {right}", "dim")) if right else ""
            return self._draw(Text.assemble(("── ", "dim"), (left, "bold"))) + rest + "\n"
        line = Text.assemble(("── ", "dim"), (left, "bold"), (f" {'─' * dash_count} {right} ──", "dim"))
        return self._draw(line) + "\n"

    def _markdown(self, text: str, style: str = "", *, keeps_breaks: bool = False) -> str:
        if len(text) > _STYLED_MAX:
            return f"{escape_control_chars(text)}\n"
        return self._draw(
            _Markdown(sanitize_markdown(text, keeps_breaks=keeps_breaks), hyperlinks=False, style=style), 2
        )

    def _code(self, text: str, language: str) -> str:
        shown = escape_control_chars(text).strip("\n")
        if len(shown) > _STYLED_MAX or not language:
            return f"{shown}\n"
        return self._draw(_highlight(shown, language), is_wrapped=False)

    def _draw_colors(self, text: str) -> str:
        """
        Draw an output with its own colors.
        """
        if "\x1b[" not in text or len(text) > _STYLED_MAX:
            return f"{escape_control_chars(text)}\n"
        parts = _SAFE_STYLE.split(_ERASURE.sub("", text))
        safe = "".join(part if number % 2 else escape_control_chars(part) for number, part in enumerate(parts))
        return self._draw(Text.from_ansi(safe), is_wrapped=False)

    def _style(self, text: str, style: str) -> str:
        """
        Return a part of a line with a style.
        """
        with self._console.capture() as capture:
            self._console.print(Text(text, style), end="", soft_wrap=True)
        return capture.get()

    def _draw(self, renderable: RenderableType, indent: int = 0, *, is_wrapped: bool = True) -> str:
        """
        Return a renderable as lines of text with colors, each with a newline.

        Args:
            renderable: Escaped text, or a renderable of it.
            indent: Number of columns that the caller will put before each line.
            is_wrapped: Whether to wrap lines at the width of the terminal; otherwise the terminal wraps them.
        """
        with self._console.capture() as capture:
            self._console.print(renderable, width=max(self._width - indent, 10), soft_wrap=not is_wrapped, crop=False)
        # A second check, independent of rich: only color codes reach the terminal unescaped.
        parts = _STYLE.split(capture.get())
        safe = "".join(part if number % 2 else escape_control_chars(part) for number, part in enumerate(parts))
        return _PADDING.sub("\n", safe).rstrip("\n") + "\n"


class _Code(CodeBlock):
    """
    A code block inside a message: indented, without a background.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        code = _highlight(str(self.text).rstrip("\n"), self.lexer_name)
        code.overflow = "fold"
        yield Padding(code, (0, 0, 0, 2))


class _Cells(TableElement):
    """
    A table that wraps long cells instead of truncating them.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for part in super().__rich_console__(console, options):
            for column in part.columns if isinstance(part, Table) else ():
                column.overflow = "fold"
            yield part


class _Markdown(Markdown):
    elements = {**Markdown.elements, "fence": _Code, "code_block": _Code, "table_open": _Cells}  # noqa: RUF012


def _highlight(code: str, language: str) -> Text:
    # `lexer_name` excludes lexers that take minutes for some texts of 20,000 characters: "make" for brackets, "csharp"
    # for short lines.
    name = "diff" if language == "diff" else lexer_name(code, language)
    text = Syntax("", name, theme=_CODE).highlight(code) if name else Text(code)
    text.rstrip()
    return text


def _item_title(item: Item) -> str:
    if item.kind in ("notice", "interruption") and item.title:
        return one_line(item.title)
    where = f" line {item.key}" if item.kind == "unreadable" else ""
    return one_line(f"{item.kind}{where}: {item.title}" if item.title else item.kind)


def _prefix_lines(text: str, first: str, rest: str) -> str:
    lines = text.rstrip("\n").replace("\n", f"\n{rest}")
    return f"{first}{_BLANK.sub('', lines)}\n"
