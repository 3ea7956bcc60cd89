from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import attrs
import pytest
from IPython.core.formatters import DisplayFormatter

from rollout import MissingSessionMetaError, Page, Problem, Recorder, SessionInfo, list_sessions, load_history
from rollout._text import UNSAFE
from rollout.document import Call, Document, FileChange, Image, Item, PlanStep, Turn
from rollout.notebook import history_bundle
from rollout.notebook._html import SIZE_MAX
from rollout.recording._display import recorder_bundle
from rollout.schema import SessionMeta
from rollout.search import SessionFacts
from rollout.sessions._display import page_bundle, session_bundle
from rollout.stats import SessionStats, Tokens, ToolStats
from tests.hostile import CONTROLS, SESSIONS, html
from tests.rollouts import ID, put, seed_session

TAGS = {"style", "div", "b", "details", "summary", "span", "p", "pre", "table", "thead", "tbody", "tr", "th", "td"}
CLASSES = {
    "rollout-view", "rv-title", "rv-facts", "rv-note", "rv-more", "rv-item", "rv-code", "rv-number", "rv-failed",
    "rv-user", "rv-agent", "rv-reasoning", "rv-other",
}  # fmt: skip


class Elements(HTMLParser):
    """
    The elements of a page, their attributes, and its text outside of styles.
    """

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.other: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += "" if self.open and self.open[-1] == "style" else data

    def handle_comment(self, data: str) -> None:
        self.other.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def assert_harmless(bundle: dict[str, str]) -> str:
    """
    Check that the HTML has only our elements, classes and one style. Return its visible text.
    """
    page = Elements(bundle["text/html"])
    assert set(page.tags) <= TAGS
    assert page.tags.count("style") <= 1
    assert {name for name, _ in page.attributes} <= {"class"}
    assert {part for _, value in page.attributes for part in str(value).split()} <= CLASSES
    assert (page.other, page.open) == ([], [])
    assert len(bundle["text/html"].encode()) <= SIZE_MAX
    for text in (page.text, bundle["text/plain"]):
        assert UNSAFE.findall(text) == []
    return page.text


def document(*turns: Turn, **fields: Any) -> Document:
    meta = SessionMeta(id=ID, timestamp="2026-11-21T01:25:37.094Z", cwd="/work", originator="codex", cli_version="1")
    return Document(ID, Path("/home/r.jsonl"), meta, list(turns), **fields)


def shown(item: Item) -> str:
    return assert_harmless(history_bundle(document(Turn(1, "go", [item]))))


@pytest.fixture
def hostile_text() -> str:
    return "".join(html()) + CONTROLS


def test_a_history_shows_its_facts_and_its_turns(recorder: Recorder) -> None:
    recorder.user_message("What is <b>here</b>?\nAnd there?")
    recorder.tool_output(recorder.tool_call("shell", {"command": ["ls"]}), "README.md")
    recorder.agent_message("A README.")
    recorder.flush()

    bundle = load_history(recorder.path)._repr_mimebundle_()

    text = assert_harmless(bundle)
    for said in (
        "What is <b>here</b>?",
        recorder.session_id,
        str(recorder.path),
        "1 call",
        "ls",
        "README.md",
        "A README.",
    ):
        assert said in text
    assert "   1  What is <b>here</b>? And there?  (3 items" in bundle["text/plain"]


def test_a_page_shows_a_row_for_each_session(home: Path) -> None:
    for number in range(3):
        put(
            home,
            seed_session(f"prompt {number}"),
            session_id=f"{ID[:-1]}{number}",
            timestamp=f"2026-11-2{number}T01-00-00",
        )
    put(home, b"", session_id=f"{ID[:-1]}4", timestamp="2026-11-19T01-00-00")

    page = list_sessions(page_size=3)
    bundle, last = page._repr_mimebundle_(), list_sessions(cursor=page.next_cursor)._repr_mimebundle_()

    text = assert_harmless(bundle)
    assert Elements(bundle["text/html"]).tags.count("tr") == 4
    assert [f"prompt {number}" in text for number in range(3)] == [True] * 3
    assert f"3 sessions, newest first; more after the cursor 2026-11-20T01-00-00|{ID[:-1]}0" in text
    assert "problem: empty session file" in assert_harmless(last)
    assert "1 session; 1 problem, in Page.problems" in last["text/plain"]


def test_an_empty_page_is_shown_as_empty() -> None:
    assert assert_harmless(list_sessions()._repr_mimebundle_()).strip() == "0 sessions"


def test_a_page_of_a_thousand_sessions_shows_two_hundred() -> None:
    session = SessionInfo(Path("/r.jsonl"), ID, "2026-11-21T01-00-00", preview="<script>" * 100)

    text = assert_harmless(Page((session,) * 1000, None, 1000, False)._repr_mimebundle_())

    assert "1,000 sessions, newest first; the first 200 are shown" in text


