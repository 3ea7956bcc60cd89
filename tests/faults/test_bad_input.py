"""
A program records what has no JSON form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rollout import EncodeError, Recorder, load_history, read_lines
from rollout import _intake as intake_room
from tests.faults.programs import Program, in_order


def message(text: Any) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def cycle() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


class Dumping:
    def model_dump(self, **options: Any) -> dict[str, Any]:
        raise RuntimeError("half made")


# The value, and what the error says of it behind the path.
BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "cycle": (cycle, "nested over 126 levels, which Codex cannot read; a cycle?"),
    "depth 10,000": (lambda: deep(10_000), "nested over 126 levels"),
    "set": (lambda: {1}, "set has no JSON form"),
    "bytes": (lambda: b"x", "bytes has no JSON form"),
    "NaN": (lambda: float("nan"), "nan has no JSON form"),
    "infinity": (lambda: float("inf"), "inf has no JSON form"),
    "minus infinity": (lambda: -float("inf"), "-inf has no JSON form"),
    "key": (lambda: {1: "x"}, "a key must be a string, not int"),
    "huge int": (lambda: 10**10_000, "an int of 33220 bits is too long"),
    "generator": (lambda: (n for n in "abc"), "generator has no JSON form"),
    "model_dump that raises": (Dumping, "Dumping.model_dump raised RuntimeError"),
    "class": (lambda: Dumping, "type has no JSON form"),
    "function": (lambda: message, "function has no JSON form"),
}


@pytest.mark.promise("record")
@pytest.mark.parametrize("kind", BAD)
def test_the_error_names_the_path_to_the_value_and_the_items_beside_it_are_recorded(
    recorder: Recorder, kind: str
) -> None:
    make, reason = BAD[kind]

    with pytest.raises(EncodeError) as caught:
        recorder.record(message("before"), message(make()), message("after"))
    recorder.record(message("later"))
    recorder.close()

    assert in_order(recorder.path) == ["before", "after", "later"]
    assert caught.value.path.startswith("content[0].text")
    assert reason in caught.value.reason
    assert str(caught.value).startswith("content[0].text")


@pytest.mark.promise("record", naive="fails")
def test_a_bad_item_among_many_costs_none_of_the_others(program: Program) -> None:
    path = program.run("""
rec = rollout.Recorder()
refused = 0
for n in range(100):
    try:
        rec.record(message(n % 10 and str(n) or {1, 2}), message(f"beside {n}"))
    except rollout.EncodeError:
        refused += 1
rec.flush()
rec.close()
assert refused == 10, refused
print(rec.path)
""")

    assert len(in_order(path)) == 190


@pytest.mark.promise("record", naive="fails")
def test_what_is_changed_after_record_stays_as_it_was(program: Program) -> None:
    path = program.run("""
rec = rollout.Recorder()
item = message("")
part = item["content"][0]
for n in range(2000):
    part["text"] = str(n)
    item["content"][1:] = [{"text": "x"}] * (n % 3)
    rec.record(item)
item["content"].clear()
rec.close()
print(rec.path)
""")

    assert in_order(path) == [str(n) for n in range(2000)]


@pytest.mark.promise("record", naive="fails")
def test_lone_surrogates_are_written_as_the_replacement_character(program: Program) -> None:
    path = program.run("""
rec = rollout.Recorder()
rec.record(message("a\\ud800b"), message("\\udfff\\ud800"), message("\\ud83d\\ude00"), message("plain"))
rec.flush()
rec.close()
print(rec.path)
""")

    assert in_order(path) == ["a\ufffdb", "\ufffd\ufffd", "\U0001f600", "plain"]


@pytest.mark.slow
@pytest.mark.promise("record")
def test_a_string_of_256_mb_is_recorded_and_read_back(home: Any) -> None:
    text = "0123456789abcdef" * (16 * 2**20)
    with Recorder(home=home) as recorder:
        recorder.record(message(text), message("beside"))

    with read_lines(recorder.path) as lines:
        sizes = [len(line.payload["content"][0]["text"]) for line in lines if line.type == "response_item"]
    assert sizes == [256 * 2**20, 6]
    assert lines.skipped == []


@pytest.mark.promise("record")
def test_what_nobody_could_read_back_for_its_length_is_refused(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_room, "MAX_LINE_SIZE", 50_000)

    with pytest.raises(EncodeError, match="60151 bytes as a line, of which 50000 are read"):
        recorder.record(message("\x01" * 10_000), message("x" * 10_000))
    recorder.close()

    assert [len(text) for text in in_order(recorder.path)] == [10_000]
    assert load_history(recorder.path).skipped == ()
