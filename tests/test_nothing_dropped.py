"""
Each line of a session is shown, or counted where it can be seen: in every era's sessions and in every format.
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rollout import History, load_history
from rollout.export import DETAILS, export_html, export_json, export_markdown, export_text
from tests.hostile import CANARY, SESSIONS
from tests.rollouts import ID, answer, bare_session, encode, meta, paginated_session, prompt, put, seed_session

_ERAS: dict[str, bytes] = {
    "before 0.32": bare_session("one", "two"),
    "0.36": encode(seed_session("one", "two")),
    "0.169": encode(paginated_session("one", "two"), first_ordinal=0),
    "empty": encode(seed_session()),
    **{name: SESSIONS[name](CANARY) for name in ("every field", "odd types", "times and ids", "damaged", "images")},
}


class Shown(HTMLParser):
    """
    The keys of the lines that a page says it shows, and of those that it lists as adding nothing.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.shown: list[str] = []
        self.listed: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.shown += (known.get("data-lines") or "").split()
        self.listed += (known.get("data-keys") or "").split() if tag == "dd" else []


@pytest.fixture(params=_ERAS)
def history(request: pytest.FixtureRequest, tmp_path: Path) -> History:
    return load_history(put(tmp_path, _ERAS[request.param]))


def keys_of(history: History) -> list[str]:
    """
    Give the keys of all lines that are not blank, those that it has from another session first.
    """
    own = history.path.read_bytes().split(b"\n")
    inherited = [f"b{number}" for number in range(1, len(history.inherited) + 1)]
    return inherited + [str(number) for number, line in enumerate(own, 1) if line.strip()]


def assert_nothing_is_dropped(history: History) -> None:
    """
    Check that each line is in the document, on the page, and accounted for in the other formats.
    """
    keys, turns = keys_of(history), history.document().turns
    shown = {key for turn in turns for item in turn.items for key in item.lines}
    others = [key for turn in turns for listed in turn.others.values() for key in listed]
    assert sorted([*shown, *others]) == sorted(keys)

    page = Shown("".join(export_html(history)))
    assert (set(page.shown), sorted(page.listed)) == (shown, sorted(others))

    for detail in DETAILS:
        account = json.loads("".join(export_json(history, detail=detail)))["account"]
        assert account["lines"] + account["inherited"] == len(keys)
        assert account["shown"] + account["left_out"] + sum(account["others"].values()) == len(keys)
        for export in (export_text, export_markdown, export_html):
            assert _accounted("".join(export(history, detail=detail))) == len(keys), (export, detail)


_COUNTS = re.compile(r"; shown: ([\d,]+)|items? of ([\d,]+) lines? |nothing for a reader: ([\d,]+) lines? ")


def _accounted(text: str) -> int:
    """
    Add up the lines of which the end of an export tells what became of them.
    """
    end = text[text.rindex("Lines in the file: ") :][:1_000]
    counts = [number for found in _COUNTS.findall(end) for number in found if number]
    return sum(int(number.replace(",", "")) for number in counts)


def test_each_line_of_a_session_is_shown_or_counted(history: History) -> None:
    assert_nothing_is_dropped(history)


def test_each_line_of_a_session_and_of_the_one_it_goes_on_from_is_shown_or_counted(tmp_path: Path) -> None:
    parent = put(tmp_path, encode(paginated_session("one", "two"), first_ordinal=0))
    own_id = f"{ID[:-1]}f"
    base = {"thread_id": ID, "end_ordinal_exclusive": 9}
    first = meta(own_id, history_mode="paginated", forked_from_id=ID, history_base=base)
    child = put(tmp_path, encode([first, *prompt("three"), *answer("3")], first_ordinal=9), session_id=own_id)
    history = load_history(child)

    assert_nothing_is_dropped(history)

    assert history.inherited, parent
