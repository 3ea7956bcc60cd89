"""
A page in its own browser window, and the record of everything that it must not do.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Request

from tests.browser.install import AXE

SCREENSHOTS = Path(__file__).parent.parent.parent / ".screenshots"
"""Folder for screenshots and PDFs of each run. Git ignores it."""
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
"""Width and height in CSS pixels."""
_LIMIT = 15


class Window:
    """
    A browser window that records problems: errors of the page and the console, requests to other servers, dialogs, new
    windows, and downloads.
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
        self.context.on("request", self._check_request)
        self.context.on(
            "console", lambda entry: self._record(entry.type in ("error", "warning"), f"console: {entry.text}")
        )
        self.context.on("weberror", lambda error: self._record(True, f"error: {error.error}"))
        self.context.on("page", lambda page: self._record(True, f"window: {page.url}"))
        self.page.on("download", lambda download: self._record(True, f"download: {download.url}"))
        self.page.on("dialog", self._dismiss)

    def open(self, address: str | Path, *, fragment: str = "") -> Page:
        """
        Open a file, or a page of a local server, and wait until it is loaded.
        """
        self.start = address.as_uri() if isinstance(address, Path) else address
        self.page.goto(self.start + fragment, wait_until="load")
        return self.page

    def set_scheme(self, scheme: Any) -> None:
        """
        Set the color scheme, light or dark.
        """
        self.scheme = scheme
        self.page.emulate_media(color_scheme=scheme)

    def _record(self, is_problem: bool, text: str) -> None:
        if is_problem:
            self.problems.append(text[:500])

    def _dismiss(self, dialog: Any) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _check_request(self, request: Request) -> None:
        # A page from a file may load only itself; a page of a server may load from this server.
        is_own = request.url.split("#")[0] == self.start.split("#")[0]
        if self.start.startswith("http"):
            is_own = request.url.startswith("/".join(self.start.split("/", 3)[:3]) + "/")
        self._record(not is_own and not request.url.startswith(("data:", "blob:")), f"request: {request.url}")

    def screenshot(self, name: str, *, full: bool = False) -> Path:
        """
        Save a screenshot for manual review.
        """
        path = SCREENSHOTS / f"{name}-{self.size}-{self.scheme}.png"
        SCREENSHOTS.mkdir(exist_ok=True)
        path.write_bytes(self.page.screenshot(full_page=full))
        return path

    def pdf(self, name: str) -> bytes:
        """
        Print the page as a PDF, and return its bytes.
        """
        printed = self.page.pdf(format="A4")
        SCREENSHOTS.mkdir(exist_ok=True)
        (SCREENSHOTS / f"{name}-{self.size}-{self.scheme}.pdf").write_bytes(printed)
        return printed

    def wait_until(self, condition: str, argument: Any = None) -> None:
        """
        Wait until a script returns a true value, for at most 15 s.
        """
        # Playwright's own wait function evaluates a string in the page, which the page's policy forbids.
        end = time.monotonic() + _LIMIT
        while not self.page.evaluate(condition, argument):
            assert time.monotonic() < end, condition
            self.page.wait_for_timeout(20)

    def violations(self) -> list[str]:
        """
        Return the violations that axe-core finds in the current state of the page.
        """
        # Evaluated, because the page's policy forbids a script tag.
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations'], iframes: false})")
        return [
            f"{one['impact']}: {one['id']}: {node['html'][:150]} {node['failureSummary'][:200]}"
            for one in found["violations"]
            for node in one["nodes"]
        ]

    def has_run_script(self) -> bool:
        """
        Return whether a planted script has run in the page.
        """
        return bool(self.page.evaluate("window.__pwned"))

    def assert_harmless(self) -> None:
        """
        Check that no script ran, no other server was reached, and the page did not change.
        """
        assert not self.has_run_script()
        assert self.page.url.split("#")[0] == self.start.split("#")[0]
        assert self.problems == []

    def close(self) -> None:
        """
        Close the window.
        """
        self.context.close()
