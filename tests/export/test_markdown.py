from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from rollout import load_history
from rollout._text import UNSAFE
from rollout.document import ITEM_KINDS
from rollout.export import export_markdown
from rollout.export._markdown_safe import code_block, code_span, escape_markdown, quote, sanitize_markdown
from tests.export.sample import PNG, loaded
from tests.hostile import CANARY, SESSIONS
from tests.rollouts import Line, answer, event, meta, prompt, put

# Reads as GitHub does, and believes everything: what it would make of it shows.
PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
PARSER.validateLink = lambda url: True  # type: ignore[method-assign]
FOLD = re.compile(r"<details><summary>\w+, [\d,]+ lines</summary>\n?|</details>\n?")
PARTS = st.sampled_from([
    "`", "``", "```", "````", "~~~", "<script>", "<b>", "</b>", "<!--", "-->", "<![CDATA[", "<?", "<details>",
    "\n", "\n", "\n\n", " ", "  ", "    ", "\t", "- ", "* ", "1. ", "12) ", "> ", ">", "# ", "## x", "#", "=",
    "==", "---", "***", "-", "|", "|-|", "|---|---|", "a", "b c", "[x]", "[", "]", "(", ")", "](", "]:", "![",
    "!", "\\", "\\`", "\\<", "javascript:x", "data:x", "&lt;", "&#27;", "&lrm;", "&#106;avascript:x",
    "http://a.b", "<http://a>", "*", "_", "**", "[x]: /u", "[^1]:", "```js", "~", "$", "\r", "'", '"', "<",
    "&#32;", "<javascript:x>", "\x1b[2J", "\u202e", "\x00",
])  # fmt: skip


def tokens_of(text: str) -> Iterator[Token]:
    return flat(PARSER.parse(text))


