"""
Accessibility of the pages: use by keyboard only, and checks of axe-core.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rollout import load_history
from rollout.export import export_html
from tests.browser.conftest import SCHEMES
from tests.browser.sample import put_sample

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.windows import Window

OpenWindow = Callable[..., "Window"]
# Returns whether the focused element looks different from the same element without focus.
_FOCUS_STYLE = """() => {
    const element = document.activeElement;
    const look = () => {
        const style = getComputedStyle(element);
        return [style.outlineStyle, style.outlineWidth, style.boxShadow].join();
    };
    const shown = look();
    element.blur();
    const plain = look();
    element.focus({preventScroll: true});
    return shown !== plain;
}"""
_NAME = """() => {
    const element = document.activeElement;
    return `${element.tagName} ${element.getAttribute("aria-label") || element.textContent}`.slice(0, 60);
}"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    session = put_sample(tmp_path_factory.mktemp("home"))
    target = session.with_suffix(".html")
    target.write_text("".join(export_html(load_history(session))), encoding="utf-8")
    return target


def test_tab_marks_the_focused_element_in_the_viewer(open_window: OpenWindow, viewer: str) -> None:
    page = open_window().open(viewer)

    names = []
    for _ in range(16):
        page.keyboard.press("Tab")
        names.append(page.evaluate(_NAME))
        assert page.evaluate(_FOCUS_STYLE), names[-1]

    assert names[0] == "A Skip to the content"
    assert len(set(names)) > 12


def test_axe_finds_nothing_with_all_details_open(open_window: OpenWindow, exported: Path) -> None:
    window = open_window()
    page = window.open(exported)
    page.get_by_role("button", name="Expand all").click()
    page.locator(".others summary").first.click()
    page.locator(".item.agent button.raw").first.click()
    page.get_by_role("searchbox").fill("question")
    page.wait_for_timeout(300)

    for scheme in SCHEMES:
        window.set_scheme(scheme)
        assert window.violations() == []


def test_axe_finds_nothing_in_the_help(open_window: OpenWindow, exported: Path) -> None:
    window = open_window()
    window.open(exported).keyboard.press("?")

    assert window.page.get_by_role("dialog").is_visible()
    assert window.violations() == []
    window.screenshot("page-keys")


def test_axe_finds_planted_violations(open_window: OpenWindow, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><title>x</title><img src=data:,><button></button>")
    window = open_window()
    window.open(page)

    found = {text.split(": ")[1] for text in window.violations()}

    assert {"html-has-lang", "image-alt", "button-name"} <= found


def test_the_first_tab_skips_the_jump_list(open_window: OpenWindow, exported: Path) -> None:
    page = open_window().open(exported)

    page.keyboard.press("Tab")
    first = page.evaluate(_NAME)
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    assert first == "A Skip to the session"
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_tab_reaches_every_control_and_marks_the_focused_element(open_window: OpenWindow, exported: Path) -> None:
    page = open_window().open(exported)
    names: list[str] = []

    for _ in range(60):
        page.keyboard.press("Tab")
        names.append(page.evaluate(_NAME))
        assert page.evaluate(_FOCUS_STYLE), names[-1]

    assert names[1] == "INPUT Search in this page"
    for name in ("BUTTON Expand all", "BUTTON Keys", "SUMMARY 12 turns", "A 7 Question 7"):
        assert any(found.startswith(name) for found in names), name
    # No element keeps the focus.
    assert all(name != after for name, after in pairwise(names))


def test_shift_tab_goes_back(open_window: OpenWindow, exported: Path) -> None:
    page = open_window().open(exported)

    for _ in range(5):
        page.keyboard.press("Tab")
    for _ in range(4):
        page.keyboard.press("Shift+Tab")

    assert page.evaluate(_NAME) == "A Skip to the session"


def test_slash_enters_the_search_and_escape_leaves_it(open_window: OpenWindow, exported: Path) -> None:
    page = open_window().open(exported)

    page.keyboard.press("/")
    inside = page.evaluate(_NAME)
    page.keyboard.type("jj")
    typed = page.get_by_role("searchbox").input_value()
    page.keyboard.press("Escape")

    assert (inside, typed) == ("INPUT Search in this page", "jj")
    assert page.evaluate("document.activeElement.tagName") == "BODY"


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_an_output_is_folded_and_unfolded_by_key(open_window: OpenWindow, exported: Path, key: str) -> None:
    page = open_window().open(exported)
    box = page.locator(".item", has_text="cat /var/log/everything").locator("details.output")
    box.locator("summary").focus()

    states = []
    for _ in range(2):
        page.keyboard.press(key)
        states.append(box.get_attribute("open") is not None)

    assert states == [True, False]


def test_j_and_k_move_from_turn_to_turn(open_window: OpenWindow, exported: Path) -> None:
    page = open_window().open(exported)

    at = []
    for key in ("j", "j", "j", "k"):
        page.keyboard.press(key)
        page.wait_for_timeout(100)
        at.append(page.evaluate("document.activeElement.getAttribute('href')"))

    assert at == ["#t1", "#t2", "#t3", "#t2"]


def test_the_help_holds_the_focus_until_it_is_closed(open_window: OpenWindow, exported: Path) -> None:
    page = open_window().open(exported)

    page.keyboard.press("?")
    inside = page.evaluate("document.activeElement.closest('dialog') !== null")
    page.keyboard.press("Escape")

    assert inside
    assert not page.get_by_role("dialog").is_visible()


def test_the_r_key_shows_the_raw_json_of_the_focused_item(open_window: OpenWindow, exported: Path) -> None:
    page = open_window().open(exported)
    page.locator(".item.agent .at").first.focus()

    page.keyboard.press("r")

    assert page.locator(".item.agent").first.locator(".raw-panel").is_visible()


def test_keys_fold_all_details_but_not_while_typing(open_window: OpenWindow, exported: Path) -> None:
    page = open_window().open(exported)
    opened = "document.querySelectorAll('#turns .item details[open]').length"
    before = page.evaluate(opened)

    page.keyboard.press("/")
    page.keyboard.type("ec")
    while_typing = page.evaluate(opened)
    page.keyboard.press("Escape")
    page.keyboard.press("e")
    after_e = page.evaluate(opened)
    page.keyboard.press("c")

    assert while_typing == before
    assert after_e > before
    assert page.evaluate(opened) == 0


def _heading_levels(page: Page) -> list[int]:
    return page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map(h => +h.tagName[1])")  # type: ignore[no-any-return]


def test_headings_go_down_one_level_at_a_time(open_window: OpenWindow, exported: Path) -> None:
    levels = _heading_levels(open_window().open(exported))

    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - level <= 1 for level, later in pairwise(levels))
