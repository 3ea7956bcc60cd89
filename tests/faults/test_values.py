"""
Recording of objects of other libraries: those that can dump themselves are recorded, others are refused with a hint.
"""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import pathlib
import uuid
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from rollout import EncodeError, Recorder
from tests.faults.programs import in_order
from tests.rollouts import user_item as message

NOON = datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.timezone.utc)


@attrs.define
class Point:
    x: int = 1


@attrs.frozen
class Frozen:
    x: int = 1


@dataclasses.dataclass
class Plain:
    x: int = 1


@dataclasses.dataclass(frozen=True)
class Slim:
    __slots__ = ("x",)
    x: int


class Color(enum.Enum):
    RED = 1


def numpy() -> Any:
    return pytest.importorskip("numpy")


def numpy_bool() -> str:
    # Before numpy 2, the class has another name.
    module = numpy()
    return "numpy.bool" if module.bool_.__name__ == "bool" else "bool_"


def pandas() -> Any:
    return pytest.importorskip("pandas")


# The value, and what the error says of it: its type, and how to convert it.
REFUSED: dict[str, tuple[Callable[[], Any], str, str]] = {
    "attrs": (Point, "Point", "for example with attrs.asdict()"),
    "attrs, frozen": (Frozen, "Frozen", "for example with attrs.asdict()"),
    "dataclass": (Plain, "Plain", "for example with dataclasses.asdict()"),
    "dataclass with slots": (lambda: Slim(1), "Slim", "for example with dataclasses.asdict()"),
    "numpy int": (lambda: numpy().int64(3), "int64", "for example with .item()"),
    "numpy float": (lambda: numpy().float32(1.5), "float32", "for example with .item()"),
    "numpy bool": (lambda: numpy().bool_(True), "bool", "for example with .item()"),
    "numpy array": (lambda: numpy().arange(3), "ndarray", "for example with .tolist()"),
    "numpy matrix": (lambda: numpy().zeros((2, 2)), "ndarray", "for example with .tolist()"),
    "pandas series": (lambda: pandas().Series([1]), "Series", "for example with .tolist()"),
    "pandas table": (lambda: pandas().DataFrame({"a": [1]}), "DataFrame", 'for example with .to_dict("records")'),
    "pandas time": (lambda: pandas().Timestamp(0), "Timestamp", "for example with .isoformat()"),
    "datetime": (lambda: NOON, "datetime", "for example with .isoformat()"),
    "date": (NOON.date, "date", "for example with .isoformat()"),
    "time": (NOON.time, "time", "for example with .isoformat()"),
    "duration": (lambda: NOON - NOON, "timedelta", "to dicts, lists, strings and numbers"),
    "decimal": (lambda: decimal.Decimal("1.5"), "Decimal", "for example with str()"),
    "fraction": (lambda: fractions.Fraction(1, 2), "Fraction", "for example with str()"),
    "complex": (lambda: 1j, "complex", "to dicts, lists, strings and numbers"),
    "uuid": (uuid.uuid4, "UUID", "for example with str()"),
    "path": (lambda: pathlib.Path("/"), "PosixPath", "for example with str()"),
    "enum": (lambda: Color.RED, "Color", "for example with .value"),
    "set": (lambda: {1}, "set", "for example with sorted()"),
    "deque": (lambda: collections.deque([1]), "deque", "for example with list()"),
    "array": (lambda: array.array("i", [1]), "array", "for example with list()"),
    "range": (lambda: range(3), "range", "for example with list()"),
    "generator": (lambda: (n for n in "abc"), "generator", "for example with list()"),
    "bytes": (lambda: b"x", "bytes", "for example with .decode()"),
    "object": (object, "object", "to dicts, lists, strings and numbers"),
}


@pytest.mark.promise("record")
@pytest.mark.parametrize("kind", REFUSED)
def test_a_value_without_a_json_form_is_refused_with_its_path_its_type_and_advice(
    recorder: Recorder, kind: str
) -> None:
    make, name, conversion = REFUSED[kind]
    name = numpy_bool() if kind == "numpy bool" else name

    with pytest.raises(EncodeError) as caught:
        recorder.record(message("before"), message([make()]), message("after"))
    recorder.close()

    assert str(caught.value) == f"content[0].text[0]: {name} has no JSON form; convert it first, {conversion}"
    assert in_order(recorder.path) == ["before", "after"]


@pytest.mark.promise("record")
def test_an_item_that_is_no_dict_is_refused_with_advice(recorder: Recorder) -> None:
    with pytest.raises(EncodeError, match=r"item: Point has no JSON form; .* attrs\.asdict\(\)"):
        recorder.record(Point())
    with pytest.raises(EncodeError, match=r"item: an item is a dict or an object of rollout\.schema, not str"):
        recorder.record("text")


@pytest.mark.promise("record")
def test_numpy_subclasses_of_float_and_str_are_recorded(recorder: Recorder) -> None:
    np = numpy()

    recorder.record(message([np.float64(2.5), np.str_("hi")]))
    recorder.close()

    assert in_order(recorder.path) == [[2.5, "hi"]]


def models() -> dict[str, Any]:
    pydantic = pytest.importorskip("pydantic")
    return {"1": pytest.importorskip("pydantic.v1"), "2": pydantic}


@pytest.mark.promise("record")
@pytest.mark.filterwarnings("ignore:.*Pydantic V1")
@pytest.mark.parametrize("version", ["1", "2"])
def test_a_pydantic_model_of_either_version_is_recorded_as_json_values_without_unset_fields(
    recorder: Recorder, version: str
) -> None:
    library = models()[version]

    class Part(library.BaseModel):  # type: ignore[misc, name-defined]
        type: str = "input_text"
        text: Any = None
        unset: int = 7

    class Message(library.BaseModel):  # type: ignore[misc, name-defined]
        type: str
        role: str
        content: list[Part]
        unset: int = 7

    # As `from __future__ import annotations` leaves names that only this function knows.
    rebuild = Message.model_rebuild if version == "2" else Message.update_forward_refs
    rebuild(**({"_types_namespace": {"Part": Part}} if version == "2" else {"Part": Part}))
    part = Part(type="input_text", text={"at": NOON, "id": uuid.UUID(int=1)})
    expected = {
        "at": NOON.isoformat().replace("+00:00", "Z" if version == "2" else "+00:00"),
        "id": str(uuid.UUID(int=1)),
    }

    recorder.record(Message(type="message", role="user", content=[part]))
    recorder.record({"type": "message", "role": "user", "content": [part]})
    recorder.close()

    assert in_order(recorder.path) == [expected, expected]
    assert b"unset" not in recorder.path.read_bytes()


@pytest.mark.promise("record")
@pytest.mark.filterwarnings("ignore:.*Pydantic V1")
@pytest.mark.parametrize("version", ["1", "2"])
def test_a_pydantic_model_that_cannot_dump_itself_is_refused_and_the_other_items_are_recorded(
    recorder: Recorder, version: str
) -> None:
    library = models()[version]

    class Broken(library.BaseModel):  # type: ignore[misc, name-defined]
        held: Any = None

    broken = Broken(held=object())

    with pytest.raises(EncodeError, match=r"content\[0\]\.text: Broken\.(json|model_dump) raised") as caught:
        recorder.record(message("before"), message(broken), broken, message("after"))
    recorder.close()

    assert caught.value.__cause__ is not None
    assert in_order(recorder.path) == ["before", "after"]