def flat(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from token.children or ()


def dangers_in(tokens: Sequence[Token]) -> list[str]:
    """
    Return the parts of a parsed text that recorded text must not cause.
    """
    found = []
    for token in flat(tokens):
        if token.type in ("html_block", "html_inline") and not FOLD.fullmatch(token.content):
            found.append(token.content)
        elif token.type == "image":
            found.append(str(token.attrs))
        elif token.type == "link_open":
            scheme = re.match(r"\s*([a-z][a-z0-9+.-]*):", str(token.attrs["href"]), re.IGNORECASE)
            found += [scheme[0]] if scheme and scheme[1].lower() not in ("http", "https", "mailto") else []
        elif token.type == "text" and UNSAFE.search(token.content):
            found.append(token.content)
    return found


def headings_of(tokens: Sequence[Token]) -> list[tuple[str, int, str]]:
    return [(a.tag, a.level, b.content) for a, b in pairwise(tokens) if a.type == "heading_open"]


def exported(home: Path, lines: bytes | list[Line] | None = None, detail: str = "full") -> str:
    return "".join(export_markdown(loaded(home, lines), detail=detail))


def test_turns_are_headings_and_items_are_headings_below_them(home: Path) -> None:
    headings = headings_of(PARSER.parse(exported(home)))

    assert [text for tag, _, text in headings if tag == "h1"] == ["Fix the parser. Then test it."]
    assert [text for tag, _, text in headings if tag == "h2"] == [
        "Before the first prompt",
        "Turn 1: Fix the parser.",
        "Turn 2: Deploy.",
        "About this file",
    ]
    assert [text.partition(" · ")[0] for tag, _, text in headings if tag == "h3"] == [
        "Context: environment context", "User", "Reasoning", "`update_plan`", "`shell` failed", "`apply_patch`",
        "`fetch`", "User", "Agent", "User", "`shell`", "Error", "Interruption: interrupted", "Compaction: 1 items kept",
        "Notice: rolled back", "Agent: a to b", "Plan", "Notice", "Other: future_line",
        "Line 33 could not be read: not JSON (Expected object or value)", "Context: developer",
    ]  # fmt: skip


def test_messages_keep_their_markdown(home: Path) -> None:
    text = exported(home)

    assert "\n> Fix the parser.  \n> Then test it.\n" in text
    assert "\n> **Look** at it\n" in text
    assert "\n**What was *wrong***\n\nThe **first character**; see \\<b>here\\</b>, [there]\\(javascript:" in text
    assert "and image: [it](http://example.com/x.png):\n\n```python\nkind = line[0]  # <b>\n```\n" in text
    assert "\n| file | change |\n|---|---|\n| `parser.py` | +3 |\n" in text


def test_calls_patches_plans_and_images_use_common_markdown(home: Path) -> None:
    text = exported(home)

    assert "\nTests first.\n\n- [x] Reproduce\n- [ ] Fix \\*it\\* *(in progress)*\n- [ ] Test\n" in text
    assert "\n```bash\npytest -q\n```\n\n<details><summary>Output, 41 lines</summary>\n\n```text\n\\x1b[31mE" in text
    assert "\n**update parser.py -> parsing.py (+2 -1)**\n\n```diff\n@@ def parse(line):\n-    kind" in text
    assert "\n*Image, not embedded:* `image/png, 9 B`\n" in text
    assert "\n*Image, not embedded:* `https://example.com/evil.png`\n" in text
    assert PNG not in text
    assert "\n```bash\nmake deploy\n```\n\n*no output recorded*\n" in text
    assert "\nOutput:\n\n```text\nDone.\n```\n" in text


@pytest.mark.parametrize("name", [name for name in SESSIONS if not name.startswith(("long", "patho"))])
def test_hostile_sessions_add_no_headings_and_no_html(home: Path, name: str) -> None:
    history = load_history(put(home, SESSIONS[name](CANARY)))

    text = "".join(export_markdown(history))

    tokens = PARSER.parse(text)
    headings = headings_of(tokens)
    turns = [turn for turn in history.document().turns if turn.number]
    assert dangers_in(tokens) == []
    assert {level for _, level, _ in headings} == {0}
    assert sum(tag == "h1" for tag, _, _ in headings) == 1
    assert sum(tag == "h2" and heading.startswith("Turn ") for tag, _, heading in headings) == len(turns)
    assert headings[-1] == ("h2", 0, "About this file")
    assert {tag for tag, _, _ in headings} <= {"h1", "h2", "h3"}
    assert UNSAFE.search(text) is None


def test_the_parser_of_these_tests_finds_unescaped_markup() -> None:
    assert dangers_in(PARSER.parse("<script>alert(1)</script>\n\n![x](http://a) [y](javascript:z) &lrm;")) == [
        "<script>alert(1)</script>\n", "{'src': 'http://a', 'alt': ''}", "javascript:", " \u200e",
    ]  # fmt: skip


@settings(max_examples=4 * settings.default.max_examples)
@given(st.lists(PARTS, max_size=30).map("".join), st.booleans())
@example("- a\n  ```\n<script>\n```\n<b>", False)
@example("`a\n<b>` c", False)
@example("|a|\n|-|\n| `a | b` `<c>` |", False)
@example("# ~~~ x\n<b>", True)
@example("[a](\njavascript:x)", False)
@example("[a](<&#106;avascript:x>)", False)
@example("!![a](b)", False)
@example("- ```\n\n---\na\n-", False)
@example("> ~~~\n> a\nb", False)
@example("> > ```\n> x\n<b>", False)
@example("[*`]:\\`", False)
@example("`\n[<b>](```2) <b>```", False)
@example('[a](b "c\nd `e") <b>` f', False)
@example("- " * 50 + "a\nb", False)
def test_no_recorded_text_affects_the_text_around_it(text: str, keeps_breaks: bool) -> None:
    tame = sanitize_markdown(text, keeps_breaks=keeps_breaks)

    for placed in (tame, quote(tame)):
        page = f"### one\n\n{placed}\n\n### two\n\n[x] [^1]\n"
        tokens = PARSER.parse(page)
        assert dangers_in(tokens) == []
        assert headings_of(tokens) == [("h3", 0, "one"), ("h3", 0, "two")]
        assert tokens[-2].content == "[x] [^1]"
        assert list(flat(tokens))[-2].type == "text"


@settings(max_examples=3 * settings.default.max_examples)
@given(st.lists(PARTS | st.text(max_size=3), max_size=12).map("".join))
def test_any_text_can_be_escaped_as_words_as_a_span_and_as_a_block_of_code(text: str) -> None:
    words = list(tokens_of(f"### {escape_markdown(text)} end"))
    assert [token.type for token in words if token.type != "text"] == ["heading_open", "inline", "heading_close"]

    spans = [token for token in tokens_of(f"a {code_span(text)} b") if token.type == "code_inline"]
    assert len(spans) == bool(code_span(text))

    blocks = [token for token in tokens_of(code_block(text)) if token.type != "paragraph"]
    assert [token.type for token in blocks] == ["fence"]


@pytest.mark.parametrize(
    ("text", "tame"),
    [
        ("a `<b>` ``c ` d`` <e>", "a `<b>` ``c ` d`` \\<e>"),
        ("a < b, c<d, <3", "a < b, c\\<d, <3"),
        ("1. x:\n   ```sh\n   ls\n     -l\n   ```\n2. y", "1. x:\n\n```sh\nls\n  -l\n```\n\n2. y"),
        ("text\n\n    indented <b>\n\n      more\n\nend", "text\n\n```\nindented <b>\n\n  more\n```\n\nend"),
        ("\tx = <y>", "```\nx = <y>\n```"),
        ("- a\n\n    still <b>\n\nb\n\n    code", "- a\n\n    still \\<b>\n\nb\n\n```\ncode\n```"),
        ("- a\n\n  b\n\n    c", "- a\n\n  b\n\n    c"),
        ("~~~ py x\na\n~~~~", "```py\na\n```"),
        ("```a`b``` c", "```a`b``` c"),
        ("> ```\n> a\nb", "> ```\n> a\n> ```\n\nb"),
        ("- > ```\n  > a", "> ```\n> a\n> ```"),
        ("## A `b` c ##\nd", "**A `b` c**\n\nd"),
        ("#\n# *\n- # a\n  # b", "\\#\n\\# *\n- \\# a\n  \\# b"),
        ("a\n===\nb\n--", "a\n\\===\nb\n\\--"),
        ("a\n\n---\n\nb", "a\n\n---\n\nb"),
        ("[a](b/c.py:1) [d](https://e/f?g=1&h=2) [i](#j)", "[a](b/c.py:1) [d](https://e/f?g=1&h=2) [i](#j)"),
        ("[a](file:///etc/passwd) [b]() [c]( )", "[a]\\(file:///etc/passwd) [b]() [c]( )"),
        ("[d](\nx)", "[d]\\(\nx)"),
        ("[a](b `c) <b> ` [d](e \"f\") [g](<h>)", "[a]\\(b `c) <b> ` [d](e \"f\") [g]\\(\\<h>)"),
        ("- " * 9 + "a", "- " * 7 + "\\- - a"),
        (" " * 14 + "1. b", "```\n" + " " * 10 + "1. b\n```"),
        ("a\n" + " " * 14 + "1. b\n" + " " * 13 + "> c", "a\n" + " " * 14 + "1\\. b\n" + " " * 13 + "> c"),
        ("[a]: http://b", "\\[a]: http://b"),
        ("![a](http://b) \\![c](http://d)", "image: [a](http://b) \\![c](http://d)"),
        ("&lt;b&gt; &copy; &#x1b; &x", "&lt;b&gt; \\&copy; \\&#x1b; &x"),
        ("", ""),
        ("\n\n", ""),
    ],
)  # fmt: skip
def test_harmless_recorded_markdown_is_kept(text: str, tame: str) -> None:
    assert sanitize_markdown(text) == tame


def test_line_breaks_of_a_prompt_are_kept() -> None:
    assert sanitize_markdown("a\nb\n\nc\n# d\ne", keeps_breaks=True) == "a  \nb\n\nc\n\n**d**\n\ne"


@pytest.mark.parametrize(
    "unit", ["`", "`` ` ", "[", "](", "<a", "!", "![", "> ", "- ", " ", "\\", "&#1;", "|-", "# ", "*", "a\n\n"]
)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    text = unit * (200_000 // len(unit)) + "x"

    start = time.perf_counter()
    sanitize_markdown(text)

    assert time.perf_counter() - start < 10


def test_the_sample_contains_every_kind_of_item(home: Path) -> None:
    document = loaded(home).document()

    assert {item.kind for turn in document.turns for item in turn.items} == set(ITEM_KINDS)


def test_a_turn_without_a_prompt_and_a_call_without_output_are_shown(home: Path) -> None:
    empty = ("response_item", {"type": "function_call_output", "call_id": "x", "output": ""})
    called = ("response_item", {"type": "function_call", "name": "wait", "arguments": "", "call_id": "x"})
    began = event("task_started", turn_id="1")

    text = exported(home, [meta(), began, called, empty, ("compacted", {"message": ""}), *prompt("  "), *answer("a")])

    assert "\n## Turn 1\n\n*2026-11-21 01:25:37 +00:00*\n" in text
    assert "\n### `wait` · 01:25:37\n\n### Compaction · 01:25:37\n\n" in text
