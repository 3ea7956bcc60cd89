"""
The exported page in a real browser, opened from the disk: one file, no network, no console messages.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rollout import load_history
from rollout.export import export_html
from tests.browser.conftest import SCHEMES
from tests.browser.sample import LONG_LINES, NEEDLE, put_sample

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.windows import Window

OpenWindow = Callable[..., "Window"]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_sample(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def exported(session: Path) -> Path:
    return write(session)


def write(session: Path, **options: Any) -> Path:
    target = session.with_suffix(".html")
    target.write_text("".join(export_html(load_history(session), **options)), encoding="utf-8")
    return target


def search(window: Window, words: str) -> str:
    """
    Search the page, and return the text of the result.
    """
    page = window.page
    box = page.get_by_role("searchbox")
    box.fill(words)
    box.press("Enter")
    window.wait_until("document.querySelector('[role=search] output').textContent")
    return page.locator("[role=search] output").inner_text()


def is_in_view(page: Page, selector: str) -> bool:
    """
    Return whether the top of an element is in the window, and not behind the sticky bar at the top.
    """
    script = """e => {
        const box = e.getBoundingClientRect();
        const there = document.elementFromPoint(box.left + Math.min(box.width / 2, 20), Math.max(box.top, 0) + 8);
        return box.top > -8 && box.top < innerHeight && Boolean(there) && (e.contains(there) || there.contains(e));
    }"""
    return bool(page.locator(selector).first.evaluate(script))


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_a_page_opens_from_the_disk_fits_its_window_and_axe_finds_nothing_in_it(
    open_window: OpenWindow, exported: Path, size: str
) -> None:
    window = open_window(size)

    page = window.open(exported)

    assert page.locator("h1").inner_text() == "Mend the parser, please. It drops the last token."
    assert page.locator(".turn").count() == 13
    for scheme in SCHEMES:
        window.set_scheme(scheme)
        page.evaluate("scrollTo(0, 0)")
        window.screenshot("page-top")
        page.evaluate("document.querySelector('#t1').scrollIntoView()")
        window.screenshot("page-turn")
        assert window.violations() == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    window.screenshot("page-whole", full=True)


def test_dark_and_light_mode_have_different_colors(open_window: OpenWindow, exported: Path) -> None:
    window = open_window()
    page = window.open(exported)

    colours = set()
    for scheme in SCHEMES:
        window.set_scheme(scheme)
        colours.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert len(colours) == 2


def test_search_finds_folded_text_and_opens_it(open_window: OpenWindow, exported: Path) -> None:
    window = open_window()
    page = window.open(exported)

    result = search(window, NEEDLE.upper())

    assert result.startswith("1 of 1")
    output = page.locator("details.output", has_text=NEEDLE)
    assert output.get_attribute("open") is not None
    page.wait_for_timeout(100)
    window.screenshot("page-search")


def test_search_moves_to_the_next_match_and_back(open_window: OpenWindow, exported: Path) -> None:
    window = open_window()
    page = window.open(exported)
    first = search(window, "question 1")
    count = first.split(" of ")[1].split(";")[0]

    page.keyboard.press("Enter")
    second = page.locator("[role=search] output").inner_text()
    page.keyboard.press("Shift+Enter")

    assert second.startswith(f"2 of {count}")
    assert page.locator("[role=search] output").inner_text() == first


def test_search_without_matches_shows_nothing_found(open_window: OpenWindow, exported: Path) -> None:
    window = open_window()
    window.open(exported)

    assert search(window, "xylotomous").startswith("Nothing found")


def test_all_details_are_folded_and_unfolded_at_once(open_window: OpenWindow, exported: Path) -> None:
    page = open_window().open(exported)
    opened = "document.querySelectorAll('#turns .item details[open]').length"
    every = page.evaluate("document.querySelectorAll('#turns .item details').length")

    page.get_by_role("button", name="Expand all").click()
    after_expanding = page.evaluate(opened)
    page.get_by_role("button", name="Collapse all").click()

    assert (after_expanding, page.evaluate(opened)) == (every, 0)


def test_truncated_text_is_shown_on_demand(open_window: OpenWindow, exported: Path) -> None:
    page = open_window().open(exported)
    item = page.locator(".item", has_text="cat /var/log/everything")
    item.locator("details.output > summary").click()
    assert f"{LONG_LINES - 2} of the long output" in item.inner_text()
    assert f"{LONG_LINES // 2} of the long output" not in item.inner_text()
    assert "not shown here" in item.locator(".cut").inner_text()

    item.locator("[data-more]").click()
    item.locator(".cut").wait_for(state="detached")

    shown = item.locator(".output pre").inner_text().strip().split("\n")
    assert len(shown) == LONG_LINES
    assert shown[LONG_LINES // 2].startswith(f"{LONG_LINES // 2} of the long output")


def test_raw_json_of_each_item_equals_its_lines_in_the_file(
    open_window: OpenWindow, exported: Path, session: Path
) -> None:
    page = open_window().open(exported)
    in_file = session.read_bytes().decode().split("\n")
    keys = page.evaluate("[...document.querySelectorAll('[data-lines]')].flatMap(e => e.dataset.lines.split(' '))")

    shown = page.evaluate("keys => Promise.all(keys.map(key => rollout.raw(key).catch(() => null)))", keys)

    assert len(keys) > 60
    for key, text in zip(keys, shown, strict=True):
        line = in_file[int(key) - 1]
        assert text == line or (text is None and line == '{"torn'), key


def test_a_raw_button_shows_the_line_and_hides_it_again(open_window: OpenWindow, exported: Path) -> None:
    window = open_window()
    page = window.open(exported)
    item = page.locator(".item.agent").first

    item.locator("button.raw").click()
    panel = item.locator(".raw-panel pre")
    panel.first.wait_for()
    window.wait_until("document.querySelector('.raw-panel pre').textContent.length > 1")
    value = json.loads(panel.first.inner_text())
    window.screenshot("page-raw")
    item.locator("button.raw").click()

    assert value["payload"]
    assert panel.count() == 0


def test_a_link_to_a_line_opens_the_details_around_it(open_window: OpenWindow, exported: Path) -> None:
    item = open_window().open(exported).locator(".item", has_text="cat /var/log/everything")
    key = (item.get_attribute("data-lines") or "").split(" ")[-1]

    page = open_window().open(exported, fragment=f"#L{key}")
    page.wait_for_timeout(200)

    assert is_in_view(page, f"[data-lines~='{key}']")
    assert page.locator(f"[data-lines~='{key}'] details.output").get_attribute("open") is not None


def test_a_link_to_a_line_without_an_item_shows_that_line(open_window: OpenWindow, exported: Path) -> None:
    cell = open_window().open(exported).locator("dd[data-keys]").first
    key = (cell.get_attribute("data-keys") or "").split(" ")[0]

    page = open_window().open(exported, fragment=f"#L{key}")
    page.locator(".others .raw-panel").wait_for()

    assert f"Line {key}" in page.locator(".others .raw-panel").inner_text()


def test_the_jump_list_leads_to_a_turn_and_marks_it(open_window: OpenWindow, exported: Path) -> None:
    window = open_window()
    page = window.open(exported)

    page.get_by_role("navigation").get_by_role("link", name="Question 7").click()
    window.wait_until("document.querySelector('[aria-current]')?.hash === '#t7'")

    assert is_in_view(page, "#t7 h2")
    assert page.url.endswith("#t7")


def test_the_jump_list_of_a_phone_closes_when_a_turn_is_chosen(open_window: OpenWindow, exported: Path) -> None:
    window = open_window("phone")
    page = window.open(exported)

    page.locator(".jump > summary").tap()
    window.screenshot("page-jump-list")
    page.get_by_role("navigation").get_by_role("link", name="Question 7").tap()
    page.wait_for_timeout(200)

    assert is_in_view(page, "#t7 h2")
    assert page.locator(".jump").get_attribute("open") is None


def test_a_copy_button_copies(open_window: OpenWindow, exported: Path) -> None:
    window = open_window()
    page = window.open(exported)
    button = page.locator(".item.agent").first.locator(".copyable > button").first

    button.scroll_into_view_if_needed()
    button.click()
    window.wait_until("b => b.textContent === 'Copied'", button.element_handle())
    page.get_by_role("searchbox").focus()
    page.keyboard.press("Control+V")

    assert "def tokens(text: str)" in page.get_by_role("searchbox").input_value()


def test_a_page_without_its_script_can_be_read(open_window: OpenWindow, exported: Path) -> None:
    window = open_window(java_script_enabled=False)
    page = window.open(exported)

    text = page.locator("main").text_content() or ""
    page.locator("details.output:not([open]) > summary").first.click()

    for expected in (
        "Mend the parser",
        "The parser drops the last token",
        "A pixel.",
        "Answer 12",
        "stream disconnected",
    ):
        assert expected in text
    page.get_by_text("A pixel.").scroll_into_view_if_needed()
    assert page.get_by_text("A pixel.").is_visible()
    assert page.locator("details.output[open]", has_text="0 of the long output").count() == 1
    window.screenshot("page-without-script")


def test_a_page_is_printed_without_its_controls(open_window: OpenWindow, exported: Path) -> None:
    window = open_window()
    page = window.open(exported)

    printed = window.pdf("page")

    assert printed.startswith(b"%PDF-")
    assert 2 < printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") + printed.count(b"/Type/Page/") < 60
    page.emulate_media(media="print")
    assert not page.get_by_role("searchbox").is_visible()
    assert page.locator(".item.agent").first.is_visible()
    window.screenshot("page-print", full=True)


def test_a_dark_page_is_printed_dark_on_light(open_window: OpenWindow, exported: Path) -> None:
    page = open_window("desktop", "dark").open(exported)
    brightness = """name => {
        const [red, green, blue] = getComputedStyle(document.body)[name].match(/[0-9.]+/g).map(Number);
        return red + green + blue;
    }"""
    on_screen = page.evaluate(brightness, "color")

    page.emulate_media(media="print")

    assert on_screen > 400
    assert page.evaluate(brightness, "color") < 200


@pytest.mark.parametrize("detail", ["no-outputs", "conversation"])
def test_omitted_details_are_not_in_the_file_of_the_page(open_window: OpenWindow, session: Path, detail: str) -> None:
    page = open_window().open(write(session, detail=detail))
    keys = page.evaluate(
        "[...document.querySelectorAll('script[data-store=raw]')].flatMap(e => e.dataset.keys.split(' '))"
        ".flatMap(r => { const [a, b = a] = r.split('..'); return [...Array(b - a + 1).keys()].map(n => `${+a + n}`) })"
    )

    texts = page.evaluate("keys => Promise.all(keys.map(key => rollout.raw(key).catch(e => `${e}`)))", keys)

    assert len(texts) > 20
    assert "of the long output" not in "".join(texts)
    assert "of the long output" not in page.content()
