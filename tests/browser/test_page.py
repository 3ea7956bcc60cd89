"""
The exported page in a real browser, opened from the disk: nothing beside the file, no network, no console.
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

    from tests.browser.visits import Visit

Visits = Callable[..., "Visit"]


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


def search(window: Visit, words: str) -> str:
    page = window.page
    box = page.get_by_role("searchbox")
    box.fill(words)
    box.press("Enter")
    window.until("document.querySelector('[role=search] output').textContent")
    return page.locator("[role=search] output").inner_text()


def is_in_view(page: Page, selector: str) -> bool:
    """
    Say whether the top of an element can be seen, and is not behind what sticks to the top of the window.
    """
    script = """e => {
        const box = e.getBoundingClientRect();
        const there = document.elementFromPoint(box.left + Math.min(box.width / 2, 20), Math.max(box.top, 0) + 8);
        return box.top > -8 && box.top < innerHeight && Boolean(there) && (e.contains(there) || there.contains(e));
    }"""
    return bool(page.locator(selector).first.evaluate(script))


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_a_page_opens_from_the_disk_fits_its_window_and_axe_finds_nothing_in_it(
    visit: Visits, exported: Path, size: str
) -> None:
    window = visit(size)

    page = window.open(exported)

    assert page.locator("h1").inner_text() == "Mend the parser, please."
    assert page.locator(".turn").count() == 13
    for scheme in SCHEMES:
        window.dress(scheme)
        page.evaluate("scrollTo(0, 0)")
        window.shot("page-top")
        page.evaluate("document.querySelector('#t1').scrollIntoView()")
        window.shot("page-turn")
        assert window.violations() == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    window.shot("page-whole", full=True)


def test_dark_and_light_are_different_colours(visit: Visits, exported: Path) -> None:
    window = visit()
    page = window.open(exported)

    colours = set()
    for scheme in SCHEMES:
        window.dress(scheme)
        colours.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert len(colours) == 2


def test_search_finds_what_is_folded_and_opens_it(visit: Visits, exported: Path) -> None:
    window = visit()
    page = window.open(exported)

    said = search(window, NEEDLE.upper())

    assert said.startswith("1 of 1")
    place = page.locator("details.output", has_text=NEEDLE)
    assert place.get_attribute("open") is not None
    page.wait_for_timeout(100)
    window.shot("page-search")


def test_search_goes_from_one_match_to_the_next_and_back_again(visit: Visits, exported: Path) -> None:
    window = visit()
    page = window.open(exported)
    first = search(window, "question 1")
    count = first.split(" of ")[1].split(";")[0]

    page.keyboard.press("Enter")
    second = page.locator("[role=search] output").inner_text()
    page.keyboard.press("Shift+Enter")

    assert second.startswith(f"2 of {count}")
    assert page.locator("[role=search] output").inner_text() == first


def test_search_for_what_is_not_there_says_so(visit: Visits, exported: Path) -> None:
    window = visit()
    window.open(exported)

    assert search(window, "xylotomous").startswith("Nothing found")


def test_all_is_folded_and_unfolded_at_once(visit: Visits, exported: Path) -> None:
    page = visit().open(exported)
    opened = "document.querySelectorAll('#turns .item details[open]').length"
    every = page.evaluate("document.querySelectorAll('#turns .item details').length")

    page.get_by_role("button", name="Expand all").click()
    after_expanding = page.evaluate(opened)
    page.get_by_role("button", name="Collapse all").click()

    assert (after_expanding, page.evaluate(opened)) == (every, 0)


def test_what_is_cut_is_there_on_demand(visit: Visits, exported: Path) -> None:
    page = visit().open(exported)
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


def test_raw_json_of_each_item_is_the_lines_of_the_file(visit: Visits, exported: Path, session: Path) -> None:
    page = visit().open(exported)
    in_file = session.read_bytes().decode().split("\n")
    keys = page.evaluate("[...document.querySelectorAll('[data-lines]')].flatMap(e => e.dataset.lines.split(' '))")

    shown = page.evaluate("keys => Promise.all(keys.map(key => rollout.raw(key).catch(() => null)))", keys)

    assert len(keys) > 60
    for key, text in zip(keys, shown, strict=True):
        line = in_file[int(key) - 1]
        assert text == line or (text is None and line == '{"torn'), key


def test_a_raw_button_shows_the_line_and_hides_it_again(visit: Visits, exported: Path) -> None:
    window = visit()
    page = window.open(exported)
    item = page.locator(".item.agent").first

    item.locator("button.raw").click()
    panel = item.locator(".raw-panel pre")
    panel.first.wait_for()
    window.until("document.querySelector('.raw-panel pre').textContent.length > 1")
    value = json.loads(panel.first.inner_text())
    window.shot("page-raw")
    item.locator("button.raw").click()

    assert value["payload"]
    assert panel.count() == 0


def test_a_link_to_a_line_opens_what_is_folded_around_it(visit: Visits, exported: Path) -> None:
    item = visit().open(exported).locator(".item", has_text="cat /var/log/everything")
    key = (item.get_attribute("data-lines") or "").split(" ")[-1]

    page = visit().open(exported, fragment=f"#L{key}")
    page.wait_for_timeout(200)

    assert is_in_view(page, f"[data-lines~='{key}']")
    assert page.locator(f"[data-lines~='{key}'] details.output").get_attribute("open") is not None


def test_a_link_to_a_line_that_adds_nothing_shows_that_line(visit: Visits, exported: Path) -> None:
    cell = visit().open(exported).locator("dd[data-keys]").first
    key = (cell.get_attribute("data-keys") or "").split(" ")[0]

    page = visit().open(exported, fragment=f"#L{key}")
    page.locator(".others .raw-panel").wait_for()

    assert f"Line {key}" in page.locator(".others .raw-panel").inner_text()


def test_the_jump_list_leads_to_a_turn_and_marks_it(visit: Visits, exported: Path) -> None:
    window = visit()
    page = window.open(exported)

    page.get_by_role("navigation").get_by_role("link", name="Question 7").click()
    window.until("document.querySelector('[aria-current]')?.hash === '#t7'")

    assert is_in_view(page, "#t7 h2")
    assert page.url.endswith("#t7")


def test_the_jump_list_of_a_phone_gives_way_to_the_turn(visit: Visits, exported: Path) -> None:
    window = visit("phone")
    page = window.open(exported)

    page.locator(".jump > summary").tap()
    window.shot("page-jump-list")
    page.get_by_role("navigation").get_by_role("link", name="Question 7").tap()
    page.wait_for_timeout(200)

    assert is_in_view(page, "#t7 h2")
    assert page.locator(".jump").get_attribute("open") is None


def test_a_copy_button_copies(visit: Visits, exported: Path) -> None:
    window = visit()
    page = window.open(exported)
    button = page.locator(".item.agent").first.locator(".copyable > button").first

    button.scroll_into_view_if_needed()
    button.click()
    window.until("b => b.textContent === 'Copied'", button.element_handle())
    page.get_by_role("searchbox").focus()
    page.keyboard.press("Control+V")

    assert "def tokens(text: str)" in page.get_by_role("searchbox").input_value()


def test_a_page_without_its_script_can_be_read(visit: Visits, exported: Path) -> None:
    window = visit(java_script_enabled=False)
    page = window.open(exported)

    text = page.locator("main").text_content() or ""
    page.locator("details.output:not([open]) > summary").first.click()

    for said in ("Mend the parser", "The parser drops the last token", "A pixel.", "Answer 12", "stream disconnected"):
        assert said in text
    page.get_by_text("A pixel.").scroll_into_view_if_needed()
    assert page.get_by_text("A pixel.").is_visible()
    assert page.locator("details.output[open]", has_text="0 of the long output").count() == 1
    window.shot("page-without-script")


def test_a_page_prints_all_that_it_shows_and_no_controls(visit: Visits, exported: Path) -> None:
    window = visit()
    page = window.open(exported)

    printed = window.pdf("page")

    assert printed.startswith(b"%PDF-")
    assert 2 < printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") + printed.count(b"/Type/Page/") < 60
    page.emulate_media(media="print")
    assert not page.get_by_role("searchbox").is_visible()
    assert page.locator(".item.agent").first.is_visible()
    window.shot("page-print", full=True)


def test_a_page_prints_dark_on_light_where_the_screen_is_dark(visit: Visits, exported: Path) -> None:
    page = visit("desktop", "dark").open(exported)
    brightness = """name => {
        const [red, green, blue] = getComputedStyle(document.body)[name].match(/[0-9.]+/g).map(Number);
        return red + green + blue;
    }"""
    on_screen = page.evaluate(brightness, "color")

    page.emulate_media(media="print")

    assert on_screen > 400
    assert page.evaluate(brightness, "color") < 200


@pytest.mark.parametrize("detail", ["no-outputs", "conversation"])
def test_what_a_page_leaves_out_is_not_in_its_file_in_any_form(visit: Visits, session: Path, detail: str) -> None:
    page = visit().open(write(session, detail=detail))
    keys = page.evaluate(
        "[...document.querySelectorAll('script[data-store=raw]')].flatMap(e => e.dataset.keys.split(' '))"
        ".flatMap(r => { const [a, b = a] = r.split('..'); return [...Array(b - a + 1).keys()].map(n => `${+a + n}`) })"
    )

    texts = page.evaluate("keys => Promise.all(keys.map(key => rollout.raw(key).catch(e => `${e}`)))", keys)

    assert len(texts) > 20
    assert "of the long output" not in "".join(texts)
    assert "of the long output" not in page.content()
