"""
A home full of hostile names, texts, files and links, read and changed by every command.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from rollout.codec import encode_json
from rollout.search import update_index
from rollout.stats import GROUPS
from tests.bad_files import CORPUS
from tests.cli.conftest import Done, Run
from tests.hostile import EVIL
from tests.rollouts import ID, bare_session, encode, put

# Escape sequences of the command itself at a terminal: colours, and the progress bar of rich.
_OWN = re.compile(r"\x1b\[(?:\?25[lh]|[\d;]*m|1A|2K)|\r(?=\x1b\[2K|\n|\x1b\[1A|$)")
_RAW = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0041]"
)


def session_id(number: int) -> str:
    return f"{ID[:-4]}{number:04x}"


def evil(**fields: Any) -> dict[str, Any]:
    return {key: EVIL if value is None else value for key, value in fields.items()}


def lines_of_every_kind(own_id: str) -> list[tuple[str, dict[str, Any]]]:
    content = [
        {"type": "input_text", "text": EVIL},
        {"type": "output_text", "text": EVIL},
        {"type": EVIL, "text": EVIL},
    ]
    git = evil(commit_hash=None, branch=None, repository_url=None)
    meta = evil(
        id=own_id, timestamp=None, cwd=f"/{EVIL}/{EVIL}", originator=None, cli_version=None, source=None, git=git
    )
    items = [
        *(evil(type="message", role=role, content=content) for role in ("user", "assistant", "developer", EVIL)),
        evil(type="reasoning", summary=[{"type": "summary_text", "text": EVIL}], content=[{"text": EVIL}]),
        evil(type="function_call", name=None, arguments=None, call_id="1"),
        evil(type="function_call", name=None, arguments=encode_json({"command": [EVIL], "workdir": EVIL}), call_id="2"),
        evil(type="function_call_output", call_id="1", output=None),
        evil(
            type="function_call_output", call_id="2", output=encode_json({"output": EVIL, "metadata": {"exit_code": 1}})
        ),
        evil(type="custom_tool_call", name=None, input=None, call_id="3"),
        evil(type="custom_tool_call_output", call_id="3", output=None),
        evil(type="local_shell_call", call_id="4", status=None, action={"type": "exec", "command": [EVIL]}),
        evil(type="web_search_call", id=None, action={"type": "search", "query": EVIL}),
        evil(type="image_generation_call", id=None, revised_prompt=None, result=None),
        evil(type="agent_message", content=content),
        evil(type=EVIL, x=None),
    ]
    kinds = (
        "user_message",
        "agent_message",
        "agent_reasoning",
        "error",
        "turn_aborted",
        "token_count",
        "mcp_tool_call_end",
    )
    events = [
        *(evil(type=kind, message=None, text=None, kind=None, reason=None, turn_id=None) for kind in (*kinds, EVIL)),
        {"type": "item_completed", "item": {"type": "UserMessage", "content": [{"type": "text", "text": EVIL}]}},
        {"type": "thread_goal_updated", "goal": {"objective": EVIL}},
        {"type": "exited_review_mode", "review_output": {"overall_explanation": EVIL, "findings": [{"title": EVIL}]}},
        {"type": "exec_command_end", "call_id": "1", "stdout": EVIL, "command": [EVIL], "exit_code": 10**30},
        {"type": "token_count", "info": {"total_token_usage": {"total_tokens": 10**400, "input_tokens": -(10**30)}}},
        {"type": "task_complete", "turn_id": EVIL, "duration_ms": 1e308, "started_at": -1e308},
    ]
    return [
        ("session_meta", meta),
        *(("response_item", item) for item in items),
        *(("event_msg", event) for event in events),
        ("turn_context", evil(cwd=None, model=None, approval_policy=None)),
        ("compacted", evil(message=None, replacement_history=[{"type": EVIL, "content": EVIL}])),
        ("world_state", {"full": True, "state": {EVIL: EVIL}}),
        (EVIL, evil(x=None)),
    ]


def raw_evil(own_id: str) -> bytes:
    rows = [
        {"timestamp": EVIL if number % 2 else "2026-11-21T01:25:37.122Z", "type": kind, "payload": payload}
        for number, (kind, payload) in enumerate(lines_of_every_kind(own_id))
    ]
    # Escaped as JSON escapes all that is not ASCII: all of it reaches the reader.
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def make_hostile(root: Path) -> Path:
    """
    Create a folder with a home and the targets of its links.
    """
    home, outside = root / "home", root / "outside"
    put(home, raw_evil(session_id(0)), session_id=session_id(0), timestamp="2026-11-21T23-00-00")
    for number, data in enumerate([*CORPUS.values(), bare_session(EVIL.replace("\udc9b\ud800", ""))], 1):
        put(home, data, session_id=session_id(number), timestamp=f"2026-11-{1 + number % 20:02d}T01-25-37")
    names = iter(range(100, 200))
    put(home, b"damaged", session_id=session_id(next(names)), suffix=".zst")
    put(home, b"\x28\xb5\x2f\xfd" + b"\xff" * 50, session_id=session_id(next(names)), suffix=".zst")
    put(home, raw_evil(session_id(300)), session_id=session_id(300), folder=home / "archived_sessions")
    put(home, raw_evil(session_id(301)), session_id=session_id(301), folder=home / "deleted_sessions")
    _strange_files(home, names)
    _links(home, outside, names)
    index = home / "session_index.jsonl"
    rows = [(session_id(0), EVIL), (EVIL, "named"), (session_id(1), "x" * 100_000), (session_id(2), "a\nb")]
    index.write_bytes(b"".join(_index_row(*row) for row in rows) + b"garbage\n\xff\xfe\n[]\n" + b"{" * 10_000)
    return root


def _index_row(own_id: str, name: str) -> bytes:
    return json.dumps({"id": own_id, "thread_name": name, "updated_at": EVIL}).encode() + b"\n"


def _strange_files(home: Path, names: Iterator[int]) -> None:
    day = home / "sessions/2026/11/21"

    def name() -> str:
        return f"rollout-2026-11-21T01-25-37-{session_id(next(names))}.jsonl"

    os.mkfifo(day / name())
    (day / name()).mkdir()
    (day / name()).write_bytes(b"")
    secret = day / name()
    secret.write_bytes(b"{}")
    secret.chmod(0)
    for bad in (b"rollout-\x1b[2J.jsonl", b"\x1b]0;owned\x07", b"\xff\xfe.jsonl", b"rollout-.jsonl.zst", b"-rf"):
        Path(os.fsdecode(os.fsencode(day) + b"/" + bad)).write_bytes(b"{}")
    (home / "sessions" / "\x1b[2J").mkdir()
    (home / "sessions" / ("9" * 200)).mkdir()
    (home / "sessions" / "2024").write_text("no folder")


def _links(home: Path, outside: Path, names: Iterator[int]) -> None:
    real = put(outside, encode([("session_meta", {"id": session_id(200), "timestamp": "t", "cwd": "/"})]))
    named = f"rollout-2026-11-21T01-25-37-{session_id(next(names))}.jsonl"
    (home / "sessions/2026/11/21" / named).symlink_to(real)
    (home / "archived_sessions" / named).symlink_to(real)
    (home / "deleted_sessions" / named).symlink_to(real)
    (home / "sessions/2026/11/22").symlink_to(real.parent)
    (home / "sessions/2023").symlink_to(outside / "sessions/2026")
    (home / "sessions/2022").symlink_to(home / "sessions")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hostile(tmp_path_factory.mktemp("hostile"))


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        found[str(path)] = (status.st_mode, status.st_mtime_ns, path.read_bytes() if path.is_file() else b"")
    return found


READING_COMMANDS = [
    *(
        ["list", *args]
        for args in ([], ["--all"], ["--archived"], ["--sort", "updated"], ["--since", "100w", "--cwd", "/"])
    ),
    *(["show", session, *args] for session in (session_id(0), "@last") for args in ([], ["--full"], ["--redact"])),
    *(["follow", session_id(0), "--from-start", "--timeout", "0", *args] for args in ([], ["--full"])),
    *(
        ["search", *args]
        for args in (["tail"], ["evil", "--all"], ["tail", "-l"], ["--failed"], ["link", "--no-index"])
    ),
    *(["stats", *args] for args in ([], [session_id(0)], ["--archived"], ["--since", "100w", "--until", "1h"])),
    *(["stats", "--by", by] for by in GROUPS),
    *(["storage", *args] for args in ([], [session_id(0)])),
    *(["verify", *args] for args in (["--all"], ["--all", "--secrets"], [session_id(0)])),
    *(["path", session_id(0)], ["name", session_id(0)], ["doctor"], ["index", "--status"], ["restore", "--list"]),
    *(["repair", session_id(0), "--dry-run"], ["show", EVIL.replace("\x00", "").encode("utf-8", "replace").decode()]),
    *(["fork", session_id(0), "--dry-run"], ["compress", "--all", "--dry-run", "--older-than", "0"]),
]
WITH_FIELDS = {"list", "show", "search"}
WITH_JSON = {
    *WITH_FIELDS,
    "stats",
    "storage",
    "verify",
    "name",
    "doctor",
    "index",
    "restore",
    "repair",
    "fork",
    "compress",
}


def forms(args: list[str]) -> Iterator[list[str]]:
    yield args
    if args[0] in WITH_JSON:
        yield [*args, "--json"]
    if args[0] in {*WITH_FIELDS, "follow"}:
        yield [*args, "--jsonl"]
    if args[0] in WITH_FIELDS:
        yield [
            *args,
            "--fields",
            "id,path" if "-l" in args else {"show": "timestamp,type,payload"}.get(args[0], "id,path"),
        ]


def check_harmless(done: Done, args: list[str]) -> None:
    assert "Traceback" not in done.err + done.out, args
    assert done.status in (0, 1, 2, 3, 4), (args, done.err[-500:])
    assert _RAW.findall(_OWN.sub("", done.out)) == [], args
    assert _RAW.findall(_OWN.sub("", done.err)) == [], args


@pytest.fixture(params=["scanned", "indexed"])
def hostile_home(hostile: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODEX_HOME", os.fspath(hostile / "home"))
    if request.param == "indexed":
        update_index(home=hostile / "home")
    return hostile


@pytest.mark.promise("shown")
@pytest.mark.parametrize(
    "args", READING_COMMANDS, ids=lambda args: " ".join(args)[:40].encode("ascii", "ignore").decode()
)
def test_reading_commands_escape_control_characters(hostile_home: Path, run: Run, args: list[str]) -> None:
    before = snapshot(hostile_home)

    for form, screen in product(forms(args), (False, True)):
        check_harmless(run(*form, screen=screen), form)

    after = snapshot(hostile_home)
    # Updating an index changes nothing in the home.
    assert after == before


@pytest.mark.promise("shown")
@pytest.mark.parametrize(
    "args",
    [
        *(["list"], ["show", session_id(0), "--full"], ["search", "tail"], ["verify", "--all"], ["stats"], ["storage"]),
        *(["stats", "--by", by] for by in GROUPS),
        *(["doctor"], ["restore", "--list"], ["follow", session_id(0), "--from-start", "--timeout", "0", "--jsonl"]),
        ["list", "--json"],
    ],
    ids=" ".join,
)
def test_a_terminal_gets_no_escape_sequences_but_colors(
    hostile: Path, terminal: Run, monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    monkeypatch.setenv("CODEX_HOME", os.fspath(hostile / "home"))

    check_harmless(terminal(*args, env={"PAGER": "cat"}), args)


@pytest.mark.promise("shown")
def test_another_process_escapes_control_characters(
    hostile: Path, rollout: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEX_HOME", os.fspath(hostile / "home"))

    for args in (["list", "--all"], ["show", session_id(0)], ["search", "tail"], ["verify", "--all", "--json"]):
        check_harmless(rollout(*args), args)


CHANGING_COMMANDS = [
    *(["archive", session_id(n)] for n in (0, 1, 5)),
    *(["unarchive", session_id(300)], ["delete", "-y", session_id(0), session_id(2)], ["restore", session_id(301)]),
    *(["delete", "-y", "--permanently", session_id(301)], ["name", session_id(3), EVIL.replace("\x00", "x")]),
    *(
        ["name", session_id(0), "--clear"],
        ["compress", "--all", "--older-than", "0"],
        ["index"],
        ["index", "--rebuild"],
    ),
    *(["compress", "--all", "--undo"], ["fork", session_id(0)], ["repair", session_id(0)], ["index", "--delete"]),
    *(["record", "--resume", session_id(0)], ["archive", "@1", "@2", "@3"]),
    *(["fork", session_id(n)] for n in (1, 4, 10, 30)),
    *(["repair", session_id(n)] for n in (1, 4, 10, 30)),
]


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_changing_commands_change_nothing_outside_the_home(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, form: list[str]
) -> None:
    root = make_hostile(tmp_path / "hostile")
    monkeypatch.setenv("CODEX_HOME", os.fspath(root / "home"))
    before = snapshot(root / "outside")

    for args in CHANGING_COMMANDS:
        own_form = [] if args[0] == "record" else form
        check_harmless(run(*args[:1], *own_form, *args[1:], screen=not form), args)

    assert snapshot(root / "outside") == before
    assert {path.name for path in root.iterdir()} == {"home", "outside"}


def links_in(home: Path) -> list[str]:
    found = [path for path in home.rglob("rollout-*") if path.is_symlink()]
    return [*map(str, found), *(str(path) for path in (home / "sessions/2026/11/22").iterdir())]


@pytest.mark.parametrize("command", ["archive", "unarchive", "delete", "restore", "compress", "name", "fork", "repair"])
def test_a_path_with_a_link_changes_nothing_outside_the_home(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    root = make_hostile(tmp_path / "hostile")
    monkeypatch.setenv("CODEX_HOME", os.fspath(root / "home"))
    before = snapshot(root / "outside")

    for path in links_in(root / "home"):
        options = {"delete": ["-y"], "compress": ["--older-than", "0"]}.get(command, [])
        check_harmless(run(command, *options, path, *(["x"] if command == "name" else [])), [command, path])

    assert snapshot(root / "outside") == before


def test_commands_handle_lines_of_ten_megabytes(home: Path, run: Run) -> None:
    said = ("event_msg", {"type": "user_message", "message": "tail " + "y" * 10_000_000})
    put(home, b'{"timestamp":"' + b"x" * 10_000_000 + b"\n" + encode([said]))

    for args in (["list"], ["show", ID], ["verify", ID], ["search", "tail"], ["stats"], ["index"], ["doctor"]):
        check_harmless(run(*args), args)
