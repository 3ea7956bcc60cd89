"""
The viewer in a real browser: lists, searches, the page of a session, statistics, and live updates.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rollout import Recorder
from tests.browser.canary import Canary
from tests.browser.conftest import SCHEMES
from tests.rollouts import ID

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.windows import Window

OpenWindow = Callable[..., "Window"]
PAGES = {
    "list": "", "filtered": "?branch=master", "search": "search", "found": "search?q=parser",
    "statistics": "stats?since=2026-11-01", "session": f"s/{ID}", "numbers": f"s/{ID}/stats",
}  # fmt: skip


@pytest.mark.parametrize("size", ["desktop", "phone"])
@pytest.mark.parametrize("name", PAGES)
def test_each_page_of_the_viewer_fits_its_window_and_axe_finds_nothing_in_it(
    open_window: OpenWindow, viewer: str, name: str, size: str
) -> None:
    window = open_window(size)
    page = window.open(viewer + PAGES[name])
    assert page.locator("h1").count() == 1
    for scheme in SCHEMES:
        window.set_scheme(scheme)
        window.screenshot(f"viewer-{name}")
    for box in page.locator("form details > summary, .statistic details > summary").all():
        box.click()

    for scheme in SCHEMES:
        window.set_scheme(scheme)
        assert window.violations() == []

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_list_shows_the_sessions_that_are_not_archived_newest_first(open_window: OpenWindow, viewer: str) -> None:
    page = open_window().open(viewer)

    titles = page.locator(".about").all_inner_texts()

    assert titles[0] == "Mend the parser, please. It drops the last token."
    assert titles[-1] == "Rename the lexer"
    assert len(titles) == 5


def test_the_list_is_filtered_and_the_filter_is_in_the_address(open_window: OpenWindow, viewer: str) -> None:
    window = open_window()
    page = window.open(viewer)

    page.get_by_label("Branch").fill("master")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**branch=master**")

    assert set(page.locator("tbody td:nth-child(3)").all_inner_texts()) == {"master"}
    page.get_by_role("link", name="Clear").click()
    page.wait_for_load_state()
    assert page.locator(".about").count() == 5


def test_a_hit_leads_to_its_item(open_window: OpenWindow, viewer: str) -> None:
    window = open_window()
    page = window.open(viewer)

    page.get_by_role("searchbox").fill("drops the last token")
    page.get_by_role("searchbox").press("Enter")
    page.locator(".session-hits li > a").first.click()
    page.wait_for_url("**/s/**")
    page.wait_for_timeout(200)

    target = page.locator(":target, .flash").first
    assert "drops the last token" in target.inner_text()
    box = target.bounding_box()
    assert box is not None
    assert 0 <= box["y"] < 900


def test_a_search_without_hits_shows_0_hits(open_window: OpenWindow, viewer: str) -> None:
    page = open_window().open(f"{viewer}search?q=xylotomous")

    assert "0 hits" in page.get_by_role("status").inner_text()


def test_raw_json_and_truncated_texts_come_from_the_server(
    open_window: OpenWindow, viewer: str, sessions: dict[str, Path]
) -> None:
    window = open_window()
    page = window.open(f"{viewer}s/{ID}")
    item = page.locator(".item", has_text="cat /var/log/everything")
    keys = (item.get_attribute("data-lines") or "").split(" ")

    item.locator("details.output > summary").click()
    item.locator("[data-more]").click()
    item.locator(".cut").wait_for(state="detached")
    texts = page.evaluate("keys => Promise.all(keys.map(key => rollout.raw(key)))", keys)

    in_file = sessions["sample"].read_bytes().decode().split("\n")
    assert [json.loads(text) for text in texts] == [json.loads(in_file[int(key) - 1]) for key in keys]
    assert "2500 of the long output" in item.inner_text()


def test_a_session_prints_from_the_viewer_without_its_controls(open_window: OpenWindow, viewer: str) -> None:
    window = open_window("phone", "dark")
    page = window.open(f"{viewer}s/{ID}")

    printed = window.pdf("viewer-session")

    assert printed.startswith(b"%PDF-")
    page.emulate_media(media="print")
    assert not page.get_by_role("searchbox").first.is_visible()
    assert page.locator(".item.user").first.is_visible()


def test_the_plots_of_statistics_have_labels(open_window: OpenWindow, viewer: str) -> None:
    for address in ("stats?since=2026-11-01", f"s/{ID}/stats"):
        page = open_window().open(viewer + address)

        plots = page.locator("main svg")

        assert plots.count() >= 2
        assert all(plot.get_attribute("aria-label") or plot.locator("title").count() for plot in plots.all())


@pytest.mark.parametrize("form", ["html", "markdown", "text", "json"])
def test_a_session_is_saved_from_its_page(open_window: OpenWindow, viewer: str, form: str) -> None:
    window = open_window()
    page = window.open(f"{viewer}s/{ID}")

    with page.expect_download() as download:
        page.locator(f".exports a[href$='/export/{form}']").click()

    saved = Path(download.value.path()).read_text("utf-8")
    window.problems.clear()
    assert "Mend the parser" in saved


def test_a_damaged_session_is_explained(open_window: OpenWindow, viewer: str) -> None:
    window = open_window()

    page = window.open(f"{viewer}s/{ID[:-2]}02")

    assert page.locator("h1").inner_text() == "This page cannot be shown"
    assert all("500" in problem for problem in window.problems)
    window.problems.clear()


def test_another_page_can_neither_read_nor_frame_the_viewer(
    open_window: OpenWindow, viewer: str, canary: Canary, tmp_path: Path
) -> None:
    window = open_window()
    page = window.open(canary.url)

    read = page.evaluate("url => fetch(url).then(answer => answer.text(), () => 'refused')", viewer)
    blind = page.evaluate("url => fetch(url, {mode: 'no-cors'}).then(answer => answer.type, () => 'refused')", viewer)
    framed = page.evaluate(
        """url => new Promise(done => {
            const frame = document.createElement("iframe");
            frame.onload = () => { try { done(frame.contentDocument !== null) } catch { done(false) } };
            frame.src = url;
            document.body.append(frame);
        })""",
        viewer,
    )

    assert (read, blind) == ("refused", "refused")
    assert not framed
    window.problems.clear()


# Live updates.


@pytest.fixture
def live(tmp_path: Path, serve: Callable[[Path], str]) -> Iterator[tuple[Recorder, str]]:
    """
    Yield a recorder with a long session, and the URL of its page.
    """
    with Recorder(home=tmp_path / "home", cwd=tmp_path) as recorder:
        for number in range(20):
            recorder.user_message(f"Question {number}")
            recorder.agent_message(f"Answer {number}. " + "It is as it is. " * 20)
        recorder.flush()
        yield recorder, f"{serve(tmp_path / 'home')}s/{recorder.session_id}"


LONG_MESSAGES = [f"New {number}\n\n" + "text " * 200 for number in range(10)]
IS_AT_END = "innerHeight + scrollY >= document.documentElement.scrollHeight - 100"


def record_messages(recorder: Recorder, *texts: str) -> None:
    for text in texts:
        recorder.agent_message(text)
    recorder.flush()


def y_position(page: Page, text: str) -> float:
    box = page.locator(".item", has_text=text).first.bounding_box()
    assert box is not None
    return box["y"]


def test_a_live_page_shows_new_items_and_turns(live: tuple[Recorder, str], open_window: OpenWindow) -> None:
    recorder, url = live
    window = open_window()
    page = window.open(url)
    assert page.locator("#live").inner_text() == "live"

    record_messages(recorder, "This is new.")
    page.get_by_text("This is new.").wait_for()
    recorder.user_message("And a new turn")
    record_messages(recorder, "with its answer")
    page.get_by_text("with its answer").wait_for()

    assert page.locator(".turn").last.locator(".item").count() == 2
    assert "And a new turn" in page.locator("#contents").inner_text()
    window.screenshot("viewer-live")


def test_the_scroll_position_above_the_end_stays_when_the_session_grows(
    live: tuple[Recorder, str], open_window: OpenWindow
) -> None:
    recorder, url = live
    window = open_window()
    page = window.open(url)
    page.evaluate("document.querySelector('#t8').scrollIntoView()")
    page.locator("#t8 .at").first.focus()
    page.wait_for_timeout(200)
    before = y_position(page, "Answer 7.")

    record_messages(recorder, *LONG_MESSAGES)
    page.locator("#news").wait_for()
    window.wait_until("document.querySelector('#news').textContent.startsWith('10 ')")

    assert abs(y_position(page, "Answer 7.") - before) < 2
    assert page.evaluate("document.activeElement.closest('#t8') !== null")
    window.screenshot("viewer-live-above")
    page.locator("#news").click()
    window.wait_until(IS_AT_END)
    assert page.get_by_text("New 9").is_visible()


def test_a_page_scrolled_to_the_end_stays_there_when_the_session_grows(
    live: tuple[Recorder, str], open_window: OpenWindow
) -> None:
    recorder, url = live
    window = open_window()
    page = window.open(url)
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    page.wait_for_timeout(200)

    record_messages(recorder, *LONG_MESSAGES)
    page.get_by_text("New 9").wait_for()
    window.wait_until(IS_AT_END)

    assert page.get_by_text("New 9").is_visible()
    assert not page.locator("#news").is_visible()


def test_an_output_is_added_to_its_call_and_open_details_stay_open(
    live: tuple[Recorder, str], open_window: OpenWindow
) -> None:
    recorder, url = live
    window = open_window()
    page = window.open(url)
    arguments = json.dumps({"command": ["bash", "-lc", "make the thing"]})
    recorder.tool_call("shell", arguments, call_id="call_1")
    recorder.flush()
    item = page.locator(".item.call")
    item.wait_for()
    running = item.text_content() or ""

    output = json.dumps({"output": "made\n" * 40, "metadata": {"exit_code": 0}})
    recorder.tool_output("call_1", output)
    recorder.flush()
    item.locator("details.output").wait_for()
    item.locator("details.output > summary").click()
    record_messages(recorder, "Made.")
    page.get_by_text("Made.", exact=True).wait_for()

    assert "exit code" not in running
    assert item.count() == 1
    assert "exit code 0" in (item.text_content() or "")
    assert item.locator("details.output").get_attribute("open") is not None


def test_a_page_that_was_offline_gets_the_missed_lines(live: tuple[Recorder, str], open_window: OpenWindow) -> None:
    recorder, url = live
    window = open_window()
    page = window.open(url)

    window.context.set_offline(True)
    record_messages(recorder, "Said meanwhile.")
    page.wait_for_timeout(300)
    window.context.set_offline(False)
    page.get_by_text("Said meanwhile.").wait_for()
    record_messages(recorder, "Said after.")
    page.get_by_text("Said after.").wait_for()

    assert page.get_by_text("Said meanwhile.").count() == 1
    window.problems.clear()


def test_the_page_shows_that_the_writer_has_ended(live: tuple[Recorder, str], open_window: OpenWindow) -> None:
    recorder, url = live
    window = open_window()
    page = window.open(url)
    window.wait_until("document.getElementById('live').textContent === 'live'")

    recorder.close()
    window.wait_until("document.getElementById('live').textContent !== 'live'")

    assert page.locator("#live").inner_text() == "no writer"


def test_the_list_is_navigated_by_keys(open_window: OpenWindow, viewer: str) -> None:
    page = open_window().open(viewer)

    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    first = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    page.wait_for_url("**/s/**")

    assert first.startswith(page.locator("h1").inner_text())
