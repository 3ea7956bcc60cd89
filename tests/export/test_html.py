from __future__ import annotations

import json
import re
import subprocess
import sys
import zlib
from base64 import b64decode, b64encode
from hashlib import sha256
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from rollout import History, load_history
from rollout.codec import encode_item, encode_line
from rollout.document import Call, FileChange, Image, Item, PlanStep, Turn
from rollout.export import DETAILS, export_html
from rollout.export.html._embedded import TextPositions
from rollout.export.html._page import SCRIPT, STYLE, Renderer
from rollout.export.html._truncate import truncate, truncated_texts
from tests.rollouts import (
    TIME_MS,
    Line,
    answer,
    bare_session,
    encode,
    event,
    meta,
    paginated_session,
    prompt,
    put,
    token_count,
)

PNG = "data:image/png;base64,iVBORw0KGgo="
BLOCK = re.compile(r'<script type="application/octet-stream" data-store="(\w+)" data-keys="([^"]*)">([^<]*)</script>')


def history_of(home: Path, lines: bytes | list[Line]) -> History:
    return load_history(put(home, lines))


def page_of(history: History, **options: Any) -> str:
    return "".join(export_html(history, **options))


def stored(page: str, kind: str) -> dict[str, str]:
    """
    Return the data that the script of the page unpacks.
    """
    found = {}
    for name, _, packed in BLOCK.findall(page):
        if name == kind:
            for line in zlib.decompress(b64decode(packed), 31).decode().splitlines():
                key, _, text = line.partition("\t")
                found[key] = text
    return found


def shell(command: str, output: str, code: int = 0, call_id: str = "c1") -> list[Line]:
    arguments = json.dumps({"command": ["bash", "-lc", command]})
    said = json.dumps({"output": output, "metadata": {"exit_code": code, "duration_seconds": 1.5}})
    return [
        ("response_item", {"type": "function_call", "name": "shell", "arguments": arguments, "call_id": call_id}),
        ("response_item", {"type": "function_call_output", "call_id": call_id, "output": said}),
    ]


def call_item(**fields: Any) -> Item:
    return Item("3", "call", lines=["3", "4"], call=Call("shell", **fields))


