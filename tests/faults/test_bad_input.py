"""
Recording of values that have no JSON form.
"""

from __future__ import annotations

import collections
import threading
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from rollout import EncodeError, Recorder, RecorderClosedError, keep_all, load_history, read_lines, schema
from rollout.recording import _prepare as prepare_module
from tests.faults.programs import Program, in_order
from tests.rollouts import user_item as message


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


class BoomError(Exception):
    pass


def boom(*args: Any, **options: Any) -> Any:
    raise BoomError("no context")


class Broken(Mapping[str, Any]):
    """
    A mapping with one method that raises.
    """

    def __getitem__(self, key: str) -> Any:
        return key

    def __iter__(self) -> Iterator[str]:
        return iter("ab")

    def __len__(self) -> int:
        return 2


def broken(base: type, *names: str, like: Any = None, **methods: Any) -> Any:
    kind = type("Foreign", (base,), dict.fromkeys(names, boom) | methods)
    return kind() if like is None else kind(like)


class MuteError(Exception):
    __str__ = boom


def mute(*args: Any) -> Any:
    raise MuteError


def without_end(value: Any) -> int:
    return len(value)


def endless(*args: Any) -> Iterator[Any]:
    while True:
        yield 1


def endless_items(*args: Any) -> Iterator[tuple[str, int]]:
    number = 0
    while True:
        number += 1
        yield f"k{number}", number


class Lying:
    """
    A proxy whose `__class__` is that of its target.
    """

    def __init__(self, behind: Any) -> None:
        object.__setattr__(self, "behind", behind)

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        return type(object.__getattribute__(self, "behind"))


def of_unhashable_key() -> Any:
    # Hashed twice by the dict display, and no more.
    hashes = iter([1, 1])
    key = type("Foreign", (str,), {"__hash__": lambda self: next(hashes)})("k")
    return {key: 1}


