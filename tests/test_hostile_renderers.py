"""
Every hostile session through everything that shows one: no markup of theirs in a page, nothing raw on a terminal.

What a real browser does with the pages: tests/browser/test_hostile_pages.py.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from rollout import History, Recorder, export, list_sessions, load_history
from rollout._text import UNSAFE
from rollout.cli import _app
from rollout.secrets import Redaction
from tests.hostile import LARGE, SESSIONS, html
from tests.rollouts import put, seed_session

pytestmark = pytest.mark.promise("shown")
# Elements of text, tables, lists, and of our own pages; none of them loads or runs anything by itself.
_TAGS = frozenset(
    re.findall(
        r"\w+",
        """
        a article aside b blockquote body br button code dd del details div dl dt em figcaption figure footer form h1 h2
        h3 h4 h5 h6 head header hr html i img input ins kbd label li main mark nav ol p path polyline pre q s search
        section small span strong sub summary sup svg table tbody td th thead time title tr ul
        """,
    )
)
# What a browser takes for the scheme of an address, and what it leaves out before it looks.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=:)")
_LEFT_OUT = re.compile(r"^[\0-\x20]+|[\t\n\r]")
_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]*")
_STORED = re.compile(r"[A-Za-z0-9+/=\s]*")


class Outline(HTMLParser):
    """
    The parts of a page that could act, each as a line.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self._inside: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag in ("script", "style"):
            self._inside.append((tag, known))
        elif tag not in _TAGS:
            self.found.add(f"<{tag} {sorted(known.items(), key=str)}>")
        for name, value in attrs:
            self._note(tag, name, value or "")

    def _note(self, tag: str, name: str, value: str) -> None:
        if name == "href" and tag == "a" and _leads_nowhere_bad(value):
            return
        if name == "src" and _PICTURE.fullmatch(value):
            return
        if name.startswith("on") or name in (
            "href",
            "src",
            "style",
            "srcdoc",
            "srcset",
            "action",
            "formaction",
            "ping",
        ):
            self.found.add(f"<{tag} {name}={value!r}>")

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1][0] == tag:
            self._inside.pop()

    def handle_data(self, text: str) -> None:
        if not self._inside:
            return
        tag, attrs = self._inside[-1]
        if attrs.get("type") != "application/octet-stream" or _STORED.fullmatch(text) is None:
            self.found.add(f"<{tag}> {text}")

    def handle_comment(self, text: str) -> None:
        self.found.add(f"<!-- {text}")


def _leads_nowhere_bad(address: str) -> bool:
    scheme = _SCHEME.match(_LEFT_OUT.sub("", address))
    return scheme is None or scheme[0].lower() in ("http", "https", "mailto")


def _notebook(value: Any) -> str:
    return str(value._repr_html_())


def _notebook_text(value: Any) -> str:
    return "".join(str(text) for kind, text in value._repr_mimebundle_().items() if kind == "text/plain")


def _page_of(history: History) -> Any:
    return list_sessions(home=history.path.parents[4])


def _exported(form: str, detail: str, history: History) -> str:
    return "".join(getattr(export, f"export_{form}")(history, detail=detail))


def _careless_page(history: History) -> str:
    """
    Return Markdown rendered without protection: with its HTML, and with any link.
    """
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    return str(parser.render(_exported("markdown", "full", history)))


PAGES: dict[str, Callable[[History], str]] = {
    **{f"page, {detail}": partial(_exported, "html", detail) for detail in export.DETAILS},
    "Markdown": _careless_page,
    "notebook, history": _notebook,
    "notebook, list": lambda history: _notebook(_page_of(history)),
    "notebook, summary": lambda history: "".join(map(_notebook, _page_of(history).items)),
}
"""What a browser shows."""

TEXTS: dict[str, Callable[[History], str]] = {
    **{form: partial(_exported, form, "full") for form in ("text", "markdown", "json")},
    "notebook, history": _notebook_text,
    "notebook, list": lambda history: _notebook_text(_page_of(history)),
    "notebook, summary": lambda history: "".join(map(_notebook_text, _page_of(history).items)),
}
"""What reaches a terminal, or a file that people look at in one."""


