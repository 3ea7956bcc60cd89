from __future__ import annotations

import collections
import datetime
import enum
import types
from pathlib import Path
from typing import Any

import pytest

from rollout import EncodeError, schema
from rollout.schema import _plain as plain_module
from rollout.schema._plain import MAX_DEPTH, plain_item, snapshot


class Color(str, enum.Enum):
    RED = "red"


class Dumping:
    def __init__(self, dumped: Any) -> None:
        self.dumped = dumped

    def model_dump(self, *, mode: str, exclude_unset: bool) -> Any:
        if isinstance(self.dumped, Exception):
            raise self.dumped
        return self.dumped


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


CYCLE: dict[str, Any] = {"a": []}
CYCLE["a"].append(CYCLE)


class TestRefusal:
    @pytest.mark.parametrize(
        ("value", "path", "reason"),
        [
            ({1, 2}, "", "set has no JSON form"),
            ({"content": [{"text": b"x"}]}, "content[0].text", "bytes has no JSON form"),
            ({"a": {"b": [1, 2, frozenset()]}}, "a.b[2]", "frozenset has no JSON form"),
            ({"a": float("nan")}, "a", "nan has no JSON form"),
            ({"a": [float("inf")]}, "a[0]", "inf has no JSON form"),
            ({"a": -float("inf")}, "a", "-inf has no JSON form"),
            ({"a": {1: 2}}, "a.1", "a key must be a string, not int"),
            ({"a": {None: 2}}, "a.None", "a key must be a string, not NoneType"),
            ({"a": 10**5000}, "a", "bits is too long"),
            ({"a": (x for x in [])}, "a", "generator has no JSON form"),
            ({"a": datetime.datetime(2026, 1, 1)}, "a", "datetime has no JSON form"),  # noqa: DTZ001
            ({"a": Path("/")}, "a", "PosixPath has no JSON form"),
            ({"a": object()}, "a", "object has no JSON form"),
            ({"a": Dumping}, "a", "type has no JSON form"),
            ({"a": [Dumping(ValueError("x"))]}, "a[0]", "Dumping.model_dump raised ValueError"),
            ({"a": Dumping([1])}, "a", "Dumping.model_dump returned list, not a dict"),
            ({"a": Dumping({"b": {1}})}, "a.b", "set has no JSON form"),
            (schema.AgentMessage(message="m", delivery={1}), "delivery", "set has no JSON form"),
        ],
    )
    def test_names_the_path_and_the_reason(self, value: Any, path: str, reason: str) -> None:
        with pytest.raises(EncodeError) as refused:
            snapshot(value)

        assert refused.value.path == path
        assert reason in refused.value.reason
        assert str(refused.value) == f"{path or 'item'}: {refused.value.reason}"

    @pytest.mark.parametrize("value", [nested(MAX_DEPTH + 1), nested(10_000), CYCLE], ids=["127", "10,000", "a cycle"])
    def test_of_a_value_nested_too_deeply_for_codex(self, value: Any) -> None:
        with pytest.raises(EncodeError, match="over 126 levels, which Codex cannot read"):
            snapshot(value)

    def test_has_the_error_of_a_dump_as_its_cause(self) -> None:
        cause = ValueError("x")

        with pytest.raises(EncodeError) as refused:
            snapshot({"a": Dumping(cause)})

        assert refused.value.__cause__ is cause


class TestSnapshot:
    def test_accepts_the_depth_that_codex_can_read(self) -> None:
        assert snapshot(nested(MAX_DEPTH)) == nested(MAX_DEPTH)

    def test_makes_subclasses_plain(self) -> None:
        value = {
            Color.RED: Color.RED,
            "int": enum.IntEnum("N", "one").one,  # type: ignore[attr-defined]
            "float": type("F", (float,), {})(0.5),
            "dict": collections.OrderedDict(a=1),
            "mapping": types.MappingProxyType({"b": (1, 2)}),
            "list": collections.UserList,
            "named": collections.namedtuple("P", "x y")(1, 2),
            "dumped": Dumping({"c": Dumping({"d": None})}),
        }
        del value["list"]

        copy = snapshot(value)

        assert copy == {
            "red": "red",
            "int": 1,
            "float": 0.5,
            "dict": {"a": 1},
            "mapping": {"b": [1, 2]},
            "named": [1, 2],
            "dumped": {"c": {"d": None}},
        }
        assert [type(copy["red"]), type(copy["int"]), type(copy["float"])] == [str, int, float]

    def test_caches_a_limited_number_of_keys_and_copies_the_others_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(plain_module, "_known_keys", set())
        monkeypatch.setattr(plain_module, "_KNOWN_KEYS_MAX", 2)
        value = {"a": 1, "b" * 1000: 2, "c": {"\u00e9": 3, "d": 4}}

        assert snapshot(value) == value

        assert plain_module._known_keys == {"a", "c"}

    def test_does_not_change_with_the_original(self) -> None:
        value: Any = {"content": [{"text": "before"}], "tuple": ([1],)}

        copy = snapshot(value)
        value["content"][0]["text"] = "after"
        value["tuple"][0].append(2)

        assert copy == {"content": [{"text": "before"}], "tuple": [[1]]}

    def test_shares_strings(self) -> None:
        text = "x" * 10_000

        assert snapshot({"a": [text]})["a"][0] is text


class TestPlainItem:
    def test_of_the_schema_has_its_line_type(self) -> None:
        item = schema.AgentMessage(message="m")

        assert plain_item(item) == ("event_msg", item, None)

    def test_of_any_mapping_is_treated_as_a_dict(self) -> None:
        item = types.MappingProxyType({"type": "message"})

        kind, payload, _ = plain_item(item)

        assert (kind, snapshot(payload)) == ("response_item", {"type": "message"})

    def test_in_api_form_is_a_response_item(self) -> None:
        item = {"type": "message"}

        assert plain_item(item) == ("response_item", item, None)

    def test_with_a_payload_keeps_its_type_payload_and_metadata(self) -> None:
        item = {"type": "novel", "payload": {"a": 1}, "metadata": {"b": 2}, "timestamp": "dropped", "ordinal": 9}

        assert plain_item(item) == ("novel", {"a": 1}, {"b": 2})

    def test_that_dumps_itself_is_treated_as_the_result(self) -> None:
        assert plain_item(Dumping({"type": "message"}))[1] == {"type": "message"}

    @pytest.mark.parametrize(
        ("item", "message"),
        [
            (1, "item: an item is a dict or an object of rollout.schema, not int"),
            (None, "item: an item is a dict or an object of rollout.schema, not NoneType"),
            ({}, "type: an item needs a type, such as 'message' or 'event_msg'; this is None"),
            ({"type": "turn_context", "cwd": "/"}, "payload: an item of type 'turn_context' needs a payload"),
            ({"type": "event_msg", "payload": "x"}, "payload: an object is needed, not str"),
            (Dumping(ValueError()), "item: Dumping.model_dump raised ValueError"),
        ],
    )
    def test_of_a_value_that_is_no_item_is_an_error_with_the_reason(self, item: Any, message: str) -> None:
        with pytest.raises(EncodeError) as refused:
            plain_item(item)

        assert str(refused.value) == message
