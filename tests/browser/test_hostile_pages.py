"""
Hostile sessions in a real browser: no planted script runs, no server is reached, and the page does not change, also
while everything on it is clicked. The same scripts do run if escaping and policy are removed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from markupsafe import Markup

from rollout import load_history
from rollout.export import export_html
from rollout.export.html import _blocks, _renderer
from rollout.web import _security
from tests.browser.canary import Canary
from tests.browser.conftest import serving
from tests.hostile import SESSIONS, planted
from tests.rollouts import ID, put

if TYPE_CHECKING:
    from tests.browser.windows import Window

pytestmark = pytest.mark.promise("shown")

OpenWindow = Callable[..., "Window"]
# Clicks and hovers every element, except links that leave the page.
_TOUCH_ALL = """async ({limit}) => {
    const all = selector => [...document.querySelectorAll(selector)].slice(0, limit);
    all("details").forEach(box => { box.open = true; });
    for (const kind of ["mouseover", "mouseenter", "mousemove", "pointerover", "focus", "focusin", "toggle"]) {
        document.querySelectorAll("main *").forEach(element => element.dispatchEvent(new Event(kind, {bubbles: true})));
    }
    all("summary, button[data-more], button.raw, button.copy, .tools button").forEach(button => button.click());
    all("a[href^='#']").forEach(link => link.click());
    await new Promise(done => setTimeout(done, 300));
    all("input, button, select, textarea, [tabindex]").forEach(element => element.focus());
    return document.querySelectorAll("*").length;
}"""
_LINKS = "[...document.querySelectorAll('a')].map(a => a.protocol)"


def write(session: Path) -> Path:
    target = session.with_suffix(".html")
    target.write_text("".join(export_html(load_history(session))), encoding="utf-8")
    return target


def touch_all(window: Window) -> None:
    """
    Click, hover, fold, unfold and focus everything on the page, and search in it.
    """
    page = window.page
    assert page.evaluate(_TOUCH_ALL, {"limit": 300}) > 30
    for words in ("script", "<img", "onerror"):
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        page.keyboard.type(words)
        page.keyboard.press("Enter")
    page.wait_for_timeout(100)
    page.keyboard.press("Escape")
    page.evaluate("location.hash = '#<img src=x onerror=window.__pwned=1>'")
    page.wait_for_timeout(100)


@pytest.mark.parametrize("name", SESSIONS)
def test_nothing_of_a_hostile_session_runs_or_loads_in_its_page(
    open_window: OpenWindow, canary: Canary, tmp_path: Path, name: str
) -> None:
    page = write(put(tmp_path, SESSIONS[name](canary.url)))
    window = open_window()
    window.open(page)
    window.assert_harmless()

    touch_all(window)

    window.assert_harmless()
    assert canary.hits == []
    assert set(window.page.evaluate(_LINKS)) <= {"file:", "http:", "https:", "mailto:"}
    window.screenshot(f"hostile-{name.replace(' ', '-')}")


@pytest.fixture(scope="module")
def hostile_home(tmp_path_factory: pytest.TempPathFactory, _canary: Canary) -> dict[str, str]:
    """
    Write a home with all hostile sessions, and return their ids by name, and the home by "".
    """
    home = tmp_path_factory.mktemp("hostile")
    found = {"": str(home)}
    for number, (name, make) in enumerate(SESSIONS.items()):
        found[name] = f"{ID[:-4]}{number:04x}"
        put(home, make(_canary.url), session_id=found[name], timestamp=f"2026-11-{1 + number:02d}T01-25-37")
    return found


@pytest.fixture(scope="module")
def hostile_viewer(hostile_home: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        with serving(Path(hostile_home[""])) as address:
            yield address


# The viewer renders items with the same package as the exported page: only the rest of the page differs.
@pytest.mark.parametrize("name", ["every field", "times and ids", "odd types", "images", "damaged"])
def test_nothing_of_a_hostile_session_runs_or_loads_in_the_viewer(
    hostile_viewer: str, hostile_home: dict[str, str], open_window: OpenWindow, canary: Canary, name: str
) -> None:
    window = open_window()
    page = window.open(f"{hostile_viewer}s/{hostile_home[name]}/stats")
    page.evaluate(_TOUCH_ALL, {"limit": 300})
    window.assert_harmless()

    window.open(f"{hostile_viewer}s/{hostile_home[name]}")
    touch_all(window)

    window.assert_harmless()
    assert canary.hits == []


@pytest.mark.parametrize("address", ["", "?sort=updated", "search?q=script", "search?q=onerror&failed=1", "stats"])
def test_nothing_of_hostile_sessions_runs_or_loads_in_the_lists_of_the_viewer(
    hostile_viewer: str, open_window: OpenWindow, canary: Canary, address: str
) -> None:
    window = open_window()
    page = window.open(hostile_viewer + address)

    page.evaluate(_TOUCH_ALL, {"limit": 300})

    window.assert_harmless()
    assert canary.hits == []
    assert set(page.evaluate(_LINKS)) == {"http:"}
    window.screenshot(f"hostile-viewer-{address.partition('?')[0] or 'list'}")


@pytest.mark.parametrize("address", ["?cwd=", "?since=", "?model=", "search?q=", "search?tool=x&q=", "stats?since="])
def test_scripts_in_a_url_do_not_run(viewer: str, open_window: OpenWindow, address: str) -> None:
    for text in ("<script>window.__pwned=1</script>", '"><img src=x onerror=window.__pwned=1>', "\x1b[2J{{7*7}}"):
        window = open_window()

        page = window.open(f"{viewer}{address}{quote(text)}")

        assert "49" not in page.locator("form").first.inner_text()
        window.problems = [problem for problem in window.problems if "status of 400" not in problem]
        window.assert_harmless()
        window.close()


@pytest.mark.parametrize("name", ["every field", "odd types", "markdown", "damaged"])
def test_nothing_of_a_hostile_session_runs_or_loads_while_it_grows(
    serve: Callable[[Path], str], open_window: OpenWindow, canary: Canary, tmp_path: Path, name: str
) -> None:
    first, *rest = SESSIONS[name](canary.url).splitlines(keepends=True)
    path = put(tmp_path / "home", first)
    window = open_window()
    page = window.open(f"{serve(tmp_path / 'home')}s/{ID}")
    window.wait_until("window.rollout !== undefined || typeof rollout !== 'undefined'")

    with path.open("ab") as file:
        file.writelines(rest)
    page.locator(".item").first.wait_for(state="attached")
    page.wait_for_timeout(500)
    touch_all(window)

    window.assert_harmless()
    assert canary.hits == []


@pytest.mark.parametrize("name", ["every field", "markdown"])
def test_nothing_of_a_hostile_session_runs_in_print_or_on_a_phone(
    open_window: OpenWindow, canary: Canary, tmp_path: Path, name: str
) -> None:
    page = write(put(tmp_path, SESSIONS[name](canary.url)))
    window = open_window("phone", "dark")
    window.open(page)

    window.pdf(f"hostile-{name.replace(' ', '-')}")

    window.assert_harmless()
    assert canary.hits == []
    assert window.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def without_policy(page: Path) -> Path:
    text = page.read_text("utf-8")
    bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    assert len(bare) < len(text)
    page.write_text(bare, "utf-8")
    return page


@pytest.fixture
def no_escaping(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Disable escaping: pages contain recorded text as it is.
    """
    raw: dict[str, Callable[..., Markup]] = {
        "markdown": lambda text, **options: Markup(text),  # noqa: S704 -- on purpose
        "plain": Markup,
        "one_line": Markup,
    }
    for module in (_blocks, _renderer):
        for name in raw.keys() & vars(module).keys():
            monkeypatch.setattr(module, name, raw[name])


