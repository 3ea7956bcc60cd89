"""
Tests of the guards themselves: they detect a page that does something forbidden.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.canary import Canary

OpenWindow = Callable[..., Any]


def problems_of(open_window: OpenWindow, tmp_path: Path, body: str) -> list[str]:
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><html lang=en><title>x</title>{body}")
    window = open_window()
    window.open(page)
    window.page.wait_for_timeout(100)
    problems, window.problems = window.problems, []
    return [problem.split(":")[0] for problem in problems]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<script>throw Error('x')</script>", "error"),
        ("<script>console.error('x')</script>", "console"),
        ("<script>alert(1)</script>", "dialog"),
        ("<img src=file:///etc/passwd>", "request"),
        ("<img src=/other.png>", "request"),
        ("<script>open('about:blank')</script>", "window"),
    ],
)
def test_forbidden_actions_of_a_page_are_detected(
    open_window: OpenWindow, tmp_path: Path, body: str, problem: str
) -> None:
    assert problem in problems_of(open_window, tmp_path, body)


@pytest.mark.parametrize(
    "body", ["<img src={}/x>", "<script>fetch('{}/x')</script>", "<meta http-equiv=refresh content='0;url={}/x'>"]
)
def test_requests_to_other_servers_are_detected_by_the_guard_and_the_canary(
    open_window: OpenWindow, tmp_path: Path, canary: Canary, body: str
) -> None:
    assert "request" in problems_of(open_window, tmp_path, body.format(canary.url))

    assert "/x" in canary.hits


def test_a_page_that_does_nothing_is_no_problem(open_window: OpenWindow, tmp_path: Path) -> None:
    assert (
        problems_of(
            open_window, tmp_path, "<h1>x</h1><img alt='' src='data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAAC'>"
        )
        == []
    )
