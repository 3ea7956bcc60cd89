from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

import rollout
import rollout.store
from rollout import errors, schema

ERRORS: list[tuple[Any, str]] = [
    (errors.EncodeError("content[0].text", "set has no JSON form"), "content[0].text: set has no JSON form"),
    (errors.RecorderClosedError(Path("/r.jsonl")), "recorder of /r.jsonl is closed. Use Recorder.resume(path)"),
    (errors.WriteError(Path("/r.jsonl"), 3), "r.jsonl: lines that wait in memory: 3; writing is retried"),
    (errors.WriteError(Path("/r.jsonl"), 0, 2), "r.jsonl: lines lost: 2; lines that wait in memory: 0."),
    (
        errors.FlushTimeoutError(Path("/r.jsonl"), "flush", 0.5, 3),
        "r.jsonl: flush took more than 0.5 s; not yet written: 3",
    ),
    (errors.SessionBusyError(Path("/x.lock")), "/x.lock is locked by another writer."),
    (errors.UnsupportedSessionError(Path("/r.jsonl"), "it is odd"), "/r.jsonl cannot be appended to: it is odd"),
    (errors.InvalidLineError(Path("/r.jsonl"), 4, "not JSON"), "/r.jsonl, line 4: not JSON. Use strict=False"),
    (errors.InvalidLineError(None, 0, "not JSON"), "not JSON"),
    (errors.MissingSessionMetaError(Path("/r.jsonl"), "no session_meta"), "/r.jsonl: no session_meta"),
    (errors.InvalidCursorError("x"), "'x' is not a cursor; pass Page.next_cursor"),
    (errors.SessionNotFoundError("01a1", Path("/h")), "no session '01a1' in /h"),
    (
        errors.AmbiguousSessionError("01", ("01a", "01b", "01c", "01d")),
        "'01' matches 4 sessions: 01a, 01b, 01c. Use more",
    ),
]


def test_all_is_sorted_and_every_name_exists() -> None:
    assert rollout.__all__ == sorted(rollout.__all__, key=lambda name: (name.islower(), name))
    for name in rollout.__all__:
        assert getattr(rollout, name) is not None


def test_the_stable_public_names_exist() -> None:
    contract = {"Recorder", "RolloutLine", "SessionMeta", "Cursor", "Page", "SessionInfo", "History", "RolloutError",
                "read_lines", "load_history", "list_sessions", "find_session", "follow"}  # fmt: skip

    assert contract <= set(rollout.__all__)
    assert {"decode_line", "encode_line"} <= set(dir(rollout.codec))
    assert set(errors.__all__) <= set(rollout.__all__)


def test_every_public_class_and_function_has_a_docstring() -> None:
    for name in rollout.__all__:
        thing = getattr(rollout, name)
        if name != "__version__":
            assert inspect.getdoc(thing), name
        for part, member in vars(thing).items() if inspect.isclass(thing) else ():
            if not part.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                assert inspect.getdoc(member), f"{name}.{part}"


def test_an_unknown_name_raises_attribute_error() -> None:
    for module in (rollout, schema):
        with pytest.raises(AttributeError, match="has no attribute 'novel'"):
            module.novel  # noqa: B018
        with pytest.raises(AttributeError):
            module.__novel__  # noqa: B018


def test_dir_of_a_lazy_package_lists_its_public_names() -> None:
    assert set(rollout.__all__) <= set(dir(rollout))
    for name in rollout.store.__all__:
        assert inspect.getdoc(getattr(rollout.store, name)), name
    with pytest.raises(AttributeError, match="has no attribute 'novel'"):
        rollout.store.novel  # noqa: B018


def test_dir_of_the_schema_lists_its_classes_before_they_are_created() -> None:
    script = "from rollout import schema; print(*dir(schema)); print(schema.Message.__name__)"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)

    names, made = done.stdout.splitlines()
    assert dir(schema) == sorted({*dir(schema), *schema.__all__})
    assert {*schema.__all__} <= {*names.split()}
    assert made == "Message"


def test_every_line_type_has_a_class() -> None:
    assert set(schema.LINE_ITEMS) == schema.LINE_TYPES


def test_importing_rollout_loads_no_unneeded_modules() -> None:
    # What attrs and ujson load by themselves is not ours: attrs loads subprocess on 3.10.
    script = "import sys, attrs, ujson; before = {*sys.modules}; import rollout; print(*sys.modules.keys() - before)"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)

    loaded = set(done.stdout.split())
    assert not loaded & {
        "sqlite3",
        "click",
        "asyncio",
        "subprocess",
        "json",
        "cattrs",
        "compression.zstd",
        "backports.zstd",
    }
    assert "rollout.schema.events" not in loaded


@pytest.mark.parametrize(("error", "text"), ERRORS, ids=lambda value: type(value).__name__)
def test_an_error_has_its_text_and_pickles_with_its_fields(error: Any, text: str) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own

    assert str(error).startswith(text)
    assert (type(again), vars(again), str(again)) == (type(error), vars(error), str(error))
    assert isinstance(error, rollout.RolloutError)
    assert not isinstance(error, OSError) or isinstance(error, TimeoutError)
    assert getattr(error, "errno", None) is None


def test_results_are_frozen(recorder: rollout.Recorder) -> None:
    recorder.user_message("x")
    recorder.flush()
    page = rollout.list_sessions()
    history = rollout.load_history(recorder.path)

    for thing in (page, page.items[0], history, history.lines[0], history.turns[0], history.meta, recorder.stats):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(thing, attrs.fields(type(thing))[0].name, None)
