from __future__ import annotations

import re
import sys
import time

import pytest

from rollout.export.html._ansi import terminal_markup, without_colors
from rollout.export.html._markup import CODE_MAX, MARKDOWN_MAX, code, diff, markdown, plain


def test_markdown_becomes_paragraphs_lists_tables_and_code() -> None:
    html = markdown("One *two* `three`\n\n- four\n\n| a | b | c |\n|---|--:|:-:|\n| 1 | 2 | 3 |\n\n~~five~~")

    assert "<p>One <em>two</em> <code>three</code></p>" in html
    assert "<li>four</li>" in html
    assert '<td>1</td>\n<td class="right">2</td>\n<td class="center">3</td>' in html
    assert "<s>five</s>" in html


def test_plain_words_give_the_same_paragraph_with_and_without_the_parser() -> None:
    text = "The parser fails.\nOn an empty line, it seems \nHere"

    assert markdown(text) == "<p>The parser fails.\nOn an empty line, it seems\nHere</p>\n"
    assert markdown(f"{text}*") == "<p>The parser fails.\nOn an empty line, it seems\nHere*</p>\n"


def test_newlines_of_a_prompt_become_line_breaks() -> None:
    assert markdown("one\ntwo", has_breaks=True) == "<p>one<br>\ntwo</p>\n"
    assert markdown("*one*\ntwo", has_breaks=True) == "<p><em>one</em><br>\ntwo</p>\n"


def test_html_in_markdown_is_escaped() -> None:
    html = markdown("a <script>alert(1)</script> <img src=x onerror=alert(1)>\n\n<div onclick=x>\n\n&lt;b&gt;")

    assert re.findall(r"<(\w+)", html) == ["p", "p", "p"]
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)", "JaVaScRiPt:alert(1)", "&#106;avascript:alert(1)", "data:text/html,x", "file:///etc/passwd",
        "vbscript:x", "//example.com/x", "/relative", "#L1", "ftp://example.com",
    ],
)  # fmt: skip
def test_a_link_with_any_scheme_but_http_https_and_mailto_is_text(address: str) -> None:
    assert "href" not in markdown(f"[x]({address}) <{address}> [y]\n\n[y]: {address}")


def test_a_link_shows_its_target_and_sends_no_referrer() -> None:
    html = markdown('[the specification](https://toml.io/?a="<x>)')

    assert 'class="named" href="https://toml.io/?a=%22%3Cx%3E"' in html
    assert 'title="https://toml.io/?a=%22%3Cx%3E"' in html
    assert 'target="_blank" rel="noopener noreferrer nofollow"' in html


def test_a_link_with_its_address_as_text_is_not_printed_twice() -> None:
    assert 'class="named"' not in markdown("<https://toml.io>")


@pytest.mark.parametrize("address", ["https://example.com/x.png", "x.png", "javascript:x", "data:image/svg+xml,svg"])
def test_an_image_in_markdown_is_described_and_not_loaded(address: str) -> None:
    html = markdown(f"see ![the *cat*](<{address}>)")

    assert "<img" not in html
    assert "src=" not in html
    assert "image not loaded: the cat " in html


def test_the_long_address_of_an_image_without_a_name_is_truncated() -> None:
    html = markdown(f"![](https://example.com/{'x' * 1000})")

    assert f"image not loaded: https://example.com/{'x' * 180}…<" in html


def test_headings_are_of_a_lower_level_than_those_of_the_page() -> None:
    assert markdown("# a\n\n#### b") == "<h4>a</h4>\n<h6>b</h6>\n"


def test_control_characters_and_their_entities_are_shown_as_escapes() -> None:
    html = markdown("*a* \x00 \u202e b &#x202e; &#x200b; \r c")

    assert "<em>a</em> \\x00 \\u202e b \\u202e \\u200b \\x0d c" in html


def test_a_text_too_long_for_markdown_is_plain_text() -> None:
    html = markdown("*" * (MARKDOWN_MAX + 1) + "<b>")

    assert html.startswith("<pre>***")
    assert html.endswith("*&lt;b&gt;</pre>")


