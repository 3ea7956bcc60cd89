"""
A session drawn for a person at a terminal: the parts that plain text has, with colours, rules and Markdown.

Imported only where a person looks: what it draws with takes 0.1 s to load.
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

from rollout._units import duration_text
from rollout._visible import one_line, visible
from rollout.cli._output import has_colours
from rollout.document import Call, Document, FileChange, Image, Item, Turn
from rollout.export._markup import lexer_name
from rollout.export._tamed import tamed
from rollout.export._text import first_lines
from rollout.export._words import (
    call_facts,
    change_text,
    command_text,
    facts,
    image_text,
    notes,
    shortened,
    taken,
    turn_facts,
)

__all__ = ["TerminalRenderer"]

# Columns: longer lines of prose are hard to read; rules and panels end there, too.
_WIDTH_MAX = 110
# Characters: what is longer is drawn without colours, which would take seconds.
_DRAWN_MAX, _TITLE_MAX = 20_000, 200
# Seconds without a sign of life that are worth a word.
_GAP = 60
_STYLE = re.compile(r"(\x1b\[[\d;]*m)")
# Colours of an output. Not what hides text; what erases the rest of a line has nothing to erase.
_SAFE_STYLE = re.compile(r"(\x1b\[(?:(?:0?[0-79]|2[1-79]|[349][0-79]|10[0-7]|[34]8;5;\d{1,3})(?:;(?!m)|(?=m)))*m)")
# It fills lines up.
_PADDING = re.compile(r"(?<! )(?: |\x1b\[[\d;]+m +\x1b\[0m)+\n")
_BLANK = re.compile(r"^ +$", re.MULTILINE)
_ERASURE = re.compile(r"\x1b\[[0-2]?K")
_STEPS = {"completed": ("✔", "green"), "in_progress": ("▶", "yellow")}
_DIFF = {"+": "green", "-": "red", "@": "cyan"}
# Of the sixteen colours those that can be read on dark and on light.
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
    The parts of a session as a person likes to see them. Each ends with an empty line, but a call that was not
    answered yet: what it answers follows, or else the empty line.

    Args:
        output_lines: How many lines of an output are shown; None for all.
    """

    def __init__(self, output_lines: int | None = None) -> None:
        self._output_lines = output_lines
        width = get_terminal_size().columns
        self._width = max(min(width, _WIDTH_MAX), 20)
        # To no file: what is drawn is taken as text.
        self._console = Console(
            file=io.StringIO(), force_terminal=True, color_system="standard" if has_colours() else None, theme=_THEME,
            width=self._width, highlight=False, markup=False, emoji=False, legacy_windows=False,
        )  # fmt: skip
        self._open: Item | None = None

    def heading(self, document: Document) -> str:
        """
        Draw what is known of a session.
        """
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, text in facts(document):
            # Its path would take two lines; `rollout path` gives it.
            if name != "file":
                grid.add_row(name, Text(text))
        has_title = document.title != document.session_id
        title = [Text(shortened(document.title, _TITLE_MAX), style="bold", overflow="fold")] if has_title else []
        panel = Panel(Group(*title, grid), box=ROUNDED, border_style="dim", width=self._width)
        return self._drawn(panel) + "\n"

    def turn(self, turn: Turn, *, is_over: bool = True) -> str:
        """
        Draw the rule above a turn; nothing above what stands before the first.
        """
        return self._closed() + (
            self._rule(f"Turn {turn.number}", turn_facts(turn, is_over=is_over)) if turn.number else ""
        )

    def turn_end(self, turn: Turn) -> str:
        """
        Draw the rule below a turn whose end was not known when it began.
        """
        known = turn_facts(turn)[1:]
        return self._closed() + (self._rule(f"Turn {turn.number} ended", known) if turn.number else "")

    def item(self, item: Item) -> str:
        """
        Draw an item; of a call what it was given, not its output.
        """
        gap = f"  {duration_text(item.gap)} later" if item.gap and item.gap >= _GAP else ""
        before = self._closed() + (self._drawn(Text(gap, "dim")) + "\n" if gap else "")
        if item.plan:
            body = self._plan(item)
        elif item.call is not None:
            body = self._call(item.call)
        else:
            body = self._said(item)
        images = "".join(map(self._image, item.images))
        if item.call is None:
            return f"{before}{body}{images}\n"
        self._open = item
        return before + body + images

    def output(self, item: Item) -> str:
        """
        Draw what a call answered; nothing of other items, and as long as it has not answered.
        """
        call = item.call
        if call is None or call.output is None:
            return ""
        is_apart = item is not self._open
        title = self._drawn(Text(f"↳ {one_line(call.tool) or 'output'}", "bold")) if is_apart else ""
        before, self._open = self._closed() if is_apart else "", None
        text, more = first_lines(call.output, self._output_lines)
        bar = self._styled("  │ ", "dim")
        body = _prefixed(self._coloured(text), bar, bar) if text.strip() else ""
        if more:
            body += f"{bar}{self._styled(more, 'dim')}\n"
        images = _prefixed("".join(map(self._image, call.images)), bar, bar) if call.images else ""
        mark = self._styled("✗", "bold red") if call.is_failed else self._styled("✔", "green")
        known = self._styled(" · ".join(map(visible, call_facts(call))), "red" if call.is_failed else "dim")
        return f"{before}{title}{body}{images}{self._styled('  ╰ ', 'dim')}{mark} {known}".rstrip() + "\n\n"

    def ending(self, document: Document, detail: str = "full") -> str:
        """
        Say what a session took, and what became of its lines.
        """
        lines = [", ".join(taken(document.stats)), *notes(document, detail)]
        return self._closed() + self._drawn(Text("\n".join(lines), "dim"))

    def _closed(self) -> str:
        """
        Give the empty line below a call that was not answered.
        """
        is_open, self._open = self._open is not None, None
        return "\n" if is_open else ""

    def _said(self, item: Item) -> str:
        if item.kind == "user":
            bar = self._styled("▌ ", "bold green")
            return _prefixed(self._markdown(item.text, keeps_breaks=True), bar, bar)
        if item.kind == "agent":
            title = self._drawn(Text(f"{one_line(item.title)}:", "dim")) if item.title else ""
            return _prefixed(title + self._markdown(item.text), self._styled("• ", "bold cyan"), "  ")
        if item.kind == "reasoning":
            return _prefixed(self._markdown(item.text, "dim italic"), "  ", "  ")
        if item.kind == "compaction":
            title = self._drawn(Text(f"≡ {_named(item)}", "bold magenta"))
            return title + (_prefixed(self._markdown(item.text), "  ", "  ") if item.text.strip() else "")
        return self._noted(item)

    def _noted(self, item: Item) -> str:
        mark, style = {
            "error": ("✗", "bold red"), "unreadable": ("✗", "red"), "interruption": ("■", "bold yellow"),
        }.get(item.kind, ("·", "dim"))  # fmt: skip
        is_cut = item.kind in ("context", "other", "unreadable")
        text, more = first_lines(visible(item.text), self._output_lines if is_cut else None)
        if text and "\n" not in text and not more and len(text) <= _DRAWN_MAX:
            return self._drawn(Text.assemble((f"{mark} {_named(item)}: ", style), (text, "" if mark == "✗" else "dim")))
        title = self._drawn(Text(f"{mark} {_named(item)}", style))
        body = _prefixed(self._dimmed(text) if mark == "·" else f"{text}\n", "  ", "  ") if text else ""
        return title + body + (self._drawn(Text(f"  {more}", "dim")) if more else "")

    def _plan(self, item: Item) -> str:
        title = self._drawn(Text("☰ plan", "bold yellow"))
        said = _prefixed(self._markdown(item.text), "  ", "  ") if item.text.strip() else ""
        steps = Text()
        for step in item.plan:
            mark, style = _STEPS.get(step.status, ("○", ""))
            steps.append(f"{mark} {one_line(step.text)}\n", style)
        return title + said + _prefixed(self._drawn(steps, 2), "  ", "  ")

    def _call(self, call: Call) -> str:
        text = command_text(call)
        if call.language == "bash" and not call.changes:
            return _prefixed(self._code(text, "bash"), self._styled("▸ ", "bold yellow"), "  ")
        title = self._drawn(Text(f"◆ {one_line(call.tool)}", "bold yellow"))
        body = _prefixed(self._code(text, call.language), "  ", "  ") if text.strip() else ""
        return title + body + "".join(map(self._change, call.changes))

    def _change(self, change: FileChange) -> str:
        text, more = first_lines(visible(change.diff), self._output_lines and 4 * self._output_lines)
        lines = Text()
        if len(text) > _DRAWN_MAX:
            lines.append(_prefixed(f"\n{text}", "", "    ").rstrip("\n"))
        else:
            for line in text.split("\n") if text else ():
                lines.append(f"\n    {line}", _DIFF.get(line[:1], ""))
        if more:
            lines.append(f"\n    {more}", "dim")
        return self._drawn(Text.assemble((f"  {change_text(change)}", "bold"), lines), is_wrapped=False)

    def _dimmed(self, text: str) -> str:
        return f"{text}\n" if len(text) > _DRAWN_MAX else self._drawn(Text(text, "dim"), 2)

    def _image(self, image: Image) -> str:
        return self._drawn(Text(f"  [image: {image_text(image)}]", "dim"))

    def _rule(self, left: str, known: list[str]) -> str:
        right = " · ".join(known)
        room = self._width - len(left) - len(right) - 9
        if room < 1:
            rest = self._drawn(Text(f"   {right}", "dim")) if right else ""
            return self._drawn(Text.assemble(("── ", "dim"), (left, "bold"))) + rest + "\n"
        line = Text.assemble(("── ", "dim"), (left, "bold"), (f" {'─' * room} {right} ──", "dim"))
        return self._drawn(line) + "\n"

    def _markdown(self, text: str, style: str = "", *, keeps_breaks: bool = False) -> str:
        if len(text) > _DRAWN_MAX:
            return f"{visible(text)}\n"
        return self._drawn(_Markdown(tamed(text, keeps_breaks=keeps_breaks), hyperlinks=False, style=style), 2)

    def _code(self, text: str, language: str) -> str:
        shown = visible(text).strip("\n")
        if len(shown) > _DRAWN_MAX or not language:
            return f"{shown}\n"
        return self._drawn(_highlighted(shown, language), is_wrapped=False)

    def _coloured(self, text: str) -> str:
        """
        Draw an output with the colours that it has.
        """
        if "\x1b[" not in text or len(text) > _DRAWN_MAX:
            return f"{visible(text)}\n"
        parts = _SAFE_STYLE.split(_ERASURE.sub("", text))
        safe = "".join(part if number % 2 else visible(part) for number, part in enumerate(parts))
        return self._drawn(Text.from_ansi(safe), is_wrapped=False)

    def _styled(self, text: str, style: str) -> str:
        """
        Give a part of a line with a style.
        """
        with self._console.capture() as capture:
            self._console.print(Text(text, style), end="", soft_wrap=True)
        return capture.get()

    def _drawn(self, what: RenderableType, indent: int = 0, *, is_wrapped: bool = True) -> str:
        """
        Give something as lines of text with colours, each ended.

        Args:
            what: It, made visible already.
            indent: The columns that will stand before it.
            is_wrapped: Lines end where the screen does; else the terminal does as it likes.
        """
        with self._console.capture() as capture:
            self._console.print(what, width=max(self._width - indent, 10), soft_wrap=not is_wrapped, crop=False)
        # Once more, whatever it was drawn with: nothing but colours reaches the terminal.
        parts = _STYLE.split(capture.get())
        safe = "".join(part if number % 2 else visible(part) for number, part in enumerate(parts))
        return _PADDING.sub("\n", safe).rstrip("\n") + "\n"


