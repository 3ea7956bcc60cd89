from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

pytest.importorskip("matplotlib", reason="plots need matplotlib")

from rollout import load_history
from rollout._text import short_duration_text
from rollout.codec import encode_item
from rollout.document import Call, Document, Item, Turn
from rollout.plots import activity_figure, activity_of, durations_figure, figure_svg, session_figure, tools_figure
from rollout.plots._style import label_text
from rollout.schema import SessionMeta
from rollout.search import update_index
from rollout.stats import SessionStats, ToolStats
from tests.hostile import CONTROLS, SESSIONS, html
from tests.rollouts import ID, Line, event, put, seed_session, token_count

ELEMENTS = {"svg", "g", "path", "text", "defs", "clipPath", "rect", "use"}
ATTRIBUTES = {
    "aria-label", "clip-path", "d", "fill", "fill-opacity", "font-family", "font-size", "font-weight", "height", "href",
    "id", "role", "stroke", "stroke-linecap", "stroke-linejoin", "stroke-opacity", "stroke-width", "text-anchor",
    "transform", "viewBox", "width", "x", "y",
}  # fmt: skip
DAY = date(2026, 11, 21)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def at(seconds: float) -> str:
    moment = datetime(2026, 11, 21, tzinfo=timezone.utc) + timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def document(*, turns: int = 1, calls: int = 0, points: int = 0, span: float = 60, tool: str = "shell") -> Document:
    meta = SessionMeta(id=ID, timestamp=at(0), cwd="/work", originator="codex", cli_version="1")
    made = [Turn(number + 1, started_at=at(span * number / turns)) for number in range(turns)]
    for number in range(calls):
        call = Call(tool.format(number), is_failed=not number, duration=float(number + 1), output="")
        made[number % turns].items.append(Item(str(number), "call", call=call))
    growth = [(at(span * (number + 1) / points), 1000 * (number + 1)) for number in range(points)]
    return Document(ID, Path("/r.jsonl"), meta, made, token_growth=growth)


def checked(figure: Any) -> list[str]:
    """
    Check that the figure has only shapes and text. Return its text.
    """
    text = figure_svg(figure)
    root = ElementTree.fromstring(text)  # noqa: S314 -- our own
    elements = [*root.iter()]
    assert {element.tag.rpartition("}")[2] for element in elements} <= ELEMENTS
    assert {name for element in elements for name in element.attrib} <= ATTRIBUTES
    ids = {element.attrib["id"] for element in elements if "id" in element.attrib}
    for element in elements:
        assert element.get("href", "#")[1:] in {"", *ids}
        assert element.get("clip-path", "url(#)")[5:-1] in {"", *ids}
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "") or "http" in "".join(root.itertext())
    assert (root.get("role"), bool(root.get("aria-label"))) == ("img", True)
    return [element.text or "" for element in elements if element.tag.endswith("text")]


