"""
The check that no form of a session drops a line.
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

from rollout import History
from rollout.export import DETAILS, export_html, export_json, export_markdown, export_text

__all__ = ["assert_nothing_is_dropped"]


class Shown(HTMLParser):
    """
    The keys of the lines that a page shows, and of those that it lists as without content for a reader.
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


def keys_of(history: History) -> list[str]:
    """
    Return the keys of all lines that are not blank, inherited lines first.
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


_COUNTS = re.compile(r"; shown: ([\d,]+)|items? from ([\d,]+) lines? |without content to show: ([\d,]+) ")


def _accounted(text: str) -> int:
    """
    Return the number of lines that the notes at the end of an export account for.
    """
    end = text[text.rindex("Lines in the file: ") :][:1_000]
    counts = [number for found in _COUNTS.findall(end) for number in found if number]
    return sum(int(number.replace(",", "")) for number in counts)