@pytest.mark.parametrize("part", ["[", "![", "[[](", "*", "> ", "<", "&#", "a\n", "a|b\n-|-\n"])
def test_hostile_markdown_is_parsed_within_a_time_limit(part: str) -> None:
    text = part * (MARKDOWN_MAX // len(part))
    before = time.process_time()

    # 3 s on an idle machine; with the tracing of coverage, on a busy one, it took 16 s.
    trace = sys.gettrace()
    sys.settrace(None)
    try:
        markdown(text)
    finally:
        sys.settrace(trace)

    assert time.process_time() - before < 15


def test_fenced_code_has_the_colors_of_its_language() -> None:
    html = markdown("```python title='x'\ndef f(): return '<b>'  # why\n```\n\n```\nplain\n```\n\n    indented <b>")

    assert "<i class=k>def</i> <i class=f>f</i>" in html
    assert "<i class=s>&#39;&lt;b&gt;&#39;</i>" in html
    assert "<i class=c># why</i>" in html
    assert "<pre><code>plain\n</code></pre>" in html
    assert "<pre><code>indented &lt;b&gt;" in html


@pytest.mark.parametrize("language", ["bash", "python", "json", "no such language", "", "text", "html", "../x"])
def test_colored_code_has_the_same_text_in_any_language(language: str) -> None:
    text = '\n\n  a = {"b": "<script>"}  # c\n\tif $HOME; then\n'

    html = code(text, language)

    assert re.sub(r"</?i[^>]*>", "", html) == str(plain(text))


def test_very_long_code_has_no_colors() -> None:
    assert "<i" not in code("x = 1\n" * CODE_MAX, "python")


@pytest.mark.parametrize("language", ["python", "java", "c++", "typescript", "make", "csharp"])
@pytest.mark.parametrize("part", ["(", '"', "//", "${", "a ", "a.", "a\n", "\n", "f(\n"])
def test_hostile_code_is_colored_within_a_time_limit(language: str, part: str) -> None:
    texts = (part * (size // len(part)) for size in (1000, 4000, CODE_MAX))
    in_lines = "\n".join([part * (400 // len(part))] * (CODE_MAX // 401))
    before = time.process_time()

    for text in (*texts, in_lines):
        code(text, language)

    assert time.process_time() - before < 15


def test_long_code_with_short_lines_has_colors() -> None:
    lines = "def f(number):\n    return number\n"

    assert "<i class=k>def" in code(lines * 100, "py")
    assert "<i" not in code(f"{lines * 40}# {'long ' * 300}", "py")
    assert "<i" not in code(f"{lines * 40}{chr(10) * 3000}", "py")
    assert "<i" in code("int a;\n" * 400, "c")
    assert "<i" not in code("int a;\n" * 800, "c")


def test_a_diff_marks_added_and_removed_lines() -> None:
    html = diff("@@ -1 +1 @@\n-a\n-b\n+<c>\n d")

    assert html == "<b>@@ -1 +1 @@\n</b><del>-a\n-b\n</del><ins>+&lt;c&gt;\n</ins> d\n"
    assert code("+a", "diff") == "<ins>+a\n</ins>"


def test_an_output_without_colors_is_text() -> None:
    assert terminal_markup("a <b>\r\n\x07\u202e") == "a &lt;b&gt;\n\\x07\\u202e"


@pytest.mark.parametrize(
    ("codes", "classes"),
    [
        ("31", "f1"), ("1;31", "f1 tb"), ("97", "f7"), ("90", "f8"), ("41", "g1"), ("100", "g8"), ("107", "g7"),
        ("2;3;4;7;9", "td ti tr tu tx"), ("38;5;1", "f1"), ("38;5;8", "f8"), ("38;5;46", "f2"), ("38;5;244", "f8"),
        ("38;5;232", "f0"), ("38;5;255", "f7"), ("48;5;21", "g4"), ("38;2;255;0;0", "f1"), ("38;2;255;255;0", "f3"),
        ("38;2;0;255;255", "f6"), ("38:2:0:0:255", "f4"), ("38;2;200;0;200", "f5"), ("38;2;250;250;250", "f7"),
        ("38;5;999;1", "f7 tb"), ("38;2;999;0;0", "f1"), ("38", "f0"), ("38;5", "f0"),
    ],
)  # fmt: skip
def test_a_terminal_color_becomes_a_class(codes: str, classes: str) -> None:
    assert terminal_markup(f"\x1b[{codes}mx") == f'<i class="{classes}">x</i>'


@pytest.mark.parametrize("codes", ["", "0", "31;0", "31;39", "41;49", "1;22", "2;22", "3;23", "4;24", "7;27", "9;29"])
def test_a_reset_ends_a_color(codes: str) -> None:
    assert terminal_markup(f"\x1b[{codes}mx") == "x"


@pytest.mark.parametrize("codes", ["5", "8", "58", "999", "38;7", "6"])
def test_blinking_and_hidden_text_is_shown_as_plain_text(codes: str) -> None:
    assert re.sub(r"</?i[^>]*>", "", terminal_markup(f"\x1b[{codes}mx")) == "x"


def test_a_color_continues_until_the_next_one() -> None:
    assert terminal_markup("\x1b[31m\x1b[1ma\n\x1b[32mb\x1b[mc") == '<i class="f1 tb">a\n</i><i class="f2 tb">b</i>c'


@pytest.mark.parametrize(
    "sequence",
    ["\x1b[2J", "\x1b[1;1H", "\x1b[?25l", "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\", "\x1b(B", "\x1b7", "\x1bM",
     "\x1b[1 q"],
)  # fmt: skip
def test_sequences_that_move_the_cursor_or_set_a_title_are_left_out(sequence: str) -> None:
    assert terminal_markup(f"a{sequence}b") == "ab"
    assert without_colors(f"\x1b[31ma{sequence}b") == "ab"


def test_an_incomplete_escape_sequence_is_shown() -> None:
    assert terminal_markup("a\x1b") == "a\\x1b"
    assert terminal_markup("\x1b[31") == "\\x1b[31"
    assert terminal_markup("\x1bPq#0\x1b\\") == "\\x1bPq#0"
    assert without_colors("ab") == "ab"


def test_text_before_a_carriage_return_is_shown() -> None:
    assert terminal_markup("10 %\r20 %\rdone") == "10 %\n20 %\ndone"


@pytest.mark.parametrize(
    "part", ["\x1b]", "\x1b", "\x1b[1", "\x1b[31mx", "\x1b[" + "1" * 5000 + "m", "\x1b]8;;" + "x" * 4000, "\x1b[;"]
)
def test_a_megabyte_of_escape_sequences_is_processed_within_a_time_limit(part: str) -> None:
    text = part * (1_000_000 // len(part))
    before = time.process_time()

    terminal_markup(text)

    assert time.process_time() - before < 15
