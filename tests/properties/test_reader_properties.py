from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout import Recorder, list_sessions, load_history, read_lines
from rollout.reading import _blocks as blocks_module
from tests import rollouts
from tests.rollouts import encode, put


def hostile_lines() -> st.SearchStrategy[rollouts.Line]:
    """
    Lines with known keys and arbitrary values.
    """
    odd = st.sampled_from([None, 1, [], {}, "", "message", "user", [{}], [1], {"type": "UserMessage", "content": 1}])
    tags = st.sampled_from(
        [
            "message",
            "function_call",
            "function_call_output",
            "thread_rolled_back",
            "user_message",
            "item_completed",
            "thread_goal_updated",
            "task_started",
            "task_complete",
            [],
            None,
            {},
        ]
    )
    keys = ["role", "content", "call_id", "num_turns", "item", "goal", "message", "turn_id", "replacement_history"]
    payloads = st.fixed_dictionaries({"type": tags}, optional=dict.fromkeys(keys, odd))
    return st.tuples(st.sampled_from(["response_item", "event_msg", "compacted", "turn_context", "novel"]), payloads)


SESSION = rollouts.seed_session("one é 🎉", "two\u2028")
DATA = encode(SESSION)
ENDS = [i for i, byte in enumerate(DATA) if byte == 0x0A]


@pytest.mark.promise("read")
def test_a_rollout_truncated_at_any_byte_yields_exactly_the_complete_lines_before_it(tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl"

    for cut in range(len(DATA) + 1):
        path.write_bytes(DATA[:cut])
        reader = read_lines(path)
        lines = [line.raw for line in reader]

        # A line is whole when its last brace is there, with or without the newline.
        whole = sum(end <= cut for end in ENDS)
        assert lines == DATA.split(b"\n")[:whole]
        assert len(reader.skipped) == (cut not in (0, len(DATA)) and cut not in ENDS and cut - 1 not in ENDS)


@pytest.mark.promise("resume")
@pytest.mark.parametrize("cut", [*range(ENDS[0], len(DATA) + 1, 37), *ENDS, *(end + 1 for end in ENDS)])
def test_after_a_resume_every_complete_line_before_the_cut_and_every_new_line_is_read(home: Path, cut: int) -> None:
    path = put(home, DATA[:cut])

    with Recorder.resume(path) as recorder:
        recorder.user_message("after")

    history = load_history(path)
    whole = sum(end <= cut for end in ENDS)
    assert [line.raw for line in history.lines[:-2]] == DATA.split(b"\n")[:whole]
    assert history.turns[-1].prompt == "after"
    assert path.read_bytes().startswith(DATA[:cut])
    assert len(history.skipped) == (cut != len(DATA) and cut not in ENDS and cut - 1 not in ENDS)


@settings(deadline=None)
@given(data=st.binary(max_size=300) | st.lists(st.sampled_from([b"\n", b"\r", b"\x00", b"{", b"}", b"[", b'"', b"\xff",
       encode(SESSION[:1]), encode(SESSION[1:2])]), max_size=40).map(b"".join))  # fmt: skip
def test_every_line_of_any_file_is_read_or_counted(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "any.jsonl"
    path.write_bytes(data)
    reader = read_lines(path)

    lines = list(reader)

    meaningful = [raw for raw in data.split(b"\n") if raw.strip(b" \t\r\x0b\x0c")]
    assert len(lines) + len(reader.skipped) == len(meaningful)
    for skipped in reader.skipped:
        assert data[skipped.offset : skipped.offset + skipped.size] == data.split(b"\n")[skipped.lineno - 1]
    for line in lines:
        assert "reason" not in repr(line.item) or line.item is not None


@settings(deadline=None)
@given(payloads=st.lists(hostile_lines(), max_size=8))
def test_a_history_of_any_lines_has_turns_and_input(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[rollouts.Line]
) -> None:
    home = tmp_path_factory.mktemp("home")
    path = put(home, [rollouts.meta(), *payloads])

    history = load_history(path)

    assert len(history.lines) == len(payloads) + 1
    assert sum(len(turn.lines) for turn in history.turns) <= len(history.lines)
    assert all("type" in item for item in history.to_input())
    assert len(history.items) == len(history.lines)
    assert list_sessions(home=home).items[0].problem is None


@settings(deadline=None)
@given(data=st.binary(max_size=200) | st.text("a\n", max_size=200).map(str.encode), block_size=st.integers(1, 50))
def test_lines_backwards_are_lines_forwards_reversed(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, block_size: int
) -> None:
    path = tmp_path_factory.mktemp("any") / "any.jsonl"
    path.write_bytes(data)
    before = blocks_module._BLOCK_SIZE
    blocks_module._BLOCK_SIZE = block_size
    try:
        with path.open("rb") as file:
            assert list(blocks_module.lines_backwards(file)) == [
                line for line in data.split(b"\n")[::-1] if line.strip()
            ]
    finally:
        blocks_module._BLOCK_SIZE = before
