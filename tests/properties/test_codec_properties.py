from __future__ import annotations

import json
import types
import typing
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout import schema
from rollout.codec import RolloutLine, decode_line, encode_item, encode_line
from rollout.schema._plain import CopyStats, snapshot
from rollout.schema._structure import to_item

KNOWN_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers(-(2**64) + 1, 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | KNOWN_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KNOWN_TEXT, inner, max_size=4),
    max_leaves=15,
)
OBJECTS = st.dictionaries(KNOWN_TEXT, JSON, max_size=6)
UNKNOWN_FIELDS = st.dictionaries(st.sampled_from(["novel", "x-extra", "é"]), JSON, max_size=3)

CLASSES = [
    kind
    for kind in (getattr(schema, name) for name in schema.__all__)
    if isinstance(kind, type)
    and issubclass(kind, schema.Wire)
    and kind not in schema.UNKNOWN
    and kind is not schema.Wire
    and not kind.is_unknown
]


def of_type(kind: Any) -> st.SearchStrategy[Any]:
    """
    Values of an annotated type, as a file may have them.
    """
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(of_type(arg) for arg in args))
    if origin is tuple:
        return st.lists(of_type(args[0]), max_size=3).map(tuple)
    if kind is Any:
        return JSON
    if kind is type(None):
        return st.none()
    if kind is str:
        return KNOWN_TEXT
    if kind is int:
        return st.integers(0, 2**64 - 1)
    if kind is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if kind is bool:
        return st.booleans()
    if kind in schema.UNKNOWN:
        members = [c for c in CLASSES if issubclass(c, kind) and c.tag]
        return st.sampled_from(members).flatmap(instances)
    return instances(kind)


def instances(kind: Any) -> st.SearchStrategy[Any]:
    fields = {
        field.name: of_type(field.type)
        for field in attrs.fields(attrs.resolve_types(kind))
        if field.name not in ("extra", "_keys")
    }
    required = {name for name in fields if attrs.fields_dict(kind)[name].default is attrs.NOTHING}
    optional = {name: strategy for name, strategy in fields.items() if name not in required}
    return st.fixed_dictionaries(
        {name: fields[name] for name in required}, optional={**optional, "extra": UNKNOWN_FIELDS}
    ).map(lambda values: kind(**values))


@pytest.mark.parametrize(
    "kind", [kind for kind in CLASSES if issubclass(kind, schema.RolloutItem)], ids=lambda k: k.__name__
)
@settings(max_examples=settings.default.max_examples // 4)
@given(data=st.data())
def test_every_item_is_equal_after_encoding_and_decoding(kind: Any, data: st.DataObject) -> None:
    item = data.draw(instances(kind))

    line = decode_line(encode_item(item.line_type, snapshot(item), time_ms=0))

    assert line.item == item
    assert type(line.item) is kind


@pytest.mark.parametrize("kind", CLASSES, ids=lambda k: k.__name__)
def test_every_class_is_found_by_its_name_and_has_a_docstring(kind: Any) -> None:
    assert getattr(schema, kind.__name__) is kind
    assert kind.__doc__


@given(payload=OBJECTS, metadata=st.none() | OBJECTS, ordinal=st.none() | st.integers(0, 2**64 - 1))
@settings(deadline=None)
def test_any_payload_is_equal_after_encoding_and_decoding(payload: Any, metadata: Any, ordinal: int | None) -> None:
    line = RolloutLine(timestamp="t", type="novel", payload=payload, metadata=metadata, ordinal=ordinal)

    again = decode_line(encode_line(line))

    assert again == line
    assert json.dumps(again.payload) == json.dumps(payload)
    assert encode_line(again) == again.raw + b"\n"


@given(payload=OBJECTS)
@settings(deadline=None)
def test_a_payload_known_to_be_ascii_is_encoded_to_the_same_bytes(payload: Any) -> None:
    extent = CopyStats()

    copy = snapshot(payload, extent)

    assert extent.is_ascii is json.dumps(payload, ensure_ascii=False).isascii()
    assert encode_item("x", copy, 0, is_ascii=extent.is_ascii) == encode_item("x", copy, 0)


@given(value=OBJECTS)
@settings(deadline=None)
def test_a_decoded_line_encodes_to_an_equal_value_with_the_same_order_of_keys(value: Any) -> None:
    envelope = {"novel": value, "payload": value, "type": "event_msg", "timestamp": "t", "ordinal": None}
    raw = json.dumps(envelope, ensure_ascii=False).encode()

    again = encode_line(decode_line(raw))

    assert json.loads(again, object_pairs_hook=list) == json.loads(raw, object_pairs_hook=list)


@given(value=JSON)
@settings(deadline=None)
def test_a_snapshot_is_equal_and_shares_no_container(value: Any) -> None:
    def containers(value: Any) -> set[int]:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        own = {id(value)} if isinstance(value, (dict, list)) else set()
        return own.union(*map(containers, inner))

    copy = snapshot(value)

    assert json.loads(encode_item("x", copy, time_ms=0))["payload"] == value
    assert not containers(value) & containers(copy)


@given(payload=OBJECTS | JSON)
@settings(deadline=None)
def test_any_payload_becomes_an_item_without_an_error_or_a_loss(payload: Any) -> None:
    for kind in [*schema.LINE_TYPES, "novel"]:
        item = to_item(kind, payload)

        again = json.loads(encode_item(kind, snapshot(item), time_ms=0))["payload"]
        assert again == payload
