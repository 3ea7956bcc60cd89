from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rollout import History
from rollout._text import UNSAFE
from rollout.codec import encode_json
from rollout.export import DETAILS, export_json
from tests.builders import completed, script, script_output
from tests.export.sample import everything, loaded
from tests.hostile import CANARY, SESSIONS
from tests.rollouts import encode, event, meta, prompt, put

PAGE = Path(__file__).parent.parent.parent / "docs" / "export.md"


def exported(history: History, detail: str = "full") -> Any:
    def refused(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads("".join(export_json(history, detail=detail)), parse_constant=refused)


def test_a_document_has_the_session_its_turns_and_an_account_of_its_lines(home: Path) -> None:
    history = loaded(home)

    document = exported(history)

    assert (document["schema_version"], document["detail"]) == (2, "full")
    assert document["session"]["id"] == history.session_id
    assert document["session"]["git"]["branch"] == "master"
    assert document["session"]["path"] == str(history.path)
    assert [turn["number"] for turn in document["turns"]] == [0, 1, 2]
    items = [item for turn in document["turns"] for item in turn["items"]]
    failed = next(item["call"] for item in items if item["call"] and item["call"]["is_failed"])
    assert (failed["exit_code"], failed["input"], failed["language"]) == (1, "pytest -q", "bash")
    changes = next(item["call"]["changes"] for item in items if item["call"] and item["call"]["changes"])
    assert [(change["path"], change["added"], change["removed"]) for change in changes] == [
        ("parser.py", 2, 1),
        ("tests/test_empty.py", 1, 0),
    ]
    assert document["stats"]["tokens"]["total_tokens"] == document["token_growth"][-1][1] == 2100


def test_what_no_line_states_is_null(home: Path) -> None:
    raw = encode([meta(), *prompt("x")]).replace(b'"timestamp":"2026-11-21T01:25:37.122Z"', b'"timestamp":"?"')

    document = exported(loaded(home, raw))

    stats = document["stats"]
    assert (stats["tokens"], stats["duration"], stats["active_duration"]) == (None, None, None)
    assert [turn["tokens"] for turn in document["turns"]] == [None, None]


def test_a_call_has_the_reason_of_its_failure_and_the_key_of_its_script(home: Path) -> None:
    failed = completed("CommandExecution", id="x", command=["false"], exit_code=1, status="failed")

    document = exported(loaded(home, [meta(), *prompt("go"), script("run()"), failed, script_output("completed")]))

    calls = [item["call"] for turn in document["turns"] for item in turn["items"] if item["call"]]
    assert [(call["tool"], call["failure"], call["parent"]) for call in calls] == [
        ("exec", "", None),
        ("exec_command", "exit code 1", "4"),
    ]


@pytest.mark.parametrize("detail", DETAILS)
def test_every_line_is_shown_or_counted(home: Path, detail: str) -> None:
    history = loaded(home)

    document = exported(history, detail)

    account = document["account"]
    assert account["lines"] == len(everything()) + 1
    assert account["shown"] + account["left_out"] + sum(account["others"].values()) == account["lines"]
    shown = {key for turn in document["turns"] for item in turn["items"] for key in item["lines"]}
    assert len(shown) == account["shown"]
    others: Counter[str] = Counter()
    for turn in document["turns"]:
        others.update({kind: len(keys) for kind, keys in turn["others"].items()})
    assert account["others"] == others
    assert account["unreadable"] == 1
    assert (account["items_left_out"] > 0) == (detail == "conversation")
    assert sum(turn["left_out"] for turn in document["turns"]) == account["items_left_out"]


@pytest.mark.parametrize("name", SESSIONS)
def test_hostile_sessions_become_valid_and_harmless_json(home: Path, name: str) -> None:
    path = put(home, SESSIONS[name](CANARY))
    from rollout import load_history

    history = load_history(path)

    text = "".join(export_json(history))

    assert json.loads(text)["session"]["id"] == history.session_id
    assert UNSAFE.search(text.replace("\n", "")) is None


def test_numbers_without_a_json_form_are_null(home: Path) -> None:
    deep: Any = 1
    for _ in range(1000):
        deep = {"a": [deep]} if _ % 2 else [deep]
    raw = encode([meta(source="WHERE"), *prompt("x"), event("strange")])
    raw = raw.replace(b'"WHERE"', b'[NaN,-Infinity,{"x":' + encode_json([[1]]).encode() + b"}]")
    path = put(home, raw)
    from rollout import load_history

    assert exported(load_history(path))["session"]["source"] == [None, None, {"x": [[1]]}]
    raw = encode([meta(source="WHERE"), *prompt("x")]).replace(b'"WHERE"', b"[" * 900 + b"NaN" + b"]" * 900)
    source = exported(load_history(put(home, raw)))["session"]["source"]
    assert encode_json(source).strip("[]") == "null"


def test_every_field_is_documented(home: Path) -> None:
    named = set(re.findall(r"`(\w+)`", PAGE.read_text()))
    fields: set[str] = set()

    def collect(value: Any, is_open: bool = False) -> None:
        if isinstance(value, dict):
            for key, part in value.items():
                if not is_open:
                    fields.add(key)
                collect(part, key in ("others", "lines", "tools", "source"))
        elif isinstance(value, list):
            for part in value:
                collect(part)

    collect(exported(loaded(home)))

    assert fields - named == set()
