from __future__ import annotations

import json
import sys
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout._text import escape_control_chars, one_line
from rollout.cli import _progress
from rollout.cli._output import _Column, cell_text, display_width, encode, print_table
from tests.cli.conftest import Run
from tests.rollouts import put, seed_session

# Any text, also with single surrogates.
TEXTS = st.text(
    st.characters(exclude_categories=[]) | st.sampled_from("\x1b\x9b\x07\x00\r\n\t\u202e\u2066\u200b\U000e0041")
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=20,
)
BIDI = {"RLO", "LRO", "RLE", "LRE", "PDF", "LRI", "RLI", "FSI", "PDI"}


def affects_terminal(character: str) -> bool:
    if unicodedata.category(character) in ("Cs", "Zl", "Zp") or unicodedata.bidirectional(character) in BIDI:
        return True
    return unicodedata.category(character) == "Cc" and character not in "\n\t"


@given(TEXTS)
def test_escaped_text_does_not_affect_a_terminal(text: str) -> None:
    assert [character for character in escape_control_chars(text) if affects_terminal(character)] == []
    assert "\n" not in one_line(text)
    escape_control_chars(text).encode()


@given(TEXTS)
def test_harmless_characters_are_not_escaped(text: str) -> None:
    harmless = "".join(c for c in text if not affects_terminal(c) and unicodedata.category(c) not in ("Cf", "Cn"))

    assert escape_control_chars(harmless) == harmless


@given(VALUES)
def test_json_is_equal_and_does_not_affect_a_terminal(value: Any) -> None:
    text = encode(value)

    assert [character for character in text if affects_terminal(character) or character == "\n"] == []
    # ujson writes at most 17 digits of a float, and no surrogate pairs.
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
def test_control_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert escape_control_chars(text) == shown


def test_json_is_ascii_if_stdout_is_not_unicode(home: Path, rollout: Run) -> None:
    put(home, seed_session("caf\xe9 🎉"))

    env = {"PYTHONIOENCODING": "latin-1"}
    done = rollout("list", "--json", env=env)
    text = rollout("list", env=env)

    assert done.json["sessions"][0]["preview"] == "caf\xe9 🎉"
    assert done.out.isascii()
    assert "caf\udce9 \\U0001f389" in text.out


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=5), st.integers(1, 300))
def test_a_table_fits_the_terminal_or_has_only_its_required_columns(rows: list[Any], columns: int) -> None:
    cells = [(one_line(a), one_line(b)[:5]) for a, b in rows]
    with pytest.MonkeyPatch.context() as patch:
        shown: list[str] = []
        patch.setattr("rollout.cli._output.is_terminal", lambda: True)
        patch.setattr("rollout.cli._output.print_paged", shown.extend)
        patch.setenv("COLUMNS", str(columns))
        patch.setenv("NO_COLOR", "1")

        print_table((("text", "wide"), ("more", "right")), cells, optional=("more",))

    assert len(shown) == (len(rows) + 1 if any(any(row) for row in cells) else 0)
    assert [line for line in shown if display_width(line[:-1]) > max(columns, 10)] == []


def test_display_width_counts_terminal_columns() -> None:
    assert [display_width(text) for text in ("abc", "日本", "e\u0301", "\u200d", "é")] == [3, 4, 1, 0, 1]
    # A sequence with joiners, an emoji with a variation selector, a flag, a syllable of three letters.
    assert [display_width(text) for text in ("👩\u200d💻", "❤\ufe0f", "🇩🇪", "\u1112\u1161\u11ab")] == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("abcdefgh", "abcd…"), ("日本語です", "日本…"), ("e\u0301e\u0301aaaaa", "e\u0301e\u0301aa…"), ("日本", "日本")],
)
def test_a_text_that_is_too_wide_is_truncated_between_its_characters(text: str, shown: str) -> None:
    assert list(_Column("", "wide", [text]).cells(5)) == [shown]


def test_booleans_and_lists_can_be_fields() -> None:
    assert [cell_text(value) for value in (None, True, False, 3, ["a\x1b"])] == ["", "yes", "no", "3", '["a\\u001b"]']


def test_long_work_shows_a_progress_bar_on_stderr_below_the_data(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_progress, "_DELAY", 0)
    monkeypatch.setattr(_progress, "_INTERVAL", 0)
    for number in range(3):
        put(home, b"garbage\n", timestamp=f"2026-11-21T01-25-3{number}")

    done = run("verify", "--all", screen=True)

    assert "reading sessions" in done.err
    assert "%" in done.err
    assert "reading" not in done.out
    assert len(done.out.splitlines()) == 6


def test_short_work_shows_no_progress_bar(run: Run, home: Path) -> None:
    put(home, seed_session("one"))

    began = time.monotonic()
    done = run("verify", "--all", screen=True)

    assert time.monotonic() - began < 0.5
    assert done.err == ""


def test_the_progress_bar_is_updated_at_most_ten_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(_progress, "_DELAY", 0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with _progress.progress("x") as show:
        for number in range(1000):
            show(number, 1000)
            shown.append(_progress._Bar.visible)
        _progress.hide_bar()

    assert _progress._Bar.visible is None
    assert shown[0] is not None
