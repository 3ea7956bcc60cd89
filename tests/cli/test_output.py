from __future__ import annotations

import json
import re
import sys
import time
import unicodedata
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout._units import size_text
from rollout._visible import one_line, visible
from rollout.cli import _live
from rollout.cli._output import age, count_text, display_width, encode, table
from tests.cli.conftest import Run
from tests.rollouts import put, seed_session

# What text may hold, halves of characters among it.
TEXTS = st.text(
    st.characters(exclude_categories=[]) | st.sampled_from("\x1b\x9b\x07\x00\r\n\t\u202e\u2066\u200b\U000e0041")
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=20,
)
BIDI = {"RLO", "LRO", "RLE", "LRE", "PDF", "LRI", "RLI", "FSI", "PDI"}


def acts(character: str) -> bool:
    if unicodedata.category(character) in ("Cs", "Zl", "Zp") or unicodedata.bidirectional(character) in BIDI:
        return True
    return unicodedata.category(character) == "Cc" and character not in "\n\t"


@given(TEXTS)
def test_nothing_that_is_visible_acts_on_a_terminal(text: str) -> None:
    assert [character for character in visible(text) if acts(character)] == []
    assert "\n" not in one_line(text)
    visible(text).encode()


@given(TEXTS)
def test_what_does_not_act_stands_as_it_was(text: str) -> None:
    harmless = "".join(c for c in text if not acts(c) and unicodedata.category(c) not in ("Cf", "Cn"))

    assert visible(harmless) == harmless


@given(VALUES)
def test_json_is_equal_and_does_nothing_to_a_terminal(value: Any) -> None:
    text = encode(value)

    assert [character for character in text if acts(character) or character == "\n"] == []
    # ujson gives a float 17 digits at most, and no two halves that make a whole.
    assert json.loads(text) == json.loads(json.dumps(value))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\r\nb\rc", "a\nb\\x0dc"),
        ("\x9b\x07\x00\x7f", "\\x9b\\x07\\x00\\x7f"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\U000e0041\ud800", "\\U000e0041\\ud800"),
        ("👩\u200d💻 \u0645\u06cc\u200c\u062e é 日本", "👩\u200d💻 \u0645\u06cc\u200c\u062e é 日本"),
    ],
)
def test_escapes_stand_for_what_they_were(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_json_is_ascii_where_stdout_knows_no_more(home: Path, rollout: Run) -> None:
    put(home, seed_session("caf\xe9 🎉"))

    env = {"PYTHONIOENCODING": "latin-1"}
    done = rollout("list", "--json", env=env)
    text = rollout("list", env=env)

    assert done.json["sessions"][0]["preview"] == "caf\xe9 🎉"
    assert done.out.isascii()
    assert "caf\udce9 \\U0001f389" in text.out


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=5), st.integers(1, 300))
def test_a_table_is_never_wider_than_the_screen_unless_what_is_left_needs_it(rows: list[Any], columns: int) -> None:
    cells = [(one_line(a), one_line(b)[:5]) for a, b in rows]
    with pytest.MonkeyPatch.context() as patch:
        shown: list[str] = []
        patch.setattr("rollout.cli._output.is_terminal", lambda: True)
        patch.setattr("rollout.cli._output.paged", shown.extend)
        patch.setenv("COLUMNS", str(columns))
        patch.setenv("NO_COLOR", "1")

        table((("text", "wide"), ("more", "right")), cells, spare=("more",))

    assert len(shown) == (len(rows) + 1 if any(any(row) for row in cells) else 0)
    assert [line for line in shown if display_width(line[:-1]) > max(columns, 10)] == []


def test_ages_sizes_and_counts_are_short() -> None:
    now = datetime.now(timezone.utc)
    ages = [age(now - timedelta(seconds=seconds)) for seconds in (-5, 59, 60, 3600, 13 * 86_400, 20 * 86_400)]

    assert age(None) == ""
    assert ages == ["now", "now", "1m", "1h", "13d", "2w"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", age(now - timedelta(days=400)))
    assert [size_text(size) for size in (0, 999, 1000, 25_000, 10**7, 10**13)] == [
        *("0 B", "999 B", "1.0 kB", "25 kB", "10 MB", "10.0 TB")
    ]
    assert [count_text(count) for count in (0, 999, 1500, 25_000, 10**7, 10**13)] == [
        *("0", "999", "1.5k", "25k", "10M", "10.0T")
    ]


def test_widths_are_those_of_a_terminal() -> None:
    assert [display_width(text) for text in ("abc", "日本", "e\u0301", "\u200d", "é")] == [3, 4, 1, 0, 1]


def test_booleans_and_lists_are_fields_too(home: Path, run: Run) -> None:
    from rollout.cli._output import cell

    assert [cell(value) for value in (None, True, False, 3, ["a\x1b"])] == ["", "yes", "no", "3", '["a\\u001b"]']


def test_long_work_shows_how_far_it_is_on_stderr_and_data_stands_above(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_live, "_PATIENCE", 0)
    monkeypatch.setattr(_live, "_TICK", 0)
    for number in range(3):
        put(home, b"garbage\n", timestamp=f"2026-11-21T01-25-3{number}")

    done = run("verify", "--all", screen=True)

    assert "reading sessions" in done.err
    assert "%" in done.err
    assert "reading" not in done.out
    assert len(done.out.splitlines()) == 6


def test_work_that_is_short_shows_nothing(run: Run, home: Path) -> None:
    put(home, seed_session("one"))

    began = time.monotonic()
    done = run("verify", "--all", screen=True)

    assert time.monotonic() - began < 0.5
    assert done.err == ""


def test_no_more_is_shown_than_a_person_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(_live, "_PATIENCE", 0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with _live.progress("x") as show:
        for number in range(1000):
            show(number, 1000)
            shown.append(_live._Bar.shown)
        _live.hide_bar()

    assert _live._Bar.shown is None
    assert shown[0] is not None
