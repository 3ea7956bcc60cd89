from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.canary import Canary
from tests.browser.install import chromium, missing
from tests.browser.sample import put_sample
from tests.rollouts import ID, bare_session, encode, paginated_session, put, seed_session

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.windows import Window

SCHEMES = ("light", "dark")
# The browser resolves no host names, and so reaches no service of its vendor.
_FLAGS = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.fspath).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if reasons := missing():
        if os.environ.get("ROLLOUT_REQUIRE_BROWSER"):
            pytest.fail("; ".join(reasons))
        pytest.skip("; ".join(reasons))
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """
    Return the sessions of a home by name: one with every kind of item, some of each era, one damaged, one archived.
    """
    home = tmp_path_factory.mktemp("viewed")
    found = {"sample": put_sample(home)}
    for number, (name, data) in enumerate({
        "seed": encode(seed_session("Rename the lexer", "Now the tests")), "damaged": b"not json at all\n",
        "paginated": encode(paginated_session("Explain the parser", "Thanks"), first_ordinal=0),
        "bare": bare_session("An old question"), "archived": encode(seed_session("Put away long ago")),
    }.items(), 1):  # fmt: skip
        session_id = f"{ID[:-2]}{number:02x}"
        folder = home / "archived_sessions" if name == "archived" else None
        own = data.replace(ID.encode(), session_id.encode())
        found[name] = put(home, own, session_id=session_id, folder=folder, timestamp=f"2026-11-{10 + number}T01-25-37")
    return found


@pytest.fixture(scope="package")
def viewer(sessions: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """
    Yield the URL of a viewer of that home.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        with serving(sessions["sample"].parents[4]) as url:
            yield url


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], str]]:
    """
    Yield a function that starts a viewer of a home and returns its URL.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with ExitStack() as stack:
        yield lambda home: stack.enter_context(serving(home))


@contextmanager
def serving(home: Path) -> Iterator[str]:
    from rollout.web import make_viewer

    with make_viewer(home) as viewer:
        yield viewer.url


@pytest.fixture(scope="package")
def _canary() -> Iterator[Canary]:
    canary = Canary()
    yield canary
    canary.close()


@pytest.fixture
def canary(_canary: Canary) -> Canary:
    _canary.hits.clear()
    return _canary


@pytest.fixture
def open_window(browser: Browser) -> Iterator[Callable[..., Window]]:
    """
    Yield a function that opens a window. At the end of the test, no window may have recorded a problem.
    """
    from tests.browser.windows import Window

    windows: list[Window] = []

    def start(*args: Any, **options: Any) -> Window:
        windows.append(Window(browser, *args, **options))
        return windows[-1]

    yield start
    for window in windows:
        window.close()
    assert [problem for window in windows for problem in window.problems] == []
