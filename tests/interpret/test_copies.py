from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rollout.codec import RolloutLine, format_timestamp
from rollout.interpret import Interpreter, KnownParent, Usage, line_digest, parent_of
from rollout.interpret._copies import CopyDetector
from rollout.reading import parent_source
from tests.rollouts import Line, event, message, meta, prompt, put, seed_session

PARENT = "00b1fbb5-7abd-7c53-8766-f128212a613b"
FORKED_MS = 1_795_224_337_094
TURN_AFTER = "01a1fbb5-7ad4-76d0-a532-df9d735e9862"
TURN_BEFORE = "01a1fb00-7ad4-76d0-a532-df9d735e9862"
STARTS = ("task_started", "turn_started")


def line(line: Line, at_ms: int | None = None, ordinal: int | None = None) -> RolloutLine:
    timestamp = None if at_ms is None else format_timestamp(FORKED_MS + at_ms)
    return RolloutLine(timestamp=timestamp, type=line[0], payload=line[1], ordinal=ordinal)


def copied(*lines: RolloutLine, detector: CopyDetector | None = None) -> list[bool]:
    """
    Return for each line whether it was copied from another session.
    """
    detector = detector or CopyDetector()
    return [detector.is_open and detector.is_copied(each) for each in lines]


def copied_at(fork_ms: int, *times_ms: int) -> list[bool]:
    """
    Return for each message of a fork whether it was copied. The times are those of the fork's meta and the messages.
    """
    fork = line(meta(forked_from_id=PARENT), fork_ms)
    is_copied = copied(fork, *(line(message("user", "a"), time_ms) for time_ms in times_ms))
    return is_copied[1:]


class Source:
    """
    Source of the lines of another session in a file, with the ids for which it was asked.
    """

    def __init__(self, home: Path, lines: list[Line]) -> None:
        self.asked: list[str] = []
        self.files = parent_source(home)
        put(home, lines, session_id=PARENT)

    def __call__(self, session_id: str) -> KnownParent | None:
        self.asked.append(session_id)
        return self.files(session_id)


class TestForks:
    def test_that_are_none_have_no_copies(self) -> None:
        assert copied(*(line(one) for one in seed_session("a"))) == [False] * 6
        assert copied(line(meta()), line(message("user", "a")), line(meta(PARENT))) == [False, False, False]

    def test_with_copies_that_keep_their_time_continue_at_the_first_younger_line(self) -> None:
        assert copied_at(0, -9000, -1, 0, 1, 2) == [True, True, True, False, False]

    def test_with_copies_written_without_a_pause_continue_at_the_first_pause(self) -> None:
        assert copied_at(9000, 9001, 9400, 9800, 10400, 10401) == [True, True, True, False, False]

    def test_by_reference_have_no_copies(self) -> None:
        fork = line(meta(forked_from_id=PARENT, history_base={"thread_id": PARENT}), 0)
        detector = CopyDetector()

        assert copied(fork, line(message("user", "a"), -9000), detector=detector) == [False, False]
        assert detector.is_fork

    def test_of_2025_are_marked_by_the_meta_of_the_other_session(self) -> None:
        lines = [
            line(meta(), 0),
            line(meta(PARENT), 1),
            line(message("user", "a"), 2),
            line(message("user", "b"), 2000),
        ]
        detector = CopyDetector()

        assert copied(*lines, detector=detector) == [False, True, True, False]
        assert (detector.is_fork, detector.parent_id) == (True, PARENT)

    def test_have_metas_of_forks_of_forks_among_their_copies(self) -> None:
        fork, grandparent = line(meta(forked_from_id=PARENT), 0), line(meta("the first"), 1)
        detector = CopyDetector()

        assert copied(fork, line(meta(PARENT), 1), grandparent, line(message("user", "a"), 2), detector=detector) == [
            False,
            True,
            True,
            True,
        ]
        assert detector.parent_id == PARENT

    def test_whose_own_meta_is_repeated_continue(self) -> None:
        assert copied(line(meta(), 0), line(meta(), 1), line(message("user", "a"), 2)) == [False, False, False]

    @pytest.mark.parametrize("timestamp", [None, 1, "", "yesterday", "2026-13-01T00:00:00.000Z", "\ud800" * 30])
    def test_have_the_lines_without_a_time_after_a_copy_as_copies(self, timestamp: Any) -> None:
        fork = line(meta(forked_from_id=PARENT, timestamp=timestamp), 0)
        odd = RolloutLine(timestamp=timestamp, type="response_item", payload={})

        assert copied(fork, odd, line(message("user", "a"), 1), line(message("user", "b"), 900)) == [
            False,
            True,
            True,
            False,
        ]

    def test_without_a_time_were_made_when_their_meta_was_written(self) -> None:
        fork = line(meta(forked_from_id=PARENT, timestamp=None), 0)

        assert copied(fork, line(message("user", "a"), -1), line(message("user", "b"), 1)) == [False, True, False]


