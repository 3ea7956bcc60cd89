"""
Recorded text inside of a Markdown file: what it says stays, what would reach beyond its place does not.

Recorded Markdown stays Markdown, without HTML, headings, images, definitions, and links to anything but the net. A tame
text opens nothing that it does not close. Where parsers may see a line in two ways, it is written anew in a form that
can be seen in one only: a block of code without indent, a span of code inside of one line.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from html import unescape
from typing import NamedTuple

from rollout._visible import one_line, visible

__all__ = ["code_span", "escaped", "fenced", "quoted", "tamed"]

# Marks of quotes and lists, behind which a block may begin.
_PREFIX = re.compile(r"(?:[ \t]*(?:>|[-+*](?=[ \t]|$)|\d{1,9}[.)](?=[ \t]|$)))*[ \t]*")
_CONTAINER = re.compile(r"[ \t]*(>|[-+*](?=[ \t]|$)|\d{1,9}[.)](?=[ \t]|$))")
_QUOTE = re.compile(r"[ \t]{0,3}> ?")
_FENCE = re.compile(r"(`{3,})([^`]*)$|(~{3,})(.*)$")
_LANGUAGE = re.compile(r"[\w.+#-]{1,40}")
_HEADING = re.compile(r"#{1,6}(?:[ \t]+(.*))?$")
_TICKS = re.compile("`+")
# What is looked at outside of code: an escape, ticks, the beginning of a tag, an image, a link, and
# names and numbers of characters, which may be of those that are not shown as they are.
_MARK = re.compile(
    r"\\[!-/:-@\[-`{-~]|`+|<(?=[A-Za-z/!?])|!(?=\[)|\]\("
    r"|&(?=#[xX]?[0-9A-Fa-f]{1,8};|[A-Za-z][A-Za-z0-9]{1,40};)(?!(?:lt|gt|amp|quot|nbsp);)"
)
_ESCAPED = re.compile(r"[\\`*\[\]<#|~&$]|(?<![^\W_])_|_(?![^\W_])")
# The rest of a link, whole in one line and without ticks: what is in it goes before spans of code.
_LINK = re.compile(r"([^\s()<>`\\]*(?:\([^\s()<>`\\]*\)[^\s()<>`\\]*)*)(?:[ \t]+\"[^\"`\\]*\")?[ \t]*\)")
_SCHEME = re.compile(r"\s*([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_HARMLESS = ("http", "https", "mailto")
# Columns that make a line code; how far a fence may be indented beyond its block; quotes in quotes.
_CODE_INDENT, _FENCE_INDENT, _DEPTH_MAX = 4, 3, 8
# Columns. At 20 levels, two for a list, some parsers pass over the rest of the file.
_COLUMNS_MAX = 14


def fenced(text: str, language: str = "text") -> str:
    """
    Give a text as a block of code, whose fence is longer than any inside.
    """
    shown = visible(text).rstrip("\n")
    fence = "`" * max([3, *(len(ticks) + 1 for ticks in _TICKS.findall(shown))])
    return f"{fence}{language}\n{shown}\n{fence}"


def code_span(text: str) -> str:
    """
    Give a text as code inside of a line; nothing for no text.
    """
    shown = one_line(text)
    ticks = "`" * max([1, *(len(found) + 1 for found in _TICKS.findall(shown))])
    space = " " if "`" in (shown[:1], shown[-1:]) else ""
    return f"{ticks}{space}{shown}{space}{ticks}" if shown else ""


def escaped(text: str) -> str:
    """
    Give a text as words inside of a line, with nothing of Markdown in it.
    """
    return _ESCAPED.sub(r"\\\g<0>", one_line(text))


def quoted(markdown: str) -> str:
    """
    Give Markdown as a quote.
    """
    return "\n".join(f"> {line}" if line else ">" for line in markdown.split("\n"))


def tamed(text: str, *, keeps_breaks: bool = False) -> str:
    """
    Give recorded Markdown tame.

    Args:
        text: It.
        keeps_breaks: The ends of lines count, as in what a person typed.
    """
    blocks = _blocks(visible(text).split("\n"))
    return "\n\n".join(block for block in (_written(block, keeps_breaks=keeps_breaks) for block in blocks) if block)


class _Code(NamedTuple):
    """
    A block of code: its lines, its language, and in how many quotes it stands.
    """

    lines: list[str]
    language: str = ""
    depth: int = 0


class _Opening(NamedTuple):
    """
    The first line of a fenced block: marks of lists before it, quotes, the width of both, the fence, the language.
    """

    marks: str
    depth: int
    width: int
    fence: str
    language: str


def _written(block: list[str] | _Code, *, keeps_breaks: bool) -> str:
    if isinstance(block, _Code):
        written = fenced("\n".join(block.lines), block.language)
        for _ in range(min(block.depth, _DEPTH_MAX)):
            written = quoted(written)
        return written
    lines = list(_tamed_lines(block))
    if keeps_breaks:
        last = len(lines)
        lines = [f"{line}  " if line and n < last and lines[n] else line for n, line in enumerate(lines, 1)]
    return "\n".join(lines).strip("\n")


def _blocks(lines: Sequence[str]) -> Iterator[list[str] | _Code]:
    """
    Tell paragraphs, and all else that has no empty line in it, from blocks of code.
    """
    paragraph: list[str] = []
    is_in_list = False
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        opening = _opening(line)
        if opening:
            yield [*paragraph, *filter(None, [opening.marks])]
            paragraph = []
            own, at = _fenced_lines(lines, at, opening)
            yield _Code(own, opening.language, opening.depth)
        elif not line.strip():
            yield paragraph
            paragraph = []
        elif not paragraph and not is_in_list and _indent(line) >= _CODE_INDENT:
            own, at = _indented_lines(lines, at - 1)
            yield _Code(own)
        else:
            # Behind an empty line, what is not indented ends a list.
            has_mark = _marks(line) != ""
            is_in_list = has_mark or (is_in_list and (bool(paragraph) or line[0] in " \t"))
            paragraph.append(line)
    yield paragraph


def _opening(line: str) -> _Opening | None:
    prefix = _prefix(line)
    found = _FENCE.match(line, len(prefix))
    if not found:
        return None
    language = _LANGUAGE.match((found[2] or found[4] or "").strip())
    width = len(prefix.rpartition(">")[2].expandtabs(_CODE_INDENT))
    return _Opening(_marks(line), prefix.count(">"), width, found[1] or found[3], language[0] if language else "")


def _prefix(line: str) -> str:
    found = _PREFIX.match(line)
    return found[0] if found else ""


def _marks(line: str) -> str:
    return _prefix(line).rpartition(">")[2].strip()


def _indent(line: str) -> int:
    spaces = line[: len(line) - len(line.lstrip(" \t"))]
    return len(spaces.expandtabs(_CODE_INDENT))


def _without_indent(line: str, width: int) -> str:
    if line[:1] == "\t":
        line = line.expandtabs(_CODE_INDENT)
    return line[min(width, _indent(line)) :]


def _fenced_lines(lines: Sequence[str], at: int, opening: _Opening) -> tuple[list[str], int]:
    """
    Give the lines up to the fence that closes a block, or to where its quote ends, and which line follows.
    """
    own: list[str] = []
    while at < len(lines):
        line, depth = _unquoted(lines[at], opening.depth)
        if depth < opening.depth:
            break
        at += 1
        bare = line.strip(" \t")
        is_fence = bare.startswith(opening.fence) and not bare.strip(opening.fence[0])
        if is_fence and _indent(line) <= opening.width + _FENCE_INDENT:
            break
        own.append(_without_indent(line, opening.width))
    return own, at


def _unquoted(line: str, depth: int) -> tuple[str, int]:
    start = found = 0
    while found < depth and (quote := _QUOTE.match(line, start)):
        start, found = quote.end(), found + 1
    return line[start:], found


def _indented_lines(lines: Sequence[str], at: int) -> tuple[list[str], int]:
    own: list[str] = []
    while at < len(lines) and (not lines[at].strip() or _indent(lines[at]) >= _CODE_INDENT):
        own.append(_without_indent(lines[at], _CODE_INDENT))
        at += 1
    return own, at


def _shallow(line: str) -> str:
    """
    Give a line in which no mark of a quote or a list stands so far to the right that parsers give up.
    """
    at = 0
    while found := _CONTAINER.match(line, at):
        at = found.end()
        if len(line[: found.start(1)].expandtabs(_CODE_INDENT)) >= _COLUMNS_MAX:
            return f"{line[: at - 1]}\\{line[at - 1 :]}"
    return line


def _without_definition(line: str) -> str:
    """
    Give a line with which no definition begins, of which parts are told before spans of code are, too.
    """
    prefix = _prefix(line)
    return f"{prefix}\\{line[len(prefix) :]}" if line.startswith("[", len(prefix)) else line


def _tamed_lines(lines: Sequence[str]) -> Iterator[str]:
    # Cells of a table are told apart before spans of code are.
    is_table = any("-" in line and not line.strip(" \t>|:-") for line in lines)
    lines = [*map(_shallow, lines)]
    if any("]:" in line for line in lines):
        lines = [*map(_without_definition, lines)]
    is_first = True
    for line in lines:
        prefix = _prefix(line)
        heading = _HEADING.match(line, len(prefix))
        bare = line.strip(" \t>")
        if heading and prefix == "" and (heading[1] or "").strip("*# \t"):
            words = heading[1].rstrip("# \t")
            words = words if "`" in words else words.replace("**", "")
            yield from ("", f"**{_tamed_line(words, is_table=is_table)}**", "")
        elif heading:
            yield f"{prefix}\\{_tamed_line(line[len(prefix) :], is_table=is_table)}"
        elif bare and not is_first and (not bare.strip("=") or not bare.strip("-")):
            # It would make a heading of the line above.
            yield line.replace(bare[0], f"\\{bare[0]}", 1)
        else:
            yield _tamed_line(line, is_table=is_table)
        is_first = False


def _tamed_line(line: str, *, is_table: bool) -> str:
    parts: list[str] = []
    at = 0
    runs: dict[int, list[int]] = {}
    for ticks in _TICKS.finditer(line):
        runs.setdefault(len(ticks[0]), []).append(ticks.start())
    while found := _MARK.search(line, at):
        parts.append(line[at : found.start()])
        mark, at = found[0], found.end()
        if mark[0] == "`":
            end = _end_of_span(found, runs)
            if end and not (is_table and "|" in line[found.start() : end]):
                parts.append(line[found.start() : end])
                at = end
            else:
                parts.append(r"\`" * len(mark))
        elif mark == "](":
            parts.append(mark if _leads_to_the_net(line, at) else r"]\(")
        else:
            parts.append({"<": r"\<", "!": "image: ", "&": r"\&"}.get(mark, mark))
    return "".join([*parts, line[at:]])


def _end_of_span(opening: re.Match[str], runs: dict[int, list[int]]) -> int:
    """
    Give where a span of code ends that these ticks open in this line; 0 if they open none.
    """
    size = len(opening[0])
    starts = runs.get(size, [])
    index = bisect_right(starts, opening.start())
    return starts[index] + size if index < len(starts) else 0


def _leads_to_the_net(line: str, at: int) -> bool:
    """
    Say whether a link whose address begins here is a harmless one: relative, of the web, of a mailbox.
    """
    link = _LINK.match(line, at)
    if not link:
        return False
    scheme = _SCHEME.match(unescape(link[1]))
    return scheme is None or scheme[1].lower() in _HARMLESS
