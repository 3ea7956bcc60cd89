from __future__ import annotations

import logging
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from rollout import EncodeError, Recorder, RecorderClosedError, codex_2025_policy
from tests.recording.helpers import payloads_of
from tests.rollouts import event


def item(line: tuple[str, Any]) -> dict[str, Any]:
    return {"type": line[0], "payload": line[1]}


def test_dropped_items_are_counted_by_type_and_logged_once_a_type(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "rollout"), Recorder(home=home, policy=codex_2025_policy) as rec:
        for _ in range(3):
            rec.record(item(event("agent_message_delta")), item(event("task_started")))
        rec.record({"type": "ghost_snapshot"}, {"type": "novel", "payload": {"type": "x"}})
        rec.record({"type": "event_msg", "payload": {"type": 7}})

    assert rec.stats.dropped == {
        "event_msg/agent_message_delta": 3, "event_msg/task_started": 3, "response_item/ghost_snapshot": 1,
        "novel": 1, "event_msg": 1,
    }  # fmt: skip
    logged = [record.getMessage() for record in caplog.records if "drops" in record.getMessage()]
    assert len(logged) == len(rec.stats.dropped)
    assert rec.stats.written_lines == 1


def test_dropped_items_of_several_threads_are_all_counted(home: Path) -> None:
    def work() -> None:
        for _ in range(2000):
            rec.record(delta)

    delta = item(event("agent_message_delta"))
    with Recorder(home=home) as rec:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert rec.stats.dropped == {"event_msg/agent_message_delta": 8000}


def test_a_closed_recorder_refuses_also_what_the_policy_drops(home: Path) -> None:
    with Recorder(home=home) as rec:
        pass

    with pytest.raises(RecorderClosedError):
        rec.record(item(event("agent_message_delta")))


class TestDefault:
    def test_converts_what_has_no_json_form(self, home: Path) -> None:
        with Recorder(home=home, default=str) as rec:
            rec.record({"type": "x", "path": Path("/a"), "many": [Decimal("1.5"), {"deep": {1}}]})
            call_id = rec.tool_call("t", {"where": Path("/b")})
            rec.tool_output(call_id, [Path("/c")])

        assert payloads_of(rec.path)[0] == {"type": "x", "path": "/a", "many": ["1.5", {"deep": "{1}"}]}
        assert payloads_of(rec.path)[1]["arguments"] == '{"where":"/b"}'
        assert payloads_of(rec.path)[-1]["output"] == '["/c"]'

    def test_converts_a_whole_item(self, home: Path) -> None:
        with Recorder(home=home, default=vars) as rec:
            rec.record(_Item())

        assert payloads_of(rec.path) == [{"type": "x", "size": 1}]

    def test_is_given_what_it_returns(self, home: Path) -> None:
        with Recorder(home=home, default=lambda value: list(value) if isinstance(value, set) else str(value)) as rec:
            rec.record({"type": "x", "paths": {Path("/a")}})

        assert payloads_of(rec.path) == [{"type": "x", "paths": ["/a"]}]

    def test_an_endless_conversion_is_refused(self, home: Path) -> None:
        with Recorder(home=home, default=lambda value: value) as rec, pytest.raises(EncodeError, match="nested over"):
            rec.record({"type": "x", "odd": {1}})

    def test_its_error_names_the_path(self, home: Path) -> None:
        with Recorder(home=home, default=_refuse) as rec, pytest.raises(EncodeError) as refused:
            rec.record({"type": "x", "odd": [{1}]})

        assert refused.value.path == "odd[0]"
        assert "TypeError: no" in str(refused.value)

    def test_an_item_that_it_does_not_convert_to_a_dict_is_refused(self, home: Path) -> None:
        with Recorder(home=home, default=str) as rec, pytest.raises(EncodeError, match="has no JSON form"):
            rec.record(_Item())


class _Item:
    def __init__(self) -> None:
        self.type, self.size = "x", 1


def _refuse(value: object) -> object:
    raise TypeError("no")