class TestTurns:
    @pytest.mark.parametrize("kind", [*STARTS, "item_completed"])
    def test_that_began_after_the_fork_end_copies_without_a_pause(self, kind: str) -> None:
        fork = line(meta(forked_from_id=PARENT), 9)
        old, own = (line(event(kind, turn_id=turn_id), 10) for turn_id in (TURN_BEFORE, TURN_AFTER))

        assert copied(fork, old, own, old) == [False, True, False, False]

    def test_whose_context_has_their_id_end_copies_without_a_pause(self) -> None:
        fork = line(meta(forked_from_id=PARENT), 9)
        old, own = (line(("turn_context", {"turn_id": turn_id}), 10) for turn_id in (TURN_BEFORE, TURN_AFTER))

        assert copied(fork, old, own) == [False, True, False]

    @pytest.mark.parametrize("turn_id", [None, 7, [], "x", "4f0be0a1-50f5-480d-a99d-c68eada68a51"])
    def test_with_an_id_without_a_time_end_no_copies(self, turn_id: Any) -> None:
        fork = line(meta(forked_from_id=PARENT), 9)

        assert copied(fork, line(event("task_started", turn_id=turn_id), 10)) == [False, True]

    @pytest.mark.parametrize("kind", STARTS)
    def test_that_started_after_the_fork_end_copies_without_a_pause(self, kind: str) -> None:
        second = FORKED_MS // 1000
        fork = line(meta(forked_from_id=PARENT), 9)
        old = line(event(kind, turn_id="1", started_at=second - 1), 10)
        own = line(event(kind, turn_id="2", started_at=second), 10)

        assert copied(fork, old, own) == [False, True, False]

    @pytest.mark.parametrize("started_at", [None, 0, -1, "1795224337", 1.0, True])
    def test_with_an_impossible_start_end_no_copies(self, started_at: Any) -> None:
        fork = line(meta(forked_from_id=PARENT), 9)

        assert copied(fork, line(event("task_started", started_at=started_at), 10)) == [False, True]

    def test_end_no_copies_by_the_start_in_another_event(self) -> None:
        fork = line(meta(forked_from_id=PARENT), 9)

        assert copied(fork, line(event("task_complete", started_at=2**33), 10)) == [False, True]

    def test_end_no_copies_if_the_time_of_the_fork_is_unknown(self) -> None:
        fork = line(meta(forked_from_id=PARENT, timestamp=None))

        assert copied(fork, line(event("task_started", turn_id=TURN_AFTER))) == [False, True]

    def test_of_copies_end_at_the_next_turn_or_at_a_long_pause(self) -> None:
        fork, old = line(meta(forked_from_id=PARENT), 9), line(event("task_started", turn_id=TURN_BEFORE), 10)
        times = (10, 9000, 18_000, 28_100, 28_100)

        assert copied(fork, old, *(line(message("user", "a"), time_ms) for time_ms in times)) == [
            False,
            True,
            True,
            True,
            True,
            False,
            False,
        ]


class TestRecordsOfTokens:
    def test_of_another_thread_are_copies_and_those_of_the_own_thread_end_them(self) -> None:
        fork = line(meta(forked_from_id=PARENT), 9)
        other, own = (line(("token_usage_record", {"thread_id": name}), 10) for name in (PARENT, meta()[1]["id"]))

        assert copied(fork, other, own, other) == [False, True, False, False]

    @pytest.mark.parametrize("thread", [None, 7, []])
    def test_without_a_thread_decide_nothing(self, thread: Any) -> None:
        fork = line(meta(forked_from_id=PARENT), 9)

        assert copied(fork, line(("token_usage_record", {"thread_id": thread}), 10)) == [False, True]

    def test_of_another_thread_never_count(self) -> None:
        usage = {"input_tokens": 1, "output_tokens": 1}
        records = [("token_usage_record", {"usage": usage, "thread_id": name}) for name in (PARENT, meta()[1]["id"], 7)]
        reader = Interpreter(has_texts=False)

        facts = [fact for own in [meta(), *records] for fact in reader.feed(line(own))]

        assert [fact.number for fact in facts if isinstance(fact, Usage)] == [3, 4]