def test_a_session_shows_only_known_facts(home: Path) -> None:
    put(home, seed_session("hello"))
    (session,) = list_sessions().items
    archived = attrs.evolve(
        session, is_archived=True, problem="line 3: not JSON", facts=SessionFacts(cwd="/elsewhere"), preview=None
    )

    text, other = (assert_harmless(each._repr_mimebundle_()) for each in (session, archived))

    assert text.lstrip().startswith("hellosession")
    assert "master" in text and "2026-11-21 01:25:37" in text and "state" not in text
    assert "archived · line 3: not JSON" in other and "/elsewhere" in other and "git" not in other
    assert other.lstrip().startswith(ID)


def test_a_live_recorder_shows_its_progress_without_a_lock(recorder: Recorder) -> None:
    recorder.user_message("x")

    with recorder._writer._commands.mutex:
        # The lock of the queue: a display that takes it would wait for ever.
        text = assert_harmless(recorder._repr_mimebundle_())

    assert "Recorder, open" in text and recorder.session_id in text


def test_a_recorder_shows_waiting_items_and_the_error() -> None:
    from rollout import RecorderStats

    stats = RecorderStats(3, 2, 4096, 10, 2000, OSError(28, "No space left on <device>\x1b[2J"))
    bundle = recorder_bundle(Path("/r.jsonl"), ID, closed=True, stats=stats)

    text = assert_harmless(bundle)
    assert "Recorder, closed" in text
    assert "10 lines, 2.0 kB" in text
    assert "3 calls, 2 lines that the disk refused, 4.1 kB of memory" in text
    assert "OSError: [Errno 28] No space left on <device>\\x1b[2J" in text
    assert (
        "waiting       nothing"
        in recorder_bundle(Path("/r"), ID, closed=False, stats=RecorderStats(0, 0, 0, 0, 0, None))["text/plain"]
    )


def test_a_closed_recorder_is_shown_as_closed(recorder: Recorder) -> None:
    recorder.close()

    assert "Recorder, closed" in recorder._repr_html_()


def test_ipython_gets_the_media_types_that_it_requests(recorder: Recorder) -> None:
    formatter = DisplayFormatter()

    assert set(formatter.format(recorder)[0]) == {"text/plain", "text/html"}
    assert set(formatter.format(recorder, include={"text/html"})[0]) == {"text/html"}
    assert set(formatter.format(recorder, exclude={"text/html"})[0]) == {"text/plain"}


@pytest.mark.parametrize("name", SESSIONS)
def test_nothing_of_a_hostile_session_becomes_an_element(home: Path, name: str) -> None:
    path = put(home, SESSIONS[name]("http://127.0.0.1:9"))

    for thing in (list_sessions(), *list_sessions().items):
        assert_harmless(thing._repr_mimebundle_())
    try:
        history = load_history(path)
    except MissingSessionMetaError:
        return
    assert_harmless(history._repr_mimebundle_())


def test_hostile_text_in_every_field_becomes_no_element(hostile_text: str) -> None:
    evil: Any = hostile_text
    call = Call(
        evil, evil, evil, evil, evil, evil, -1, True, 1e300, 1.0, evil, evil, evil,
        (Image(evil),), (FileChange(evil, evil, evil),),
    )  # fmt: skip
    failed = Call(evil, output=evil, is_failed=True, failure=evil)
    item = Item(evil, "call", evil, evil, evil, 1.0, [evil], call, (PlanStep(evil, evil),), (Image(evil, evil),))
    items = [item, Item(evil, "call", call=failed)]
    turn = Turn(
        1, evil, items, {evil: [evil]}, evil, evil, evil, 1.0, status=evil, is_rolled_back=True, is_inherited=True
    )
    meta = SessionMeta(id=evil, timestamp=evil, cwd=evil, originator=evil, cli_version=evil, git=None)
    facts = SessionFacts(*[evil] * 7)
    session = SessionInfo(
        Path("/" + evil), evil, evil, size=1, facts=facts, preview=evil, is_archived=True, problem=evil, name=evil
    )

    bundles = [
        history_bundle(Document(evil, Path("/" + evil), meta, [turn], missing_base=evil, facts=facts)),
        page_bundle(Page((session,), evil, problems=(Problem(Path("/"), evil),))),
        session_bundle(session),
    ]

    for bundle in bundles:
        assert_harmless(bundle)


def test_the_check_finds_a_script_that_is_not_escaped(recorder: Recorder) -> None:
    bundle = recorder._repr_mimebundle_()

    with pytest.raises(AssertionError):
        assert_harmless({**bundle, "text/html": bundle["text/html"].replace("Recorder", "<script>1</script>")})


