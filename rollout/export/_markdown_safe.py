"""
Recorded text sanitized for a Markdown file, so that it has no effect on the text around it.

Recorded Markdown stays Markdown, but without HTML, headings, images, definitions, and links other than http, https,
mailto and relative links. A sanitized text closes every construct that it opens. Lines that parsers interpret
differently are rewritten in an unambiguous form: a code block without indent, a code span inside one line.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from html import unescape
from typing import NamedTuple

from rollout._text import escape_control_chars, one_line

__all__ = ["code_span", "escape_markdown", "code_block", "quote", "sanitize_markdown"]

# Markers of quotes and lists, after which a block may begin.
_PREFIX = re.compile(r"(?:[ \t]*(?:>|[-+*](?=[ \t]|$)|\d{1,9}[.)](?=[ \t]|$)))*[ \t]*")
_CONTAINER = re.compile(r"[ \t]*(>|[-+*](?=[ \t]|$)|\d{1,9}[.)](?=[ \t]|$))")
_QUOTE = re.compile(r"[ \t]{0,3}> ?")
_FENCE = re.compile(r"(`{3,})([^`]*)$|(~{3,})(.*)$")
_LANGUAGE = re.compile(r"[\w.+#-]{1,40}")
_HEADING = re.compile(r"#{1,6}(?:[ \t]+(.*))?$")
_TICKS = re.compile("`+")
# Marks outside code: an escape, backticks, the beginning of a tag, an image, a link, and character references, which
# may stand for control characters.
_MARK = re.compile(
    r"\\[!-/:-@\[-`{-~]|`+|<(?=[A-Za-z/!?])|!(?=\[)|\]\("
    r"|&(?=#[xX]?[0-9A-Fa-f]{1,8};|[A-Za-z][A-Za-z0-9]{1,40};)(?!(?:lt|gt|amp|quot|nbsp);)"
)
_ESCAPED = re.compile(r"[\\`*\[\]<#|~&$]|(?<![^\W_])_|_(?![^\W_])")
# The rest of a link, in one line and without backticks: parsers read it before code spans.
_LINK = re.compile(r"([^\s()<>`\\]*(?:\([^\s()<>`\\]*\)[^\s()<>`\\]*)*)(?:[ \t]+\"[^\"`\\]*\")?[ \t]*\)")
_SCHEME = re.compile(r"\s*([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_SAFE_SCHEMES = ("http", "https", "mailto")
# Columns: of indented code, and of the indent of a fence inside its block; maximum depth of nested quotes.
_CODE_INDENT, _FENCE_INDENT, _DEPTH_MAX = 4, 3, 8
# Columns. At 20 levels of nesting, two of them a list, some parsers skip the rest of the file.
_COLUMNS_MAX = 14


def code_block(text: str, language: str = "text") -> str:
    """
    Return a text as a code block, with a fence longer than any fence in the text.
    """
    shown = escape_control_chars(text).rstrip("\n")
    fence = "`" * max([3, *(len(ticks) + 1 for ticks in _TICKS.findall(shown))])
    return f"{fence}{language}\n{shown}\n{fence}"


def code_span(text: str) -> str:
    """
    Return a text as a code span; empty for an empty text.
    """
    shown = one_line(text)
    ticks = "`" * max([1, *(len(found) + 1 for found in _TICKS.findall(shown))])
    space = " " if "`" in (shown[:1], shown[-1:]) else ""
    return f"{ticks}{space}{shown}{space}{ticks}" if shown else ""


def escape_markdown(text: str) -> str:
    """
    Return a text as one line in which every Markdown character is escaped.
    """
    return _ESCAPED.sub(r"\\\g<0>", one_line(text))


def quote(markdown: str) -> str:
    """
    Return Markdown as a block quote.
    """
    return "\n".join(f"> {line}" if line else ">" for line in markdown.split("\n"))


def sanitize_markdown(text: str, *, keeps_breaks: bool = False) -> str:
    """
    Return recorded Markdown without constructs that affect the text around it.

    Args:
        text: The Markdown.
        keeps_breaks: Whether a newline ends a line, as in text that a person typed.
    """
    blocks = _blocks(escape_control_chars(text).split("\n"))
    return "\n\n".join(block for block in (_block_text(block, keeps_breaks=keeps_breaks) for block in blocks) if block)


class _Code(NamedTuple):
    """
    A code block: its lines, its language, and the number of quotes around it.
    """

    lines: list[str]
    language: str = ""
    depth: int = 0


class _Opening(NamedTuple):
    """
    The first line of a fenced code block: list marks before it, number of quotes, width of both, fence, language.
    """

    marks: str
    depth: int
    width: int
    fence: str
    language: str


def _block_text(block: list[str] | _Code, *, keeps_breaks: bool) -> str:
    if isinstance(block, _Code):
        text = code_block("\n".join(block.lines), block.language)
        for _ in range(min(block.depth, _DEPTH_MAX)):
            text = quote(text)
        return text
    lines = list(_sanitize_lines(block))
    if keeps_breaks:
        last = len(lines)
        lines = [f"{line}  " if line and n < last and lines[n] else line for n, line in enumerate(lines, 1)]
    return "\n".join(lines).strip("\n")


def _blocks(lines: Sequence[str]) -> Iterator[list[str] | _Code]:
    """
    Yield code blocks, and all other blocks as lists of lines, without empty lines.
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
            block_lines, at = _fenced_lines(lines, at, opening)
            yield _Code(block_lines, opening.language, opening.depth)
        elif not line.strip():
            yield paragraph
            paragraph = []
        elif not paragraph and not is_in_list and _indent(line) >= _CODE_INDENT:
            block_lines, at = _indented_lines(lines, at - 1)
            yield _Code(block_lines)
        else:
            # After an empty line, a line without indent ends a list.
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
    Return the lines of a code block, up to its closing fence or the end of its quote, and the index of the next line.
    """
    block_lines: list[str] = []
    while at < len(lines):
        line, depth = _unquoted(lines[at], opening.depth)
        if depth < opening.depth:
            break
        at += 1
        stripped = line.strip(" \t")
        is_fence = stripped.startswith(opening.fence) and not stripped.strip(opening.fence[0])
        if is_fence and _indent(line) <= opening.width + _FENCE_INDENT:
            break
        block_lines.append(_without_indent(line, opening.width))
    return block_lines, at


def _unquoted(line: str, depth: int) -> tuple[str, int]:
    start = found = 0
    while found < depth and (quote := _QUOTE.match(line, start)):
        start, found = quote.end(), found + 1
    return line[start:], found


def _indented_lines(lines: Sequence[str], at: int) -> tuple[list[str], int]:
    block_lines: list[str] = []
    while at < len(lines) and (not lines[at].strip() or _indent(lines[at]) >= _CODE_INDENT):
        block_lines.append(_without_indent(lines[at], _CODE_INDENT))
        at += 1
    return block_lines, at


def _limit_nesting(line: str) -> str:
    """
    Return a line in which the first marker of a quote or list at column `_COLUMNS_MAX` or beyond is escaped.
    """
    at = 0
    while found := _CONTAINER.match(line, at):
        at = found.end()
        if len(line[: found.start(1)].expandtabs(_CODE_INDENT)) >= _COLUMNS_MAX:
            return f"{line[: at - 1]}\\{line[at - 1 :]}"
    return line


def _escape_definition(line: str) -> str:
    """
    Return a line that does not begin a link definition. Parsers read definitions before code spans.
    """
    prefix = _prefix(line)
    return f"{prefix}\\{line[len(prefix) :]}" if line.startswith("[", len(prefix)) else line


def _sanitize_lines(lines: Sequence[str]) -> Iterator[str]:
    # Parsers split a table into cells before they read code spans.
    is_table = any("-" in line and not line.strip(" \t>|:-") for line in lines)
    lines = [*map(_limit_nesting, lines)]
    if any("]:" in line for line in lines):
        lines = [*map(_escape_definition, lines)]
    is_first = True
    for line in lines:
        prefix = _prefix(line)
        heading = _HEADING.match(line, len(prefix))
        stripped = line.strip(" \t>")
        if heading and prefix == "" and (heading[1] or "").strip("*# \t"):
            words = heading[1].rstrip("# \t")
            words = words if "`" in words else words.replace("**", "")
            yield from ("", f"**{_sanitize_line(words, is_table=is_table)}**", "")
        elif heading:
            yield f"{prefix}\\{_sanitize_line(line[len(prefix) :], is_table=is_table)}"
        elif stripped and not is_first and (not stripped.strip("=") or not stripped.strip("-")):
            # Unescaped, this line would make a heading of the line above.
            yield line.replace(stripped[0], f"\\{stripped[0]}", 1)
        else:
            yield _sanitize_line(line, is_table=is_table)
        is_first = False


def _sanitize_line(line: str, *, is_table: bool) -> str:
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
            parts.append(mark if _is_safe_link(line, at) else r"]\(")
        else:
            parts.append({"<": r"\<", "!": "image: ", "&": r"\&"}.get(mark, mark))
    return "".join([*parts, line[at:]])


def _end_of_span(opening: re.Match[str], runs: dict[int, list[int]]) -> int:
    """
    Return the end of the code span that these backticks open in this line; 0 if they open none.
    """
    size = len(opening[0])
    starts = runs.get(size, [])
    index = bisect_right(starts, opening.start())
    return starts[index] + size if index < len(starts) else 0


def _is_safe_link(line: str, at: int) -> bool:
    """
    Return whether the link with the address at index *at* is relative, or has a safe scheme (http, https, mailto).
    """
    link = _LINK.match(line, at)
    if not link:
        return False
    scheme = _SCHEME.match(unescape(link[1]))
    return scheme is None or scheme[1].lower() in _SAFE_SCHEMES