class TestSubAgents:
    def test_have_copies_up_to_the_ordinal_in_their_meta(self) -> None:
        subagent = line(meta(subagent_history_start_ordinal=3), 0, 0)
        lines = [line(message("user", "a"), 9000 * n, n) for n in range(1, 5)]

        assert copied(subagent, *lines) == [False, True, True, False, False]

    def test_with_an_ordinal_in_their_meta_but_none_in_their_lines_have_copies_without_a_pause(self) -> None:
        subagent = line(meta(subagent_history_start_ordinal=3), 0)

        assert copied(subagent, line(message("user", "a"), 1), line(message("user", "b"), 900)) == [False, True, False]

    @pytest.mark.parametrize(
        "fields",
        [
            {"parent_thread_id": PARENT},
            {"source": {"subagent": {"thread_spawn": {"parent_thread_id": PARENT}}}},
        ],
    )
    def test_that_name_only_their_parent_have_copies_only_if_they_are_older(self, fields: dict[str, Any]) -> None:
        subagent = line(meta(**fields), 0)
        old = line(message("user", "a"), -9000)

        assert copied(subagent, line(message("user", "a"), 1), old) == [False, False, False]
        assert copied(subagent, old, line(message("user", "b"), 0), line(message("user", "c"), 1)) == [
            False,
            True,
            True,
            False,
        ]

    def test_whose_first_line_is_of_an_earlier_turn_have_copies(self) -> None:
        subagent = line(meta(parent_thread_id=PARENT), 0)
        old, own = (line(event("task_started", turn_id=turn_id), 1) for turn_id in (TURN_BEFORE, TURN_AFTER))

        assert copied(subagent, old, line(message("user", "a"), 2), own) == [False, True, True, False]