class Elements(HTMLParser):
    """
    The counts of elements and the attributes of a page.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.ids: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]


# The page.


def test_a_page_is_one_file_and_its_policy_allows_no_loading(home: Path) -> None:
    page = page_of(history_of(home, [meta(), *prompt("hello"), *answer("there")]))

    hashes = [b64encode(sha256(text.encode()).digest()).decode() for text in (SCRIPT, STYLE)]
    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert policy[1].replace("&#39;", "'") == (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    assert f"<script>{SCRIPT}</script>" in page
    assert f"<style>{STYLE}</style>" in page
    assert not Elements(page).attributes & {"src", "style", "srcset", "background", "action", "formaction"}


def test_style_and_script_contain_no_tags_and_load_nothing() -> None:
    assert not re.search(r"</?(script|style)|<!--", SCRIPT + STYLE, re.IGNORECASE)
    assert not re.search(r"https?://|@import|url\(", STYLE)


def test_a_page_contains_each_line_unchanged(home: Path) -> None:
    history = history_of(home, [meta(), *prompt("hello"), ("turn_context", {"cwd": "/", "model": "m"}), *answer("you")])

    lines = stored(page_of(history), "raw")

    in_file = history.path.read_text().splitlines()
    assert lines == {str(number): line for number, line in enumerate(in_file, 1)}


def test_a_line_without_recorded_bytes_is_encoded_into_the_page(home: Path) -> None:
    read = history_of(home, [meta(), *prompt("hello")])
    for line in read.lines:
        object.__setattr__(line, "raw", b"")

    assert stored(page_of(read), "raw")["1"] == encode_line(read.lines[0]).decode().strip()


def test_lines_with_nothing_to_show_are_listed_below_their_turn(home: Path) -> None:
    lines = [meta(), *prompt("hello"), event("token_count", info=None), event("token_count", info=None)]

    page = page_of(history_of(home, lines))

    assert re.search(r"<summary>[^<]*2 token_count[^<]*</summary>", page)
    assert '<dt>token_count</dt><dd data-keys="4 5">4, 5</dd>' in page


def test_every_line_belongs_to_an_item_or_is_listed(home: Path) -> None:
    history = history_of(home, encode(paginated_session("one", "two")) + b'{"torn')

    page = page_of(history)

    keys = [key for part in re.findall(r'data-(?:lines|keys)="([\d ]+)">', page) for key in part.split()]
    assert sorted(keys, key=int) == [str(number) for number in range(1, len(history.lines) + 2)]


def test_the_end_of_a_page_counts_shown_omitted_and_unreadable_lines(home: Path) -> None:
    page = page_of(history_of(home, encode([meta(), *prompt("hello")]) + b"{torn\n"))

    end = page[page.index('id="end"') :]
    assert "Lines in the file: 4; shown: " in end
    assert "Lines without content to show: 1 (session_meta 1)." in end
    assert "Unreadable lines: 1, each marked at its position;" in end


def test_the_title_is_the_first_prompt_or_the_given_title(home: Path) -> None:
    history = history_of(home, [meta(), *prompt("Mend </title><script> it\nplease")])

    assert "<title>Mend &lt;/title&gt;&lt;script&gt; it please</title>" in page_of(history)
    assert "<title>mine \\u202e</title>" in page_of(history, title="mine\n\u202e")


def test_a_page_of_a_session_without_times_has_line_numbers_instead(home: Path) -> None:
    page = page_of(history_of(home, bare_session("hello")))

    assert re.search(r'<a class="at" href="#L(\d)">#\1</a>', page)


def test_a_page_is_exported_turn_by_turn(home: Path) -> None:
    lines = [meta()]
    for number in range(20):
        lines += [*prompt(f"prompt {number}"), *answer("yes")]

    pieces = list(export_html(history_of(home, lines)))

    assert max(len(re.findall('<section class="turn', piece)) for piece in pieces) == 1


def test_an_unknown_detail_is_refused(home: Path) -> None:
    with pytest.raises(ValueError, match="unknown level of detail 'all'"):
        page_of(history_of(home, [meta()]), detail="all")


@pytest.mark.parametrize("detail", ["no-outputs", "conversation"])
def test_omitted_parts_are_nowhere_in_the_file(home: Path, detail: str) -> None:
    secret = "first secret\n" + "x\n" * 1000 + "second secret"
    ended = event("exec_command_end", call_id="c1", command=["ls"], aggregated_output=secret, exit_code=0)
    lines = [meta(), *prompt("hello"), *shell("ls", secret), ended, *answer("done " * 60_000)]
    lines += [("compacted", {"message": "short", "replacement_history": [output[1] for output in shell("ls", secret)]})]

    page = page_of(history_of(home, lines), detail=detail)

    everything = page + "".join(stored(page, "raw").values()) + "".join(stored(page, "whole").values())
    assert "secret" not in everything
    assert list(stored(page, "whole")) == ["7.text"]
    assert ("4" in stored(page, "raw")) == (detail == "no-outputs")
    assert "<p>Left out: " in page


@pytest.mark.parametrize("detail", DETAILS)
def test_a_page_of_any_detail_closes_every_element(home: Path, detail: str) -> None:
    page = page_of(history_of(home, [meta(), *prompt("hello"), *shell("ls", "a"), *answer("yes")]), detail=detail)

    for tag in ("section", "article", "details", "div", "header", "footer", "dl", "ol", "nav", "main"):
        assert page.count(f"<{tag}") == page.count(f"</{tag}>"), tag


@pytest.mark.parametrize("missing", ["jinja2", "markdown_it", "pygments"])
def test_without_its_extra_the_error_says_what_to_install(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_pages(monkeypatch)
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)  # type: ignore[arg-type]  # as import does

    with pytest.raises(ModuleNotFoundError, match=r"pip install 'rollout-recorder\[html\]'") as raised:
        import_module("rollout.export.html._page")

    assert (raised.value.name or "").partition(".")[0] == missing


def test_the_error_of_another_missing_module_does_not_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_pages(monkeypatch)
    monkeypatch.setitem(sys.modules, "rollout.export.html._markup", None)  # type: ignore[arg-type]  # as import does

    with pytest.raises(ModuleNotFoundError, match=r"_markup"):
        import_module("rollout.export.html._page")


def forget_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_page", "_renderer", "_blocks", "_markup", "_ansi"):
        monkeypatch.delitem(sys.modules, f"rollout.export.html.{name}", raising=False)


def test_importing_rollout_export_does_not_load_jinja2() -> None:
    script = "import rollout.export, sys; sys.exit('jinja2' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


# What is cut.


def test_a_long_output_is_truncated_with_a_note_and_stored_once(home: Path) -> None:
    text = "".join(f"{number} of a long output\n" for number in range(5000))
    page = page_of(history_of(home, [meta(), *prompt("hello"), *shell("seq 5000", text)]))

    assert "\n2500 of a long" not in page
    assert "<pre>0 of a long" in page
    assert "\n4999 of a long" in page
    assert "<q>0 of a long output</q>" in page
    assert re.search(
        r'<div class="cut">4,8\d\d lines, 1\d\d kB more, not shown here. <button data-more="5">Show all</button>', page
    )
    place = json.loads(stored(page, "whole")["5"])
    assert place == {"line": "5", "path": ["payload", "output", None, "output"], "start": 0}


@pytest.mark.parametrize("size", [10_000_000, 300_000])
def test_one_long_line_is_truncated_by_characters(size: int) -> None:
    part = truncate("x" * size)

    assert len(part.head) + len(part.tail) == 20_000
    assert part.note == ("10.0 MB" if size == 10_000_000 else "280 kB")


def test_a_text_just_over_the_limit_is_truncated_exactly() -> None:
    assert truncate("x" * 20_000).note == ""
    assert truncate("x" * 20_001).note == "1 character"
    assert truncate("x\n" * 200).note == ""
    assert truncate("x\n" * 300).note == "102 lines, 203 characters"


def test_prose_has_a_higher_limit_than_an_output() -> None:
    assert truncate("x" * 200_000, is_prose=True).note == ""
    assert truncate("x" * 300_000, is_prose=True).note == "100 kB"


def test_a_text_that_is_in_no_line_is_stored_in_the_page(home: Path) -> None:
    words = ["echo", *(f"word {number}" for number in range(5000))]
    fields = {"type": "function_call", "name": "shell", "arguments": json.dumps({"command": words}), "call_id": "c"}
    page = page_of(history_of(home, [meta(), *prompt("hello"), ("response_item", fields)]))

    text = json.loads(stored(page, "whole")["4.input"])

    assert text.startswith("echo 'word 0'")
    assert text.endswith("'word 4999'")


def test_each_truncated_text_of_an_item_has_a_key() -> None:
    long = "x\n" * 3000
    patch = f"*** Begin Patch\n{long}"
    call = Call(
        "apply_patch", input=patch, output=long, changes=(FileChange("a", "add", "+a"), FileChange("b", "add", long))
    )

    keys = [key for key, _ in truncated_texts(Item("7", "call", text=long, lines=["7", "9"], call=call))]

    assert keys == ["7.text", "7.diff1", "7"]
    assert [key for key, _ in truncated_texts(Item("7", "agent", text=long))] == []
    assert [
        key
        for key, _ in truncated_texts(Item("7", "call", call=Call("shell", input=long, output_line="9", output=long)))
    ] == [
        "7.input",
        "9",
    ]
    assert [key for key, _ in truncated_texts(Item("7", "call", call=call), has_output=False)] == ["7.diff1"]


def place_in(payload: dict[str, Any], text: str) -> Any:
    history_line = encode_item("response_item", payload, TIME_MS)
    return TextPositions(import_module("rollout.codec").decode_line(history_line)).find(text)


def test_the_position_of_a_text_in_a_line_is_found() -> None:
    assert place_in({"content": [{"a": 1}, {"text": "😀 Output:\nlong"}]}, "long") == (
        ["payload", "content", 1, "text"],
        11,
    )
    assert place_in({"arguments": '{"cmd": "long"}'}, "long") == (["payload", "arguments", None, "cmd"], 0)
    assert place_in({"arguments": '{"cmd": "long"'}, "long") is None
    assert place_in({"arguments": "{}"}, "long") is None
    assert place_in({"many": list(range(5000))}, "long") is None


def test_the_position_of_a_text_in_a_line_before_the_envelope_is_found(home: Path) -> None:
    line = history_of(home, bare_session("hello")).lines[-1]

    place = TextPositions(line).find("answer to hello")

    assert place == (["content", 0, "text"], 0)


@pytest.mark.promise("growth")
def test_a_line_is_decoded_once_for_all_its_truncated_texts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    store = import_module("rollout.export.html._embedded")
    real = store.decode_json
    monkeypatch.setattr(store, "decode_json", lambda text: (decoded.append(text), real(text))[1])
    part = "\n".join(["+x"] * 500)
    text = "".join(f"*** Add File: f{n}\n{part}{n}\n" for n in range(20))
    arguments = json.dumps({"input": f"*** Begin Patch\n{text}*** End Patch"})
    call = ("response_item", {"type": "function_call", "name": "apply_patch", "call_id": "c", "arguments": arguments})

    page = page_of(history_of(home, [meta(), call]))

    assert page.count("data-more=") == 20
    assert decoded == [arguments]


def test_a_page_stores_its_lines_in_blocks(home: Path) -> None:
    page = page_of(history_of(home, [meta(), *prompt("hello"), *answer("x" * 150_000), *answer("y" * 150_000)]))

    blocks = [keys for kind, keys, _ in BLOCK.findall(page) if kind == "raw"]
    assert blocks == ["1..4", "5..6", "7"] or len(blocks) > 1


# Items.


def test_an_item_is_an_article_with_a_link_to_itself() -> None:
    html = Renderer().item(Item("12", "agent", text="hello", timestamp="2026-01-02T03:04:05.678Z", lines=["12", "14"]))

    assert '<article class="item agent" id="L12" data-lines="12 14">' in html
    assert (
        '<header><h3>Agent</h3><a class="at" href="#L12" title="2026-01-02 03:04:05 UTC">03:04:05</a></header>' in html
    )
    assert '<div class="text"><p>hello</p>' in html
    assert len(Elements(html).tags) <= 8


def test_a_gap_of_a_minute_or_more_is_shown() -> None:
    assert "gap" not in Renderer().item(Item("1", "user", text="a", gap=59.9))
    assert '<p class="gap">4 min later</p>' in Renderer().item(Item("1", "user", text="a", gap=240))


def test_a_prompt_keeps_its_line_breaks() -> None:
    assert "a<br>\nb" in Renderer().item(Item("1", "user", text="a\nb"))
    assert "a\nb" in Renderer().item(Item("1", "agent", text="a\nb"))


@pytest.mark.parametrize(
    ("kind", "name"),
    [("error", "Error"), ("notice", "Notice"), ("interruption", "Interrupted"), ("unreadable", "Unreadable line")],
)
def test_items_that_are_no_prose_are_plain_text(kind: str, name: str) -> None:
    html = Renderer().item(Item("1", kind, title="why <b>", text="*so* <i>"))

    assert f"<h3>{name}</h3>" in html
    assert '<p class="title">why &lt;b&gt;</p>' in html
    assert "<pre>*so* &lt;i&gt;</pre>" in html


def test_a_notice_with_a_diff_has_colors() -> None:
    assert "<ins>+a\n</ins>" in Renderer().item(Item("1", "notice", text="diff --git a b\n+a"))


def test_context_is_folded_under_its_title_and_first_words() -> None:
    html = Renderer().item(Item("1", "context", title="instructions", text="Work\nwell."))

    assert '<details class="fold"><summary>instructions · 2 lines <q>Work well.</q></summary>' in html
    assert 'class="title"' not in html


def test_an_unknown_item_is_folded_json() -> None:
    html = Renderer().item(Item("1", "other", title="new_thing", text='{"a": 1}'))

    assert "<summary>new_thing · 8 B" in html
    assert "<i class=m>1</i>" in html


def test_long_reasoning_is_folded_and_short_is_not() -> None:
    assert "<details" not in Renderer().item(Item("1", "reasoning", text="**Why** so"))
    assert "<summary>1.6 kB <q>xx" in Renderer().item(Item("1", "reasoning", text="x" * 1600))


def test_a_blank_text_is_folded_without_a_preview() -> None:
    assert "<q>" not in Renderer().item(Item("1", "context", text=" \n "))


def test_an_item_without_a_text_is_shown_empty() -> None:
    assert '<div class="body"></div>' in Renderer().item(Item("1", "compaction")).replace("\n", "")


def test_an_unknown_kind_is_shown_with_its_name() -> None:
    assert "<h3>vision</h3>" in Renderer().item(Item("1", "vision", text="a"))


def test_very_long_prose_is_truncated() -> None:
    html = Renderer().item(Item("1", "agent", text="x" * 300_000))

    assert '<button data-more="1.text">' in html
    assert len(html) < 210_000


def test_a_call_shows_its_command_and_its_ending_in_words() -> None:
    call = call_item(
        input="ls | wc", language="bash", output="3\n", exit_code=1, is_failed=True, duration=2.5, cwd="/x"
    )

    html = Renderer(cwd="/home").item(call)

    assert 'class="item call failed"' in html
    assert "<h3>shell</h3>" in html
    assert '<div class="input command"><pre>ls | wc</pre></div>' in html
    assert "<summary><b>failed, exit code 1 · 2.5 s · in /x</b> · 1 line, 2 B</summary>" in html
    assert '<details class="output" open>' in html


def test_the_folder_of_a_call_is_shown_only_if_it_is_not_the_session_s() -> None:
    assert "in /x" not in Renderer(cwd="/x").item(call_item(cwd="/x", output="a"))


def test_a_failed_call_without_an_exit_code_is_shown_as_failed() -> None:
    assert "<b>failed · 1.0 s</b>" in Renderer().item(call_item(output="a", is_failed=True, elapsed=1.0))


def test_a_call_without_an_output_is_shown_as_unanswered() -> None:
    assert '<p class="facts">no output recorded</p>' in Renderer().item(call_item(input="ls"))


def test_a_call_of_a_live_session_runs_until_it_or_its_turn_ends() -> None:
    renderer = Renderer(is_live=True)

    assert '<p class="facts">running</p>' in renderer.item(call_item(input="ls"))
    assert "running" in renderer.turn(Turn(1, "a", [call_item(input="ls")]))
    assert '<p class="facts">no output recorded</p>' in renderer.turn(
        Turn(1, "a", [call_item(input="ls")], status="completed")
    )


def test_an_empty_output_is_described_in_words() -> None:
    assert '<p class="facts">exit code 0 · no output</p>' in Renderer().item(call_item(output=" \n", exit_code=0))


def test_without_outputs_a_call_still_shows_its_exit_code() -> None:
    renderer = Renderer(detail="no-outputs")

    html = renderer.item(call_item(output="secret", exit_code=0, images=(Image(PNG, "image/png"),)))

    assert '<p class="facts">exit code 0</p>' in html
    assert "secret" not in html
    assert "<img" not in html
    assert "facts" not in renderer.item(call_item(output="secret"))


def test_a_call_without_facts_shows_only_its_output() -> None:
    assert "<summary>1 line, 1 B</summary>" in Renderer().item(call_item(output="a"))


def test_a_long_output_is_folded_with_a_preview() -> None:
    text = "\n".join(["\x1b[1mfirst\x1b[0m", *("x" * 20), "last", ""])

    fine = Renderer().item(call_item(output=text, exit_code=0))
    failed = Renderer().item(call_item(output=text, exit_code=1, is_failed=True))

    assert '<details class="output"><summary><b>exit code 0</b> · 22 lines, 59 B <q>first</q></summary>' in fine
    assert "<q>last</q></summary>" in failed


def test_an_output_with_a_diff_has_colors() -> None:
    assert "<ins>+new\n</ins>" in Renderer().item(call_item(output="diff --git a b\n+new"))


def test_terminal_colors_of_an_output_become_classes() -> None:
    assert '<i class="f1">red</i>' in Renderer().item(call_item(output="\x1b[31mred\x1b[0m"))


def test_a_patch_is_shown_file_by_file_with_counts() -> None:
    changes = (
        FileChange("a.py", "update", "@@\n-old\n+new\n+more", moved_to="b.py"),
        FileChange("c.py", "delete", ""),
        FileChange("d.py", "add", "+x\n" * 100),
    )

    html = Renderer().item(call_item(input="*** Begin Patch", changes=changes))

    assert "<code>a.py</code> → <code>b.py</code>" in html
    assert "<ins>+2</ins> <del>\u22121</del></summary>" in html
    assert "<del>-old\n</del><ins>+new\n+more\n</ins>" in html
    assert "delete <code>c.py</code>" in html
    assert html.count('<details class="change" open>') == 1
    assert html.count('<details class="change">') == 1
    assert "Begin Patch" not in html


def test_a_plan_is_a_list_with_the_status_of_each_step() -> None:
    plan = (
        PlanStep("a", "completed"),
        PlanStep("b <b>", "in_progress"),
        PlanStep("c", "pending"),
        PlanStep("d", "new"),
    )

    html = Renderer().item(Item("1", "call", plan=plan, call=Call("update_plan", input='{"plan": []}', output="ok")))

    assert '<li class="done"><span>done:</span> a</li>' in html
    assert '<li class="doing"><span>in progress:</span> b &lt;b&gt;</li>' in html
    assert '<li class="todo"><span>to do:</span> c</li>' in html
    assert '<li class="todo"><span>new:</span> d</li>' in html
    assert '{"plan"' not in html


def test_an_embedded_image_of_a_safe_type_is_shown() -> None:
    html = Renderer().item(Item("1", "user", text="see", images=(Image(PNG, "image/png"),)))

    assert f'<img src="{PNG}" alt="Image: image/png, ' in html
    assert 'loading="lazy"' in html


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (Image("https://example.com/x.png"), "image not loaded: https://example.com/x.png"),
        (Image("data:image/svg+xml;base64,PHN2Zz4="), "image not loaded: image/svg+xml"),
        (Image('data:image/png;base64,"><script>', "image/png"), "image damaged, not shown: image/png"),
        (Image(f"data:image/png;base64,{'A' * 5_000_000}", "image/png"), "image larger than 3.0 MB, not shown"),
    ],
)
def test_any_other_image_is_only_described(image: Image, said: str) -> None:
    html = Renderer().item(call_item(output="a", images=(image,)))

    assert "<img" not in html
    assert said in html


def test_an_output_without_a_call_has_a_heading() -> None:
    assert "<h3>output</h3>" in Renderer().item(Item("1", "call", call=Call("", output="a")))


# Turns.


def test_the_head_of_a_turn_shows_its_duration_tokens_and_status() -> None:
    tokens = import_module("rollout.stats").Tokens(total_tokens=1234)
    turn = Turn(3, "Mend it\nplease", model="gpt <b>", status="failed", duration=62, tokens=tokens, is_inherited=True)
    turn.started_at = "2026-01-02T03:04:05Z"

    head = Renderer().turn_head(turn)

    assert '<a href="#t3"><span>3 </span>Mend it please</a>' in head
    assert (
        "2026-01-02 03:04:05 +00:00</time> · 1 min 2 s · 1,234 tokens · gpt &lt;b&gt; · <b>failed</b> · inherited"
        in head
    )


def test_turns_without_a_prompt_have_a_heading() -> None:
    assert "Before the first prompt" in Renderer().turn_head(Turn(0))
    assert "No prompt" in Renderer().turn_head(Turn(1))
    assert "No prompt" in Renderer().turn_head(Turn(1, ""))
    assert f">{'x' * 119}…<" not in Renderer().turn_head(Turn(1, "x" * 120))
    assert f"</span>{'x' * 119}…<" in Renderer().turn_head(Turn(1, "x" * 500))


def test_a_rolled_back_turn_is_folded_and_marked() -> None:
    html = Renderer().turn(Turn(1, "a", [Item("1", "user", text="a")], is_rolled_back=True))

    assert "<b>rolled back</b>" in html
    assert "<summary>Rolled back by the user: 1 item</summary>" in html


def test_many_items_are_divided_into_groups() -> None:
    few = Renderer().turn(Turn(1, "a", [Item(str(n), "agent", text="a") for n in range(100)]))
    many = Renderer().turn(Turn(1, "a", [Item(str(n), "agent", text="a") for n in range(101)]))

    assert few.count('<div class="group">') == 0
    assert many.count('<div class="group">') == 3
    assert many.count("<article") == 101


def test_the_footer_of_a_turn_lists_omitted_items_and_lines() -> None:
    turn = Turn(1, "a", [Item("1", "user", text="a"), call_item()], others={"<b>": ["2"]})

    assert "1 item left out at this level of detail." in Renderer(detail="conversation").others(turn)
    assert "<dt>&lt;b&gt;</dt>" in Renderer().others(turn)
    assert Renderer().others(Turn(1)).split() == ["<footer", 'class="others">', "</footer>"]


def test_the_end_says_which_lines_of_the_file_are_in_the_page(home: Path) -> None:
    document = history_of(home, [meta()]).document()

    assert "every line of the file" in Renderer().closing(document)
    assert "the lines of the file that are shown, without outputs" in Renderer(detail="conversation").closing(document)
    assert "--jsonl" not in Renderer(is_live=True).closing(document)


# The session's head.


def test_the_head_of_a_page_shows_the_facts_of_the_session(home: Path) -> None:
    usage = {"input_tokens": 900, "cached_input_tokens": 100, "output_tokens": 100, "total_tokens": 1000}
    counts = [event("token_count", info={"total_token_usage": {k: n * v for k, v in usage.items()}}) for n in (1, 2, 3)]
    done = event("task_complete", duration_ms=65_000)
    lines = [meta(git={"branch": "main"}), *prompt("hello"), *shell("false", "no", 1), *counts, done]
    document = history_of(home, lines).document()

    head = Renderer().heading(document)

    assert "<h1>hello</h1>" in head
    assert "<dt>folder</dt><dd>/home/dev/demo</dd>" in head
    assert "<dd>2,700 input (300 cached), 300 output (0 reasoning)</dd>" in head
    assert "<li>shell: 1 call, 1 failed, 1.5 s</li>" in head
    assert '<polyline points="0.0,' in head
    assert "1 min 5 s active" in head
    assert "--full" in head
    assert "<noscript>" not in Renderer(is_live=True).heading(document)


def test_the_head_of_a_page_names_a_missing_base(home: Path) -> None:
    document = history_of(home, [meta()]).document()
    document.missing_base = "other <b>"

    assert "inherited from session other &lt;b&gt; are missing" in Renderer().heading(document)


def test_the_number_of_points_of_a_curve_is_bounded(home: Path) -> None:
    usage = {"input_tokens": 10_000, "output_tokens": 0, "total_tokens": 10_000}
    document = history_of(home, [meta(), token_count(usage)]).document()
    document.token_growth = [("", 0)] * 5
    none = Renderer().heading(document)
    document.token_growth = [("", number) for number in range(10_000)]
    points = re.search(r'<polyline points="([^"]*)"', Renderer().heading(document))

    assert "<polyline" not in none
    assert points
    assert 150 < len(points[1].split()) < 250
    assert points[1].endswith(" 200.0,2.0")


def test_the_jump_list_has_all_turns(home: Path) -> None:
    document = history_of(home, [meta(), *prompt("one"), *prompt("two"), event("thread_rolled_back", num_turns=1)])

    contents = Renderer().contents(document.document())

    assert "<summary>2 turns</summary>" in contents
    assert '<li><a href="#t1"><span>1 </span>one</a></li>' in contents
    assert '<li class="rolled-back"><a href="#t2">' in contents


def test_ids_are_unique(home: Path) -> None:
    page = page_of(history_of(home, paginated_session("one", "two")))

    ids = Elements(page).ids
    assert len(ids) == len(set(ids))


def test_hostile_text_is_escaped_in_every_place(home: Path) -> None:
    bad = '"><script>alert(1)</script>\x00\u202e\ud800'
    lines = [
        meta(cwd=bad, originator=bad, git={"branch": bad}),
        *prompt(bad),
        *shell(bad, bad),
        ("response_item", {"type": "function_call", "name": bad, "arguments": bad, "call_id": bad}),
        ("response_item", {"type": "reasoning", "summary": [{"type": "summary_text", "text": bad}]}),
        event(bad, message=bad),
        event("error", message=bad),
        (bad, {"a": bad}),
        ("turn_context", {"cwd": bad, "model": bad}),
    ]

    page = page_of(history_of(home, lines))

    assert page.count("<script") == 1 + len(BLOCK.findall(page))
    assert not set(page) & {"\x00", "\u202e", "\ud800"}
    assert "\\u202e" in page
    page.encode()