@pytest.fixture
def session(tmp_path: Path, canary: Canary) -> Path:
    return put(tmp_path, planted(canary.url))


def test_a_planted_script_runs_and_loads_without_escaping_and_policy(
    open_window: OpenWindow, canary: Canary, session: Path, no_escaping: None
) -> None:
    window = open_window()

    window.open(without_policy(write(session)))

    assert window.has_run_script()
    assert "/planted.png" in canary.hits
    assert window.problems != []
    window.problems.clear()


def test_the_policy_alone_stops_a_planted_script_without_escaping(
    open_window: OpenWindow, canary: Canary, session: Path, no_escaping: None
) -> None:
    window = open_window()

    page = window.open(write(session))

    # The page contains the elements, and the browser reports that the policy blocked them.
    assert page.locator("main script").count() > 0
    assert page.locator("main img[src*=planted]").count() > 0
    assert any("Content Security Policy" in problem for problem in window.problems)
    assert (window.has_run_script(), canary.hits) == (False, [])
    window.problems.clear()


@pytest.mark.parametrize("name", ["planted", "every field", "markdown", "images"])
def test_escaping_alone_stops_a_planted_script_without_a_policy(
    open_window: OpenWindow, canary: Canary, tmp_path: Path, name: str
) -> None:
    data = planted(canary.url) if name == "planted" else SESSIONS[name](canary.url)
    window = open_window()

    window.open(without_policy(write(put(tmp_path, data))))
    touch_all(window)

    window.assert_harmless()
    assert canary.hits == []


@pytest.mark.parametrize("has_policy", [True, False])
def test_in_the_viewer_a_planted_script_runs_only_without_escaping_and_policy(
    serve: Callable[[Path], str],
    open_window: OpenWindow,
    canary: Canary,
    session: Path,
    no_escaping: None,
    monkeypatch: pytest.MonkeyPatch,
    has_policy: bool,
) -> None:
    if not has_policy:
        monkeypatch.delitem(_security.HEADERS, "Content-Security-Policy")
    window = open_window()

    page = window.open(f"{serve(session.parents[4])}s/{ID}")

    assert page.locator("main script").count() > 0
    assert (window.has_run_script(), "/planted.png" in canary.hits) == (not has_policy, not has_policy)
    window.problems.clear()