class TestKnownParents:
    OWN = message("user", "own")

    def test_decide_which_lines_without_other_evidence_are_copies(self, home: Path) -> None:
        source = Source(home, [meta(PARENT), *prompt("a"), *prompt("b")])
        detector = CopyDetector(source=source)
        lines = [meta(PARENT), *prompt("a"), *prompt("b"), self.OWN, *prompt("b")]

        decided = copied(line(meta(forked_from_id=PARENT), 0), *(line(own, 1) for own in lines), detector=detector)

        assert decided == [False, *[True] * 5, *[False] * 3]
        assert source.asked == [PARENT]
        assert detector.parent_used == PARENT

    def test_decide_despite_a_pause_between_copies(self, home: Path) -> None:
        source = Source(home, [*prompt("a"), *prompt("b")])
        lines = [line(own, 60_000 * number) for number, own in enumerate([*prompt("a"), *prompt("b"), self.OWN], 1)]

        decided = copied(line(meta(forked_from_id=PARENT), 0), *lines, detector=CopyDetector(source=source))

        assert decided == [False, True, True, True, True, False]

    def test_decide_by_order_so_that_a_line_that_is_said_again_is_the_forks_own(self, home: Path) -> None:
        source = Source(home, [message("user", "a"), message("assistant", "b")])
        lines = [message("user", "a"), message("assistant", "b"), message("user", "a")]

        decided = copied(
            line(meta(forked_from_id=PARENT), 0), *(line(own, 1) for own in lines), detector=CopyDetector(source=source)
        )

        assert decided == [False, True, True, False]

    def test_that_contain_a_line_several_times_have_all_their_lines_recognized(self, home: Path) -> None:
        settings: Line = ("turn_context", {"model": "m"})
        whole = [meta(PARENT), settings, *prompt("a"), settings, *prompt("b"), settings, *prompt("a")]
        lines = [line(own, 1) for own in [*whole, self.OWN]]

        decided = copied(
            line(meta(forked_from_id=PARENT), 0), *lines, detector=CopyDetector(source=Source(home, whole))
        )

        assert decided == [False, *[True] * len(whole), False]

    def test_have_every_meta_among_the_copies(self, home: Path) -> None:
        lines = [message("user", "a"), meta("another"), message("user", "own")]
        detector = CopyDetector(source=Source(home, [message("user", "a")]))

        decided = copied(line(meta(forked_from_id=PARENT), 0), *(line(own, 1) for own in lines), detector=detector)

        assert decided == [False, True, True, False]

    @pytest.mark.parametrize(
        "lines",
        [
            [line(meta(), 0), line(message("user", "a"), 1)],
            [line(meta(forked_from_id=PARENT), 0), line(message("user", "a"), -1), line(message("user", "a"), 1)],
            [line(meta(forked_from_id=PARENT), 9), line(event("task_started", turn_id=TURN_AFTER), 10)],
            [line(meta(subagent_history_start_ordinal=2), 0, 0), line(message("user", "a"), 1, 1)],
            [line(meta(parent_thread_id=PARENT), 0), line(message("user", "a"), 1)],
        ],
    )
    def test_are_not_asked_for_if_other_evidence_decides(self, home: Path, lines: list[RolloutLine]) -> None:
        source = Source(home, [message("user", "a")])
        detector = CopyDetector(source=source)

        copied(*lines, detector=detector)

        assert source.asked == []
        assert detector.parent_used == ""

    def test_that_are_not_available_leave_the_decision_to_the_pause(self) -> None:
        asked: list[str] = []
        detector = CopyDetector(source=asked.append)
        lines = [line(message("user", "a"), time_ms) for time_ms in (1, 2, 900)]

        assert copied(line(meta(forked_from_id=PARENT), 0), *lines, detector=detector) == [False, True, True, False]
        assert asked == [PARENT]

    def test_without_an_id_are_not_asked_for(self, home: Path) -> None:
        source = Source(home, [])
        lines = [line(meta(forked_from_id=7), 0), line(message("user", "a"), 1)]

        assert copied(*lines, detector=CopyDetector(source=source)) == [False, True]
        assert source.asked == []

    def test_recognize_lines_to_which_codex_added_keys(self, home: Path) -> None:
        source = Source(home, [message("user", "a"), event("agent_message", message="b"), message("assistant", "b")])
        changed = [
            ("response_item", {**message("user", "a")[1], "id": "msg_1"}),
            event("agent_message", message="b", phase=None),
            message("user", "own"),
        ]
        lines = (line(each, 1) for each in changed)

        decided = copied(line(meta(forked_from_id=PARENT), 0), *lines, detector=CopyDetector(source=source))

        assert decided == [False, True, True, False]

    def test_that_do_not_contain_the_first_line_say_nothing(self, home: Path) -> None:
        source = Source(home, [message("user", "other")])
        lines = [line(message("user", text), time_ms) for text, time_ms in (("a", 1), ("other", 2), ("own", 2000))]
        detector = CopyDetector(source=source)

        assert copied(line(meta(forked_from_id=PARENT), 0), *lines, detector=detector) == [False, True, True, False]
        assert source.asked == [PARENT]

    @pytest.mark.parametrize(("thread_id", "is_copy"), [(PARENT, True), (meta()[1]["id"], False)])
    def test_are_not_needed_for_settings_that_name_their_session(self, thread_id: str, is_copy: bool) -> None:
        asked: list[str] = []
        settings = line(event("thread_settings_applied", thread_id=thread_id), 1)

        decided = copied(line(meta(forked_from_id=PARENT), 0), settings, detector=CopyDetector(source=asked.append))

        assert (decided, asked) == ([False, is_copy], [])

    def test_are_asked_for_by_the_interpreter_with_the_source_that_it_was_given(self, home: Path) -> None:
        source = Source(home, [*prompt("a")])
        reader = Interpreter(parent_source=source)

        for own in [line(meta(forked_from_id=PARENT), 0), *(line(each, 1) for each in prompt("a"))]:
            reader.feed(own)

        assert reader.is_copied
        assert source.asked == [PARENT]


class TestDigests:
    def test_of_lines_with_equal_payloads_are_equal(self) -> None:
        assert line_digest(line(message("user", "a"), 1)) == line_digest(line(message("user", "a"), 2, 7))
        assert line_digest(line(message("user", "a"))) != line_digest(line(message("user", "b")))
        assert line_digest(line(("a", {}))) != line_digest(line(("b", {})))

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_of_payloads_without_a_json_form_are_empty(self, value: float) -> None:
        assert line_digest(line(("a", {"text": value}))) == b""

    def test_of_payloads_with_lone_surrogates_exist(self) -> None:
        assert line_digest(line(message("user", "\ud800")))


@pytest.mark.parametrize(
    ("fields", "parent"),
    [
        ({"forked_from_id": "a", "parent_thread_id": "b"}, "a"),
        ({"parent_thread_id": "b"}, "b"),
        ({"source": {"subagent": {"thread_spawn": {"parent_thread_id": "c"}}}}, "c"),
        ({"forked_from_id": "", "parent_thread_id": 7, "source": {"subagent": "review"}}, None),
        ({"source": "cli"}, None),
        ({}, None),
    ],
)
def test_the_parent_of_a_session_is_named_by_its_meta(fields: dict[str, Any], parent: str | None) -> None:
    assert parent_of(fields) == parent