class _Code(CodeBlock):
    """
    A block of code inside of a message: indented, without a background.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        code = _highlighted(str(self.text).rstrip("\n"), self.lexer_name)
        code.overflow = "fold"
        yield Padding(code, (0, 0, 0, 2))


class _Cells(TableElement):
    """
    A table whose cells are folded where they are too long, not cut.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for part in super().__rich_console__(console, options):
            for column in part.columns if isinstance(part, Table) else ():
                column.overflow = "fold"
            yield part


class _Markdown(Markdown):
    elements = {**Markdown.elements, "fence": _Code, "code_block": _Code, "table_open": _Cells}  # noqa: RUF012


def _highlighted(code: str, language: str) -> Text:
    # Lexers that `lexer_name` excludes take minutes for some texts of 20,000 characters: "make" for brackets, "csharp"
    # for short lines.
    name = "diff" if language == "diff" else lexer_name(code, language)
    text = Syntax("", name, theme=_CODE).highlight(code) if name else Text(code)
    text.rstrip()
    return text


def _named(item: Item) -> str:
    if item.kind in ("notice", "interruption") and item.title:
        return one_line(item.title)
    where = f" line {item.key}" if item.kind == "unreadable" else ""
    return one_line(f"{item.kind}{where}: {item.title}" if item.title else item.kind)


def _prefixed(text: str, first: str, rest: str) -> str:
    lines = text.rstrip("\n").replace("\n", f"\n{rest}")
    return f"{first}{_BLANK.sub('', lines)}\n"
