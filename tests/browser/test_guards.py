"""
The guards see what they are for: a page that does what none may is caught.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.canary import Canary

Visits = Callable[..., Any]


def seen(visit: Visits, tmp_path: Path, body: str) -> list[str]:
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><html lang=en><title>x</title>{body}")
    window = visit()
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
def test_what_no_page_may_do_is_seen(visit: Visits, tmp_path: Path, body: str, problem: str) -> None:
    assert problem in seen(visit, tmp_path, body)


@pytest.mark.parametrize(
    "body", ["<img src={}/x>", "<script>fetch('{}/x')</script>", "<meta http-equiv=refresh content='0;url={}/x'>"]
)
def test_what_leaves_the_page_is_seen_by_the_guard_and_by_the_canary(
    visit: Visits, tmp_path: Path, canary: Canary, body: str
) -> None:
    assert "request" in seen(visit, tmp_path, body.format(canary.url))

    assert "/x" in canary.hits


def test_a_page_that_does_nothing_is_no_problem(visit: Visits, tmp_path: Path) -> None:
    assert (
        seen(visit, tmp_path, "<h1>x</h1><img alt='' src='data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAAC'>")
        == []
    )
