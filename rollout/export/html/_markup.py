"""
Recorded text -> inert markup: Markdown, code, diffs.

For any input, the markup contains no scripts, only the attributes in this module, nothing that is loaded, and no
unescaped control character. Every function takes linear time, or limits the size of its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline, image
from markdown_it.token import Token
from markupsafe import Markup, escape
from pygments.lexer import Lexer  # type: ignore[import-untyped]  # has no types
from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]  # as above
from pygments.token import (  # type: ignore[import-untyped]  # as above
    Comment,
    Generic,
    Keyword,
    Name,
    Number,
    Operator,
    String,
)

from rollout._text import escape_control_chars

__all__ = ["CODE_MAX", "MARKDOWN_MAX", "code", "diff", "lexer_name", "markdown", "plain"]

MARKDOWN_MAX = 50_000
"""Characters; a longer text is shown as plain text. This many of the slowest, ``![``, take 0.9 s; 100,000 take 4 s."""
CODE_MAX = 10_000
"""Characters; longer code has no colors."""

# Lexers that were tested with hostile code of CODE_MAX characters: they take at most 0.5 s for code that `_is_easy`
# accepts. Some other lexers take minutes: "make" for brackets, "csharp" for single letters on lines.
_LANGUAGES = {
    alias: name
    for name, aliases in {
        "bash": "bash sh shell zsh", "console": "console shell-session", "python": "python py python3",
        "pycon": "pycon", "pytb": "pytb", "json": "json json5 jsonc", "yaml": "yaml yml", "toml": "toml",
        "ini": "ini cfg", "javascript": "javascript js mjs", "typescript": "typescript ts", "html": "html",
        "xml": "xml svg", "css": "css", "scss": "scss", "rust": "rust rs", "go": "go golang", "kotlin": "kotlin kt",
        "ruby": "ruby rb", "php": "php", "sql": "sql", "docker": "docker dockerfile", "swift": "swift", "lua": "lua",
        "r": "r", "perl": "perl pl", "powershell": "powershell ps1", "java": "java", "c": "c h",
        "cpp": "cpp c++ cc hpp",
    }.items()
    for alias in aliases.split()
}  # fmt: skip
# These lexers take quadratic time for words and comments.
_SLOW, _SLOW_MAX = frozenset(("java", "c", "cpp")), 4_000
# Characters: shorter code is always easy. Longer code is not if a line is longer than this, or if its lines have fewer
# than `_LINE_MIN` characters on average.
_EASY_MAX, _LINE_MIN = 1000, 4

# Characters; most messages of agents are shorter.
_SIMPLE_MAX = 2000
_BREAKS = (Markup("\n"), Markup("<br>\n"))
_LINK = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
# Types of tokens and their colors; the first match is used.
_COLORS = (
    (Comment, "c"), (String, "s"), (Number, "m"), (Keyword, "k"), (Operator.Word, "k"), (Name.Tag, "k"),
    (Name.Function, "f"), (Name.Class, "f"), (Name.Builtin, "f"), (Name.Decorator, "f"), (Name.Attribute, "v"),
    (Name.Variable, "v"), (Generic.Heading, "k"), (Generic.Deleted, "gd"), (Generic.Inserted, "gi"),
)  # fmt: skip
# A text that is one paragraph in any dialect of Markdown: its lines begin with a letter, and it has no Markdown
# character.
_SIMPLE = re.compile(r"[^\W\d_][^*_`\[\]<>&~|\\!\n]*(?:\n[^\W\d_][^*_`\[\]<>&~|\\!\n]*)*\n?")
_DIFF_MARKS = {"+": "ins", "-": "del"}


def plain(text: str) -> Markup:
    """
    Return a text as markup, without formatting.
    """
    return escape(escape_control_chars(text))


def markdown(text: str, *, has_breaks: bool = False) -> Markup:
    """
    Return Markdown as blocks of markup, with its HTML escaped; a text longer than `MARKDOWN_MAX` as one plain block.

    Links have the schemes http, https and mailto only; images are described, not loaded.

    Args:
        text: The Markdown.
        has_breaks: Whether a newline ends a line, as in text that a person typed.
    """
    if len(text) > MARKDOWN_MAX:
        return Markup("<pre>{}</pre>").format(plain(text))
    text = escape_control_chars(text)
    if len(text) < _SIMPLE_MAX and _SIMPLE.fullmatch(text):
        lines = (line.strip() for line in text.strip().split("\n"))
        return Markup("<p>{}</p>\n").format(_BREAKS[has_breaks].join(lines))
    # Escaped a second time: rendering turns an entity such as &#x202e; into its character.
    return Markup(escape_control_chars(_parser(has_breaks).render(text)))  # noqa: S704 -- html=False escapes


@lru_cache(maxsize=2)
def _parser(has_breaks: bool) -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "xhtmlOut": False, "breaks": has_breaks}).enable(
        ["table", "strikethrough"]
    )
    parser.validateLink = lambda url: bool(_LINK.match(url))  # type: ignore[method-assign]  # meant to be replaced
    for name, rule in (
        ("link_open", _link_open),
        ("image", _image),
        ("fence", _fence),
        ("code_block", _fence),
        ("heading_open", _heading),
        ("heading_close", _heading),
    ):
        parser.add_render_rule(name, rule)
    for name in ("th_open", "td_open"):
        parser.add_render_rule(name, _cell)
    parser.inline.ruler.at("image", _any_image)
    return parser


def _any_image(state: StateInline, is_silent: bool) -> bool:
    # Any address is valid here, because no image is loaded: the page only shows the address.
    validate, state.md.validateLink = state.md.validateLink, lambda url: True  # type: ignore[method-assign]  # noqa: ARG005
    try:
        return image(state, is_silent)
    finally:
        state.md.validateLink = validate  # type: ignore[method-assign]


def _link_open(
    _renderer: RendererHTML, tokens: Sequence[Token], index: int, _options: Any, _env: MutableMapping[str, Any]
) -> str:
    address = str(tokens[index].attrs["href"])
    # When printed, a link whose text is its address does not show the address again.
    is_named = tokens[index].markup != "autolink"
    return Markup('<a{} href="{}" title="{}" target="_blank" rel="noopener noreferrer nofollow">').format(
        Markup(' class="named"') if is_named else "", address, address
    )


def _image(
    _renderer: RendererHTML, tokens: Sequence[Token], index: int, _options: Any, _env: MutableMapping[str, Any]
) -> str:
    token = tokens[index]
    source, name = str(token.attrs["src"]), "".join(child.content for child in token.children or ())
    shown = source if len(source) <= 200 else f"{source[:200]}…"
    return Markup('<span class="unloaded">image not loaded: {}{}</span>').format(f"{name} " if name else "", shown)


def _fence(
    _renderer: RendererHTML, tokens: Sequence[Token], index: int, _options: Any, _env: MutableMapping[str, Any]
) -> str:
    words = tokens[index].info.split()
    return f"<pre><code>{code(tokens[index].content, words[0] if words else '')}</code></pre>\n"


def _heading(
    _renderer: RendererHTML, tokens: Sequence[Token], index: int, _options: Any, _env: MutableMapping[str, Any]
) -> str:
    # The page's own headings use levels 1 to 3.
    level = min(int(tokens[index].tag[1:]) + 3, 6)
    return f"<h{level}>" if tokens[index].nesting == 1 else f"</h{level}>\n"


def _cell(
    _renderer: RendererHTML, tokens: Sequence[Token], index: int, _options: Any, _env: MutableMapping[str, Any]
) -> str:
    # The content security policy of the page forbids style attributes.
    side = str(tokens[index].attrs.get("style", "")).removeprefix("text-align:")
    return f'<{tokens[index].tag} class="{side}">' if side in ("center", "right") else f"<{tokens[index].tag}>"


def code(text: str, language: str) -> Markup:
    """
    Return code as markup with colors; without colors if the language is unknown or a lexer may be slow for the text.

    Args:
        text: The code.
        language: A name that Pygments or authors of Markdown use.
    """
    text = escape_control_chars(text)
    if language in ("diff", "patch"):
        return diff(text)
    name = lexer_name(text, language)
    if name is None:
        return escape(text)
    # Not get_tokens: it prepares the text first, which doubles the time for a command.
    return Markup("".join(_spans(_lexer(name).get_tokens_unprocessed(text))))  # noqa: S704 -- each part is escaped


def lexer_name(text: str, language: str) -> str | None:
    """
    Return the name of the Pygments lexer for a language; None if there is no lexer, or it may be too slow for the text.
    """
    name = _LANGUAGES.get(language.lower())
    return name if name and _is_easy(text, _SLOW_MAX if name in _SLOW else CODE_MAX) else None


def _is_easy(text: str, limit: int) -> bool:
    if len(text) <= _EASY_MAX:
        return True
    lines = text.split("\n")
    return len(lines) * _LINE_MIN <= len(text) <= limit and max(map(len, lines)) <= _EASY_MAX


@lru_cache(maxsize=64)
def _lexer(name: str) -> Lexer:
    # These options leave the text as it is.
    return get_lexer_by_name(name, stripnl=False, ensurenl=False)


def _spans(tokens: Iterable[tuple[int, Any, str]]) -> Iterator[str]:
    last, parts = "", [""]
    for _, kind, text in tokens:
        color = _color(kind)
        if color != last:
            yield _span(last, "".join(parts))
            last, parts = color, []
        parts.append(text)
    yield _span(last, "".join(parts))


def _span(color: str, text: str) -> str:
    # Without quotes around the class: a page of 50,000 items has a million of these elements.
    return f"<i class={color}>{escape(text)}</i>" if color else str(escape(text))


@lru_cache(maxsize=512)
def _color(kind: Any) -> str:
    return next((color for family, color in _COLORS if kind in family), "")


def diff(text: str) -> Markup:
    """
    Return a diff as markup: added lines in ``ins``, removed lines in ``del``, headers in ``b``.
    """
    groups = groupby(escape_control_chars(text).split("\n"), _diff_tag)
    return Markup("".join(_diff_part(tag, "\n".join(lines)) for tag, lines in groups))  # noqa: S704 -- escaped there


def _diff_part(tag: str, text: str) -> str:
    return f"<{tag}>{escape(text)}\n</{tag}>" if tag else f"{escape(text)}\n"


def _diff_tag(line: str) -> str:
    if line.startswith(("+++ ", "--- ", "@@")):
        return "b"
    return _DIFF_MARKS.get(line[:1], "")