def test_output_of_ten_megabytes_is_truncated_with_a_note() -> None:
    call = Call("shell", input="cat", output="a" * 5_000_000 + "b" * 5_000_000)

    text = shown(Item("1", "call", call=call))

    assert "a…" not in text
    assert "a\n… 9,998,000 characters not shown here …\nb" in text
    assert len(text) < 5000


def test_a_session_too_large_for_a_notebook_counts_what_it_leaves_out() -> None:
    items = [Item(str(number), "agent", text="<&\U0001f600" * 700) for number in range(500)]
    turns = [Turn(number, f"prompt {number}", items, {"token_count": ["1"]}) for number in range(1, 301)]

    text = assert_harmless(history_bundle(document(*turns)))

    assert "200 turns not shown here" in text
    assert "prompt 20 " in text and "prompt 21 " not in text and "prompt 220 " not in text and "prompt 221 " in text
    assert "500 more items not shown here because of their size; 1 line of settings and counters" in text


def test_long_turns_get_the_space_that_short_ones_leave() -> None:
    short = [Turn(number, "short", [Item("1", "agent", text="yes")]) for number in range(1, 50)]
    long = Turn(50, "long", [Item(str(number), "agent", text="x" * 1000) for number in range(100)])

    text = assert_harmless(history_bundle(document(*short, long)))

    assert text.count("x" * 1000) > 80


def test_each_kind_of_item_has_its_own_form() -> None:
    assert "context · orders · line 1 · 5 characters" in shown(Item("1", "context", "orders", "12345"))
    assert "12345" not in shown(Item("1", "context", "orders", "12345"))
    assert "✓ a\n▸ b\n○ c" in shown(
        Item("1", "plan", plan=(PlanStep("a", "completed"), PlanStep("b", "in_progress"), PlanStep("c", "pending")))
    )
    assert "an image, 4 B as text" in shown(Item("1", "user", text="see", images=(Image("data"),)))
    assert "update a.py: +1 -2" in shown(
        Item("1", "call", call=Call("apply_patch", changes=(FileChange("a.py", "update", "+a\n-b\n-c"),)))
    )
    assert "shell · exit code 2 · 1.5 s · line 1" in shown(
        Item("1", "call", call=Call("shell", exit_code=2, duration=1.5))
    )
    assert "mcp · failed · line 1" in shown(Item("1", "call", call=Call("mcp", is_failed=True)))
    assert "rv-failed" in history_bundle(document(Turn(1, "x", [Item("1", "error", text="no")])))["text/html"]


def test_turns_show_their_facts() -> None:
    turns = [
        Turn(0, None, [Item("1", "notice", "began")]),
        Turn(1, None, duration=80.0, tokens=Tokens(total_tokens=1234), status="interrupted"),
        Turn(2, "again", status="completed", is_rolled_back=True, is_inherited=True),
    ]

    text = history_bundle(document(*turns))["text/plain"].splitlines()[-3:]

    assert text == [
        "   0  before the first prompt  (1 item)",
        "   1  no prompt  (0 items, 1 min 20 s, 1,234 tokens, interrupted)",
        "   2  again  (0 items, rolled back, inherited)",
    ]


def test_a_document_shows_its_time_calls_and_tokens() -> None:
    stats = SessionStats(turns=2, tools={"a": ToolStats(3, 1)}, tokens=Tokens(total_tokens=1000), duration=7200.0)
    one = document(Turn(0), Turn(1, "x", model="gpt"), stats=stats, missing_base="b", line_count=2)

    text = assert_harmless(history_bundle(one))

    assert "2 turns · 2 h · 3 calls, 1 failed · 1,000 tokens" in text
    assert "modelgpt" in text and "b, which is missing" in text and "before the first" not in text


def test_the_style_applies_only_to_our_elements_and_loads_nothing(recorder: Recorder) -> None:
    recorder.user_message("x")
    recorder.flush()

    page = load_history(recorder.path)._repr_html_()

    style = re.findall(r"<style>(.*)</style>", page, re.DOTALL)[0]
    selectors = [part.strip() for rule in re.findall(r"([^{}]+)\{", style) for part in rule.split(",")]
    assert selectors and all(
        selector.startswith("div.rollout-view.rollout-view.rollout-view") for selector in selectors
    )
    assert not re.search(r"url\(|@|expression|http", style)


def test_recording_and_listing_load_no_module_for_notebooks() -> None:
    script = (
        "import sys, rollout; rollout.Recorder, rollout.list_sessions;"
        "print('html' in sys.modules, any('notebook' in name or '_display' in name for name in sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.split() == ["False", "False"]