FIGURES: dict[str, Callable[[bool], Any]] = {
    "session": lambda dark: session_figure(document(turns=3, calls=20, points=30, tool="tool {}"), dark=dark),
    "session of one point": lambda dark: session_figure(document(calls=1, points=1, span=0), dark=dark),
    "session of nothing": lambda dark: session_figure(document(), dark=dark),
    "session of 10,000 points": lambda dark: session_figure(
        document(turns=100, calls=1000, points=10_000, span=90_000), dark=dark
    ),
    "tools": lambda dark: tools_figure(
        SessionStats(tools={f"tool {n}": ToolStats(n + 1, n // 2, n * 10.0) for n in range(40)}), dark=dark
    ),
    "one tool": lambda dark: tools_figure(SessionStats(tools={"shell": ToolStats(1)}), dark=dark),
    "no tools": lambda dark: tools_figure(SessionStats(), dark=dark),
    "activity": lambda dark: activity_figure({DAY - timedelta(n): (n % 7, n * 1000) for n in range(60)}, dark=dark),
    "activity of a day": lambda dark: activity_figure({DAY: (1, 0)}, dark=dark),
    "activity of no day": lambda dark: activity_figure({}, dark=dark),
    "durations": lambda dark: durations_figure([1.5**n for n in range(40)], dark=dark),
    "durations of one": lambda dark: durations_figure([12.0], dark=dark),
    "durations of none": lambda dark: durations_figure([0.0, -1.0], dark=dark),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_consists_of_shapes_and_text(name: str) -> None:
    light, dark = checked(FIGURES[name](False)), checked(FIGURES[name](True))

    assert light
    assert light == dark


@pytest.mark.parametrize("name", ["session", "tools", "activity", "durations"])
def test_the_same_figure_has_the_same_svg_even_after_it_was_saved(name: str, tmp_path: Path) -> None:
    figure, again = FIGURES[name](False), FIGURES[name](False)

    figure.savefig(tmp_path / "figure.png", dpi=130)

    assert figure_svg(figure) == figure_svg(figure) == figure_svg(again)
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"


def test_a_figure_of_ten_thousand_points_is_small() -> None:
    assert len(figure_svg(FIGURES["session of 10,000 points"](False))) < 120_000


def test_a_session_figure_shows_tokens_and_the_time_of_tools() -> None:
    said = checked(session_figure(document(turns=2, calls=10, points=30, span=1500, tool="tool {}")))

    assert {"Tokens used", "30k", "25 min", "Time in tools", "tool 9", "10 s  ·  1 call", "3 others"} <= set(said)


def test_an_unmeasured_duration_lasts_until_the_output() -> None:
    one = document(turns=2)
    one.turns[0].items = [Item("1", "call", call=Call("a", elapsed=30.0)), Item("2", "call", call=Call("b"))]
    one.turns[1].items = [Item("3", "call", call=Call("c", duration=99.0))]
    one.turns[1].is_inherited = True

    said = checked(session_figure(one))

    assert "30 s  ·  1 call" in said and "0 s  ·  1 call" in said and "c" not in said


def test_a_tools_figure_shows_calls_failures_and_time() -> None:
    tools = {"shell": ToolStats(1200, 3, 300.0), "web_search": ToolStats(2)}

    figure = tools_figure(SessionStats(tools=tools))

    assert {"shell", "1,200  ·  3 failed", "5 min", "web_search", "2"} <= set(checked(figure))
    assert figure.get_label() == "Tools: 1,202 calls, 3 of them failed"


@pytest.mark.parametrize(("count", "unit"), [(60, "day"), (365, "week"), (3000, "month")])
def test_long_periods_are_counted_by_week_and_by_month(count: int, unit: str) -> None:
    figure = activity_figure({DAY - timedelta(number): (1, 1000) for number in range(count)})

    assert {f"Sessions by {unit}", f"Tokens by {unit}"} <= set(checked(figure))
    assert figure.get_label().startswith(f"Activity by {unit}: {count:,} sessions")


def test_the_labels_of_days_contain_the_month() -> None:
    assert "21 Nov" in checked(activity_figure({DAY: (1, 5)}))


def test_durations_show_their_median() -> None:
    assert {"median 1 min", "1 s", "10 min"} <= set(checked(durations_figure([1.0, 60.0, 900.0])))


def at_noon(day: str, lines: list[Line]) -> bytes:
    time_ms = int(datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()) * 1000
    return b"".join(encode_item(*line, time_ms=time_ms) for line in lines)


def test_activity_is_counted_by_the_day_a_session_began_and_the_day_its_tokens_were_used(home: Path) -> None:
    usage = {"input_tokens": 90, "output_tokens": 10, "total_tokens": 100}
    more = event("token_count", info={"total_token_usage": {**usage, "total_tokens": 130}, "last_token_usage": usage})
    for number, day in enumerate(["2026-11-20", "2026-11-21", "2026-11-21", "2026-11-22"]):
        own = f"{ID[:-1]}{number}"
        raw = at_noon(day, [*seed_session("x", session_id=own), token_count(usage)])
        raw += at_noon("2026-11-23", [more]) if day == "2026-11-22" else b""
        put(home, raw, session_id=own, timestamp=f"{day}T01-00-00")
    put(home, seed_session("x"), timestamp="2026-11-31T01-00-00", folder=home / "archived_sessions")
    read = activity_of()

    update_index()

    days = {date(2026, 11, 20): (1, 100), DAY: (2, 200), date(2026, 11, 22): (1, 100), date(2026, 11, 23): (0, 30)}
    assert read == activity_of() == days
    assert activity_of(home, since=DAY, until=DAY) == {DAY: (2, 200)}
    assert activity_of(home, since=date(2026, 11, 23)) == {date(2026, 11, 23): (0, 30)}


def test_activity_of_an_empty_home_is_empty(home: Path) -> None:
    assert activity_of() == {}


def test_the_name_of_a_tool_is_text_and_short() -> None:
    texts = [*html(), CONTROLS, "$x^2$ $\\frac{1}{0}$ $", "\u4e2d" * 40, "x" * 10_000_000, "\uffff\ufffe"]
    parts = [SessionStats(tools=dict.fromkeys(texts[n : n + 13], ToolStats(2))) for n in range(0, len(texts), 13)]

    said = {text for part in parts for text in checked(tools_figure(part))}

    assert {label_text(text) for text in texts} <= said
    assert max(len(label_text(text)) for text in texts) == 26
    assert not set("".join(said)) & {"\x00", "\x1b", "\u202e", "\ud800", "\uffff", "\u4e2d"}


@pytest.mark.parametrize("name", ["every field", "times and ids", "odd types", "pathological"])
def test_hostile_sessions_are_drawn(home: Path, name: str) -> None:
    made = load_history(put(home, SESSIONS[name]("http://127.0.0.1:9"))).document()

    checked(session_figure(made))
    checked(tools_figure(made.stats))


def test_threads_can_draw_at_the_same_time() -> None:
    make = FIGURES["durations"]
    expected, drawn = figure_svg(make(False)), list[str]()
    threads = [threading.Thread(target=lambda: drawn.append(figure_svg(make(False)))) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert drawn == [expected] * 4


def test_drawing_does_not_change_the_settings_of_matplotlib() -> None:
    import matplotlib

    before = {**matplotlib.rcParams}

    figure_svg(FIGURES["activity"](False))

    assert {**matplotlib.rcParams} == before


def test_any_figure_can_be_embedded_in_a_page() -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    figure.add_subplot().set_title("theirs")

    assert "aria-label" not in figure_svg(figure) and ">theirs<" in figure_svg(figure)


def test_a_notebook_shows_a_figure_with_its_own_background() -> None:
    shown = FIGURES["one tool"](True)._repr_svg_()

    assert "#16191d" in shown and "#16191d" not in figure_svg(FIGURES["one tool"](True))
    assert 'font-family="sans-serif"' in shown and 'width="' in shown


def test_text_in_a_page_has_the_font_of_the_page() -> None:
    from rollout.plots._svg import _attributes

    assert _attributes("font", "bold 8.5px 'DejaVu Sans', sans-serif") == {"font-size": "8.5px", "font-weight": "bold"}
    assert _attributes("font", "8px sans-serif") == {"font-size": "8px"}


def test_numbers_are_written_in_few_digits() -> None:
    assert [short_duration_text(value) for value in (0.42, 12, 119, 200, 9000, 3 * 86400)] == [
        "0.42 s", "12 s", "2 min", "3.3 min", "2.5 h", "3 d",
    ]  # fmt: skip


def test_figures_need_neither_pyplot_nor_a_screen() -> None:
    script = (
        "import sys; from rollout.plots import *; figure_svg(activity_figure({}));"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    own = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "MPLBACKEND")}

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True, env=own
    )

    assert done.stdout.strip() == "False"


def test_without_matplotlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("rollout.plots")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # type: ignore[arg-type]

    with pytest.raises(ModuleNotFoundError, match=r"pip install 'rollout-recorder\[plot\]'"):
        importlib.import_module("rollout.plots")
