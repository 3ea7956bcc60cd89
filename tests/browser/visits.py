"""
A visit: one page in a browser's window of its own, and everything that it did and must not.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Request

from tests.browser.install import AXE

SHOTS = Path(__file__).parent.parent.parent / ".screenshots"
"""Pictures and PDFs of each run; git ignores it."""
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
"""Width and height in CSS pixels."""
_LIMIT = 15


class Visit:
    """
    Opens pages and notes errors of the page and its console, what it asks for, dialogs, windows, and where it goes.
    """

    def __init__(self, browser: Browser, size: str = "desktop", scheme: Any = "light", **options: Any) -> None:
        width, height = SIZES[size]
        self.size, self.scheme = size, scheme
        self.problems: list[str] = []
        self.start = ""
        self.context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            is_mobile=size == "phone",
            has_touch=size == "phone",
            reduced_motion="reduce",
            **options,
        )
        self.context.set_default_timeout(_LIMIT * 1000)
        self.page: Page = self.context.new_page()
        self.context.on("request", self._requested)
        self.context.on("console", lambda said: self._note(said.type in ("error", "warning"), f"console: {said.text}"))
        self.context.on("weberror", lambda error: self._note(True, f"error: {error.error}"))
        self.context.on("page", lambda page: self._note(True, f"window: {page.url}"))
        self.page.on("download", lambda download: self._note(True, f"download: {download.url}"))
        self.page.on("dialog", self._asked)

    def open(self, address: str | Path, *, fragment: str = "") -> Page:
        """
        Open a file, or the page of a local server, and wait until it is loaded.
        """
        self.start = address.as_uri() if isinstance(address, Path) else address
        self.page.goto(self.start + fragment, wait_until="load")
        return self.page

    def dress(self, scheme: Any) -> None:
        """
        Change to light or dark.
        """
        self.scheme = scheme
        self.page.emulate_media(color_scheme=scheme)

    def _note(self, is_problem: bool, text: str) -> None:
        if is_problem:
            self.problems.append(text[:500])

    def _asked(self, dialog: Any) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _requested(self, request: Request) -> None:
        # A page from the disk has nothing but itself; one of a server has that server.
        is_own = request.url.split("#")[0] == self.start.split("#")[0]
        if self.start.startswith("http"):
            is_own = request.url.startswith("/".join(self.start.split("/", 3)[:3]) + "/")
        self._note(not is_own and not request.url.startswith(("data:", "blob:")), f"request: {request.url}")

    def shot(self, name: str, *, full: bool = False) -> Path:
        """
        Take a picture, for people to look at.
        """
        path = SHOTS / f"{name}-{self.size}-{self.scheme}.png"
        SHOTS.mkdir(exist_ok=True)
        path.write_bytes(self.page.screenshot(full_page=full))
        return path

    def pdf(self, name: str) -> bytes:
        """
        Print the page.
        """
        printed = self.page.pdf(format="A4")
        SHOTS.mkdir(exist_ok=True)
        (SHOTS / f"{name}-{self.size}-{self.scheme}.pdf").write_bytes(printed)
        return printed

    def until(self, condition: str, argument: Any = None) -> None:
        """
        Wait until a script gives something true, at most 15 s.
        """
        # Playwright's own waiting evaluates a string in the page, which the page's policy forbids.
        end = time.monotonic() + _LIMIT
        while not self.page.evaluate(condition, argument):
            assert time.monotonic() < end, condition
            self.page.wait_for_timeout(20)

    def violations(self) -> list[str]:
        """
        Ask axe-core what is wrong with the page as it stands.
        """
        # Not with a script tag, which the page's policy forbids.
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations'], iframes: false})")
        return [
            f"{one['impact']}: {one['id']}: {node['html'][:150]} {node['failureSummary'][:200]}"
            for one in found["violations"]
            for node in one["nodes"]
        ]

    def has_run(self) -> bool:
        """
        Say whether a planted script has run in the page.
        """
        return bool(self.page.evaluate("window.__pwned"))

    def assert_stayed(self) -> None:
        """
        Check that nothing ran, was asked for, or left the page.
        """
        assert not self.has_run()
        assert self.page.url.split("#")[0] == self.start.split("#")[0]
        assert self.problems == []

    def close(self) -> None:
        """
        Close the window.
        """
        self.context.close()
