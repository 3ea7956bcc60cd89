"""
The viewer in a real browser: lists, searches, a session's page, statistics, and a session that grows.
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

    from tests.browser.visits import Visit

Visits = Callable[..., "Visit"]
PAGES = {
    "list": "", "filtered": "?branch=master", "search": "search", "found": "search?q=parser",
    "statistics": "stats?since=2026-11-01", "session": f"s/{ID}", "numbers": f"s/{ID}/stats",
}  # fmt: skip


@pytest.mark.parametrize("size", ["desktop", "phone"])
@pytest.mark.parametrize("name", PAGES)
def test_each_page_of_the_viewer_fits_its_window_and_axe_finds_nothing_in_it(
    visit: Visits, viewer: str, name: str, size: str
) -> None:
    window = visit(size)
    page = window.open(viewer + PAGES[name])
    assert page.locator("h1").count() == 1
    for scheme in SCHEMES:
        window.dress(scheme)
        window.shot(f"viewer-{name}")
    for box in page.locator("form details > summary, .plotted details > summary").all():
        box.click()

    for scheme in SCHEMES:
        window.dress(scheme)
        assert window.violations() == []

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_list_shows_the_sessions_that_are_not_archived_newest_first(visit: Visits, viewer: str) -> None:
    page = visit().open(viewer)

    said = page.locator(".about").all_inner_texts()

    assert said[0] == "Mend the parser, please. It drops the last token."
    assert said[-1] == "Rename the lexer"
    assert len(said) == 5


def test_the_list_is_filtered_and_the_filter_is_in_the_address(visit: Visits, viewer: str) -> None:
    window = visit()
    page = window.open(viewer)

    page.get_by_label("Branch").fill("master")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**branch=master**")

    assert set(page.locator("tbody td:nth-child(3)").all_inner_texts()) == {"master"}
    page.get_by_role("link", name="Clear").click()
    page.wait_for_load_state()
    assert page.locator(".about").count() == 5


def test_a_search_leads_to_the_item_that_says_it(visit: Visits, viewer: str) -> None:
    window = visit()
    page = window.open(viewer)

    page.get_by_role("searchbox").fill("drops the last token")
    page.get_by_role("searchbox").press("Enter")
    page.locator(".found li > a").first.click()
    page.wait_for_url("**/s/**")
    page.wait_for_timeout(200)

    place = page.locator(":target, .flash").first
    assert "drops the last token" in place.inner_text()
    box = place.bounding_box()
    assert box is not None
    assert 0 <= box["y"] < 900


def test_a_search_for_what_nobody_said_says_so(visit: Visits, viewer: str) -> None:
    page = visit().open(f"{viewer}search?q=xylotomous")

    assert "0 hits" in page.get_by_role("status").inner_text()


def test_raw_json_and_what_is_cut_come_from_the_server(visit: Visits, viewer: str, sessions: dict[str, Path]) -> None:
    window = visit()
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


def test_a_session_prints_from_the_viewer_without_its_controls(visit: Visits, viewer: str) -> None:
    window = visit("phone", "dark")
    page = window.open(f"{viewer}s/{ID}")

    printed = window.pdf("viewer-session")

    assert printed.startswith(b"%PDF-")
    page.emulate_media(media="print")
    assert not page.get_by_role("searchbox").first.is_visible()
    assert page.locator(".item.user").first.is_visible()


def test_statistics_have_plots_that_say_what_they_show(visit: Visits, viewer: str) -> None:
    for address in ("stats?since=2026-11-01", f"s/{ID}/stats"):
        page = visit().open(viewer + address)

        plots = page.locator("main svg")

        assert plots.count() >= 2
        assert all(plot.get_attribute("aria-label") or plot.locator("title").count() for plot in plots.all())


@pytest.mark.parametrize("form", ["html", "markdown", "text", "json"])
def test_a_session_is_saved_from_its_page(visit: Visits, viewer: str, form: str) -> None:
    window = visit()
    page = window.open(f"{viewer}s/{ID}")

    with page.expect_download() as download:
        page.locator(f".exports a[href$='/export/{form}']").click()

    saved = Path(download.value.path()).read_text("utf-8")
    window.problems.clear()
    assert "Mend the parser" in saved


def test_a_damaged_session_is_explained(visit: Visits, viewer: str) -> None:
    window = visit()

    page = window.open(f"{viewer}s/{ID[:-2]}02")

    assert page.locator("h1").inner_text() == "It cannot be shown"
    assert all("500" in problem for problem in window.problems)
    window.problems.clear()


def test_another_page_can_neither_read_nor_frame_the_viewer(
    visit: Visits, viewer: str, canary: Canary, tmp_path: Path
) -> None:
    window = visit()
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


# A session that grows.


@pytest.fixture
def live(tmp_path: Path, serve: Callable[[Path], str]) -> Iterator[tuple[Recorder, str]]:
    """
    A recorder with a long session, and the address of its page.
    """
    with Recorder(home=tmp_path / "home", cwd=tmp_path) as recorder:
        for number in range(20):
            recorder.user_message(f"Question {number}")
            recorder.agent_message(f"Answer {number}. " + "It is as it is. " * 20)
        recorder.flush()
        yield recorder, f"{serve(tmp_path / 'home')}s/{recorder.session_id}"


def say(recorder: Recorder, *texts: str) -> None:
    for text in texts:
        recorder.agent_message(text)
    recorder.flush()


def top_of(page: Page, text: str) -> float:
    box = page.locator(".item", has_text=text).first.bounding_box()
    assert box is not None
    return box["y"]


def test_a_session_grows_on_the_screen(live: tuple[Recorder, str], visit: Visits) -> None:
    recorder, address = live
    window = visit()
    page = window.open(address)
    assert page.locator("#live").inner_text() == "live"

    say(recorder, "This is new.")
    page.get_by_text("This is new.").wait_for()
    recorder.user_message("And a new turn")
    say(recorder, "with its answer")
    page.get_by_text("with its answer").wait_for()

    assert page.locator(".turn").last.locator(".item").count() == 2
    assert "And a new turn" in page.locator("#contents").inner_text()
    window.shot("viewer-live")


def test_who_reads_above_does_not_lose_the_place_when_the_session_grows(
    live: tuple[Recorder, str], visit: Visits
) -> None:
    recorder, address = live
    window = visit()
    page = window.open(address)
    page.evaluate("document.querySelector('#t8').scrollIntoView()")
    page.locator("#t8 .at").first.focus()
    page.wait_for_timeout(200)
    before = top_of(page, "Answer 7.")

    say(recorder, *(f"New {number}\n\n" + "text " * 200 for number in range(10)))
    page.locator("#news").wait_for()
    window.until("document.querySelector('#news').textContent.startsWith('10 ')")

    assert abs(top_of(page, "Answer 7.") - before) < 2
    assert page.evaluate("document.activeElement.closest('#t8') !== null")
    window.shot("viewer-live-above")
    page.locator("#news").click()
    window.until("innerHeight + scrollY >= document.documentElement.scrollHeight - 100")
    assert page.get_by_text("New 9").is_visible()


def test_who_is_at_the_end_stays_there_when_the_session_grows(live: tuple[Recorder, str], visit: Visits) -> None:
    recorder, address = live
    window = visit()
    page = window.open(address)
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    page.wait_for_timeout(200)

    say(recorder, *(f"New {number}\n\n" + "text " * 200 for number in range(10)))
    page.get_by_text("New 9").wait_for()
    window.until("innerHeight + scrollY >= document.documentElement.scrollHeight - 100")

    assert page.get_by_text("New 9").is_visible()
    assert not page.locator("#news").is_visible()


def test_an_answer_comes_to_its_call_and_what_was_opened_stays_open(live: tuple[Recorder, str], visit: Visits) -> None:
    recorder, address = live
    window = visit()
    page = window.open(address)
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
    say(recorder, "Made.")
    page.get_by_text("Made.", exact=True).wait_for()

    assert "exit code" not in running
    assert item.count() == 1
    assert "exit code 0" in (item.text_content() or "")
    assert item.locator("details.output").get_attribute("open") is not None


def test_a_page_that_was_away_gets_what_it_missed(live: tuple[Recorder, str], visit: Visits) -> None:
    recorder, address = live
    window = visit()
    page = window.open(address)

    window.context.set_offline(True)
    say(recorder, "Said meanwhile.")
    page.wait_for_timeout(300)
    window.context.set_offline(False)
    page.get_by_text("Said meanwhile.").wait_for()
    say(recorder, "Said after.")
    page.get_by_text("Said after.").wait_for()

    assert page.get_by_text("Said meanwhile.").count() == 1
    window.problems.clear()


def test_the_page_says_when_nobody_writes_any_more(live: tuple[Recorder, str], visit: Visits) -> None:
    recorder, address = live
    window = visit()
    page = window.open(address)
    window.until("document.getElementById('live').textContent === 'live'")

    recorder.close()
    window.until("document.getElementById('live').textContent !== 'live'")

    assert page.locator("#live").inner_text() == "no writer"


def test_the_list_is_walked_by_keys(visit: Visits, viewer: str) -> None:
    page = visit().open(viewer)

    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    first = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    page.wait_for_url("**/s/**")

    assert first.startswith(page.locator("h1").inner_text())