class Named(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise BoomError


NAMELESS = Named("Foreign", (), {"__getattr__": boom})


# Each runs code that raises, lies or never ends: what it is, where it is at fault, and what the error says of it.
FOREIGN: dict[str, tuple[Callable[[], Any], str, str]] = {
    "a proxy without its context": (lambda: broken(object, __class__=property(boom)), "", "Foreign raised BoomError"),
    "attributes": (lambda: broken(object, "__getattr__"), "", "Foreign raised BoomError: no context"),
    "items": (lambda: broken(Broken, "items"), "", "Foreign raised BoomError: no context"),
    "keys of a mapping": (lambda: broken(Broken, "__iter__"), "", "Foreign raised BoomError: no context"),
    "values of a mapping": (lambda: broken(Broken, "__getitem__"), "", "Foreign raised BoomError: no context"),
    "length of a mapping": (lambda: broken(Broken, "__len__"), "", "Foreign raised BoomError: no context"),
    "items of a dict": (lambda: broken(dict, "items"), "", "Foreign raised BoomError: no context"),
    "items of a dict of a list": (lambda: [0, [broken(dict, "items")]], "[1][0]", "Foreign raised BoomError"),
    "values of a list": (lambda: broken(list, "__iter__"), "", "Foreign raised BoomError: no context"),
    "length of a list": (lambda: broken(list, "__len__"), "", "Foreign raised BoomError: no context"),
    "values of a tuple": (lambda: broken(tuple, "__iter__"), "", "Foreign raised BoomError: no context"),
    "a list that never ends": (lambda: broken(list, __iter__=endless), "", "Foreign of length 0 yields over 1000"),
    "a mapping that never ends": (lambda: broken(Broken, items=endless_items), "", "of length 2 yields over 1004"),
    "a proxy of a string": (lambda: Lying("text"), "", "Lying has no JSON form"),
    "a proxy of an int": (lambda: Lying(1), "", "Lying has no JSON form"),
    "a proxy of a dict that has no items": (lambda: Lying({}), "", "Lying raised AttributeError"),
    "no memory": (lambda: broken(Broken, __len__=lambda self: [0] * 2**60), "", "Foreign raised MemoryError"),
    "no stack": (lambda: broken(Broken, __len__=without_end), "", "Foreign raised RecursionError"),
    "a key of no string that cannot be named": (lambda: {broken(object, "__str__"): 1}, ".<Foreign>", "a key must be"),
    "a key that cannot be compared": (
        lambda: {broken(str, "__eq__", like="type", __hash__=lambda self: hash("type")): 1},
        ".type",
        "Foreign raised BoomError",
    ),
    "a key that has no hash any more": (of_unhashable_key, ".k", "Foreign raised StopIteration"),
    "an error without a text": (lambda: broken(Broken, __len__=mute), "", "Foreign raised MuteError"),
    "a class that has no name": (NAMELESS, "", "Foreign raised BoomError"),
}


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


def error_of(recorder: Recorder, value: Any) -> EncodeError:
    """
    Return the error of a call that records a message with a bad value between two good ones; a later call and a close
    succeed.
    """
    with pytest.raises(EncodeError) as caught:
        recorder.record(message("before"), message(value), message("after"))
    recorder.record(message("later"))
    recorder.close()
    return caught.value


@pytest.mark.promise("record")
@pytest.mark.parametrize("kind", BAD)
def test_the_error_names_the_path_to_the_value_and_the_other_items_are_recorded(recorder: Recorder, kind: str) -> None:
    make, reason = BAD[kind]

    error = error_of(recorder, make())

    assert in_order(recorder.path) == ["before", "after", "later"]
    assert error.path.startswith("content[0].text")
    assert reason in error.reason
    assert str(error).startswith("content[0].text")


@pytest.mark.promise("record")
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_value_with_failing_code_is_refused_with_its_path_and_the_other_items_are_recorded(
    recorder: Recorder, kind: str
) -> None:
    make, path, reason = FOREIGN[kind]

    error = error_of(recorder, make())

    assert in_order(recorder.path) == ["before", "after", "later"]
    assert error.path == f"content[0].text{path}"
    assert reason in error.reason


@pytest.mark.promise("record")
@pytest.mark.parametrize("kind", FOREIGN)
def test_an_item_with_failing_code_is_refused_and_the_other_items_are_recorded(recorder: Recorder, kind: str) -> None:
    make, _, _ = FOREIGN[kind]
    wrapped = {"type": "response_item", "payload": make(), "metadata": make()}

    with pytest.raises(EncodeError):
        recorder.record(message("before"), make(), wrapped, message("after"))
    with pytest.raises(EncodeError):
        recorder.record(make())
    recorder.close()

    assert in_order(recorder.path) == ["before", "after"]


@pytest.mark.promise("record")
def test_the_exception_of_a_value_s_own_code_is_the_cause(recorder: Recorder) -> None:
    for item in (broken(object, "__getattr__"), message(broken(list, "__iter__"))):
        with pytest.raises(EncodeError) as caught:
            recorder.record(item)

        assert isinstance(caught.value.__cause__, BoomError)


@pytest.mark.promise("record")
def test_a_string_or_number_with_wrong_or_raising_methods_is_recorded_with_its_real_value(recorder: Recorder) -> None:
    raising = dict.fromkeys(("__str__", "__len__", "isascii", "__eq__", "__format__", "__repr__", "__iter__"), boom)
    text = type("Foreign", (str,), {**raising, "__hash__": boom})
    lying = type("Foreign", (str,), {"isascii": lambda self: True})
    number = type("Foreign", (int,), {"__int__": boom, "__lt__": boom, "__str__": boom})
    ratio = type("Foreign", (float,), {"__float__": boom, "__abs__": boom})

    recorder.record(
        {"type": text("message"), "v": [text("abc"), lying("\u00e4"), {lying("\u00f6"): number(5)}, ratio(2.5)]}
    )
    recorder.flush()

    line = recorder.path.read_bytes().splitlines()[-1].decode()
    assert line.endswith('"payload":{"type":"message","v":["abc","\u00e4",{"\u00f6":5},2.5]}}')


@pytest.mark.promise("record")
def test_a_userdict_changed_by_another_thread_may_be_refused_and_the_other_items_are_recorded(
    recorder: Recorder,
) -> None:
    changing = collections.UserDict({f"k{n}": n for n in range(50)})
    ends = threading.Event()

    def change() -> None:
        while not ends.is_set():
            for n in range(100):
                changing[f"x{n}"] = n
            for n in range(100):
                del changing[f"x{n}"]

    thread = threading.Thread(target=change)
    thread.start()
    refused: list[EncodeError] = []
    calls = 0
    try:
        # Until it has happened a few times: how soon is up to the system's scheduler.
        while len(refused) < 3 and calls < 200_000:
            calls += 1
            try:
                recorder.record(message("beside"), {"type": "message", "role": "user", "content": [], "d": changing})
            except EncodeError as error:
                refused.append(error)
    finally:
        ends.set()
        thread.join()
    recorder.close()

    assert refused, "never happened"
    assert {error.path for error in refused} == {"d"}
    assert {type(error.__cause__) for error in refused} <= {RuntimeError, KeyError}
    recorded = [line.payload for line in load_history(recorder.path).lines[1:]]
    assert sum("d" not in payload for payload in recorded) == calls
    assert sum("d" in payload for payload in recorded) == calls - len(refused)


@pytest.mark.promise("record")
def test_a_dict_or_list_changed_by_another_thread_is_recorded(recorder: Recorder) -> None:
    kinds = (dict, collections.OrderedDict, collections.defaultdict, type("Sub", (dict,), {}))
    changing: list[Any] = [kind() for kind in kinds]
    values = type("Sub", (list,), {})(range(50))
    ends = threading.Event()

    def change() -> None:
        while not ends.is_set():
            for held in changing:
                held["x"] = 1
                del held["x"]
            values.append(1)
            values.pop()

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(1000):
            recorder.record(message([types.MappingProxyType(changing[0]), *changing, values]))
    finally:
        ends.set()
        thread.join()
    recorder.close()

    assert len(in_order(recorder.path)) == 1000


def refuses_two(kind: str, payload: Mapping[str, Any]) -> bool:
    if payload["content"][0]["text"] == "two":
        raise BoomError("a bug")
    return True


@pytest.mark.promise("record")
def test_a_policy_that_raises_refuses_only_the_item_it_was_called_with(home: Any) -> None:
    with Recorder(home=home, policy=refuses_two) as recorder:
        with pytest.raises(EncodeError, match="item: the policy raised BoomError: a bug") as caught:
            recorder.record(message("one"), message("two"), message("three"))
        with pytest.raises(EncodeError, match="the policy raised"):
            recorder.record(message("two"))
        recorder.record(message("four"))

    assert in_order(recorder.path) == ["one", "three", "four"]
    assert isinstance(caught.value.__cause__, BoomError)


@pytest.mark.promise("record")
def test_a_policy_that_changes_its_arguments_changes_neither_the_caller_s_item_nor_the_line(home: Any) -> None:
    def change(kind: str, payload: Any) -> bool:
        payload["evil"] = object()
        payload.get("content", [{}])[0]["text"] = "evil"
        payload.get("content", []).append(object())
        payload["n"] = payload.get("n", 1.0) + 1
        return True

    plain: dict[str, Any] = {**message("one"), "n": 1e16, "deep": collections.UserDict(a=({"b": [1]},))}
    wrapped = {"type": "response_item", "payload": message("two")}
    typed = schema.Message(role="user", content=(schema.InputText(text="three"),))
    before = repr([plain, wrapped, typed])

    with Recorder(home=home, policy=change) as changed, Recorder(home=home, policy=keep_all) as kept:
        for recorder in (changed, kept):
            recorder.record(plain, wrapped, typed)
            recorder.record(plain)

    assert repr([plain, wrapped, typed]) == before
    lines = [[line.payload for line in load_history(recorder.path).lines[1:]] for recorder in (changed, kept)]
    assert lines[0] == lines[1]
    assert in_order(changed.path) == ["one", "two", "three", "one"]


@pytest.mark.promise("record")
def test_a_policy_keeps_the_items_for_which_its_result_is_true(home: Any) -> None:
    results = {"none": None, "zero": 0, "empty": "", "one": 1, "text": "no", "list": [False]}

    def answer(kind: str, payload: Mapping[str, Any]) -> Any:
        return results.get(payload["content"][0]["text"], broken(object, "__bool__"))

    with Recorder(home=home, policy=answer) as recorder:
        for text in results:
            recorder.record(message(text))
        with pytest.raises(EncodeError, match="the policy raised BoomError"):
            recorder.record(message("neither"))

    assert in_order(recorder.path) == ["one", "text", "list"]


@pytest.mark.promise("record")
def test_a_policy_may_record_flush_and_close(home: Any) -> None:
    def ask(kind: str, payload: Mapping[str, Any]) -> bool:
        text = payload["content"][0]["text"]
        if text == "outer":
            recorder.record(message("inner"))
            recorder.flush(60)
        if text == "last":
            recorder.close(60)
        return True

    recorder = Recorder(home=home, policy=ask)
    recorder.record(message("outer"))
    with pytest.raises(RecorderClosedError):
        recorder.record(message("last"))

    assert in_order(recorder.path) == ["inner", "outer"]


@pytest.mark.promise("record")
def test_a_policy_with_endless_recursion_is_refused_and_the_recorder_continues(home: Any) -> None:
    is_endless = True

    def ask(kind: str, payload: Mapping[str, Any]) -> bool:
        if is_endless:
            recorder.record(message("inner"))
        return True

    with Recorder(home=home, policy=ask) as recorder:
        with pytest.raises(EncodeError, match="the policy raised"):
            recorder.record(message("outer"))
        is_endless = False
        recorder.record(message("later"))

    assert in_order(recorder.path) == ["later"]


@pytest.mark.promise("record")
@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_inside_an_item_or_a_policy_is_raised_and_no_accepted_item_is_lost(
    home: Any, interrupt: type[BaseException]
) -> None:
    def stop(*args: Any) -> Any:
        raise interrupt

    def ask(kind: str, payload: Mapping[str, Any]) -> bool:
        return stop() if payload["content"][0]["text"] == "stop" else True

    with Recorder(home=home, policy=ask) as recorder:
        recorder.record(message("before"))
        for bad in (message("stop"), message(broken(list, __iter__=stop)), broken(object, __getattr__=stop)):
            with pytest.raises(interrupt) as caught:
                recorder.record(message("not accepted"), bad, message("not accepted"))
            assert caught.value.__cause__ is None
        recorder.record(message("after"))

    assert in_order(recorder.path) == ["before", "after"]


@pytest.mark.promise("record")
def test_ctrl_c_during_record_loses_no_accepted_item_and_records_all_items_of_a_call_or_none(
    program: Program, figure: Callable[[str], None]
) -> None:
    path, accepted, interrupted = program.run("""
is_armed = False
def interrupt(*args):
    global is_armed
    if is_armed:
        is_armed = False
        raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
# Nested, so that most of a call is spent inside of the copy.
deep = [[{"k": [n, str(n)]} for n in range(30)]]
rec = rollout.Recorder(policy=lambda kind, payload: True)
rec.flush()
accepted = interrupted = 0
while interrupted < 300:
    try:
        is_armed = True
        signal.setitimer(signal.ITIMER_REAL, 0.000_01 * (interrupted % 90 + 1))
        while True:
            rec.record({**message(f"first {accepted}"), "deep": deep}, {**message(f"second {accepted}"), "deep": deep})
            accepted += 1
    except KeyboardInterrupt:
        interrupted += 1
rec.close()
print(rec.path, accepted, interrupted)
""").split()

    found = in_order(path)
    # A call that is interrupted after its items were handed over is repeated by this loop.
    firsts, seconds = found[::2], found[1::2]
    assert [text.split()[1] for text in firsts] == [text.split()[1] for text in seconds]
    assert {text.split()[1] for text in firsts} >= {str(n) for n in range(int(accepted))}
    figure(f"{int(interrupted)} interrupts inside of {int(accepted):,} calls: none lost, none recorded by half")


@pytest.mark.promise("record", naive="fails")
def test_a_bad_item_among_many_is_refused_and_all_others_are_recorded(program: Program) -> None:
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
def test_changes_of_an_item_after_record_do_not_change_the_line(program: Program) -> None:
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
def test_an_item_with_a_line_too_long_to_be_read_is_refused(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_module, "MAX_LINE_SIZE", 50_000)

    with pytest.raises(EncodeError, match="its line has 60151 bytes; lines of more than 50000 bytes cannot be read"):
        recorder.record(message("\x01" * 10_000), message("x" * 10_000))
    recorder.close()

    assert [len(text) for text in in_order(recorder.path)] == [10_000]
    assert load_history(recorder.path).skipped == ()