ALL = SESSIONS | {f"{name}, large": make for name, make in LARGE.items()}


def marks_of(name: str) -> Sequence[pytest.MarkDecorator]:
    return [] if name in SESSIONS else [pytest.mark.slow]


every_name = pytest.mark.parametrize("name", [pytest.param(name, marks=marks_of(name)) for name in ALL])


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], History]:
    @cache
    def make(name: str) -> History:
        home = tmp_path_factory.mktemp("home")
        return load_history(put(home, ALL[name]("http://127.0.0.1:9") if name else seed_session("one")))

    return make


# The pathological ones take the parser of the test, which has no limits, half a minute.
@pytest.mark.parametrize(
    ("shows", "name"),
    [
        pytest.param(shows, name, marks=marks_of(name))
        for shows, name in product(PAGES, ALL)
        if shows != "Markdown" or not name.startswith("pathological")
    ],
)
def test_a_hostile_session_adds_no_active_content_to_a_page(
    histories: Callable[[str], History], shows: str, name: str
) -> None:
    page = PAGES[shows](histories(name))

    assert Outline(page).found - Outline(PAGES[shows](histories(""))).found == set()
    assert UNSAFE.search(page) is None


@every_name
@pytest.mark.parametrize("shows", TEXTS)
def test_a_hostile_session_leaves_no_control_characters_in_a_text(
    histories: Callable[[str], History], shows: str, name: str
) -> None:
    text = TEXTS[shows](histories(name))

    assert UNSAFE.search(text) is None
    if shows == "json":
        assert json.loads(text)


@every_name
def test_a_hostile_session_is_redacted_and_exported(histories: Callable[[str], History], name: str) -> None:
    history = export.redacted(histories(name), Redaction())

    assert UNSAFE.search(_exported("text", "full", history)) is None


@pytest.fixture
def at_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER", "cat")
    monkeypatch.setenv("TERM", "xterm-256color")
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)


# Colours and weights, which the command itself sets.
_DRAWN = re.compile(r"\x1b\[[\d;]*m")


@every_name
@pytest.mark.parametrize("options", [(), ("--full",)])
def test_a_hostile_session_writes_no_control_characters_to_a_terminal(
    histories: Callable[[str], History],
    at_terminal: None,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    name: str,
) -> None:
    status = _app.run(["show", str(histories(name).path), *options])

    out, err = capsys.readouterr()
    assert status == 0
    assert UNSAFE.search(_DRAWN.sub("", out + err)) is None


def test_the_display_of_a_recorder_escapes_the_name_of_a_hostile_folder(tmp_path: Path) -> None:
    folder = tmp_path / f"{html()[0].replace('/', '')}\x1b[2J\u202e"
    with Recorder(home=folder / "home", cwd=folder) as recorder:
        recorder.user_message(html()[0])
        page, text = _notebook(recorder), _notebook_text(recorder)

    with Recorder(home=tmp_path / "home", cwd=tmp_path) as harmless:
        assert Outline(page).found == Outline(_notebook(harmless)).found
    assert UNSAFE.search(page + text) is None


def test_the_outline_of_these_tests_finds_active_content() -> None:
    # Each of these must be found, or the tests above could not fail.
    for text in (
        "<script>x</script>", "<style>x</style>", "<img src=http://x>", "<a href=javascript:x>", "<p onclick=x>",
        "<iframe>", "<base href=x>", "<meta http-equiv=refresh>", "<link>", "<p style=x>", "<!-- x -->",
        "<a href=' java\tscript:x'>", "<a href='\x01JavaScript:x'>", "<a href=data:text/html,x>",
        "<img src='data:image/svg+xml;base64,AA'>", "<svg><use href='data:x'>",
        "<script type=application/octet-stream>alert(1)</script>",
    ):  # fmt: skip
        assert Outline(text).found, text
