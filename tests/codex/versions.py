"""
Print a table of what versions of Codex do with a session of the methods for an agent's loop, in both history modes.

By hand: `.venv/bin/python tests/codex/versions.py [VERSION ...]`. npm installs the versions that are missing, about
300 MB each; then a version takes ten seconds.
"""

from __future__ import annotations

import json
import queue
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agent_session import MODES, Mode, record
from driver import Codex, Server
from install import install
from model import Model
from screen import screen_of

from rollout import Recorder

VERSIONS = (
    *("0.36.0", "0.42.0", "0.50.0", "0.66.0", "0.98.0", "0.115.0", "0.128.0", "0.142.5", "0.145.0", "0.153.4"),
    *("0.159.3", "0.169.0", "0.171.0"),
)
LATER = "0.169.0"  # the version that goes on after each of the others
HEAD = (
    "Codex",
    "mode",
    "lists",
    "resumes with the history",
    f"then {LATER} resumes",
    "its server shows",
    "its screen shows",
)

# Words that the model must be sent: of the prompt, the answer, the outputs and the patch.
_HISTORY = ("what is the weather in Paris?", "It is sunny in Paris.", "sunny", "no city", "another note")
# What a server calls an item or an event, and what it is.
_SHOWN = {
    "userMessage": "messages",
    "user_message": "messages",
    "reasoning": "reasoning",
    "agent_reasoning": "reasoning",
    "mcpToolCall": "calls (MCP)",
    "mcp_tool_call_end": "calls (MCP)",
    "dynamicToolCall": "calls",
    "commandExecution": "commands",
    "fileChange": "patches",
    "patch_apply_end": "patches",
}
# What is on the screen, and what it is.
_ON_SCREEN = {
    "It is sunny in Paris.": "messages",
    "LookupError: no city": "calls",
    "echo hi": "commands",
    "+another note": "patches",
    "RuntimeError: the model is gone": "errors",
}


def rows_of(version: str) -> list[str]:
    """
    Return the rows of a version, or the reason why it is not installed.
    """
    problem = install(version)
    if problem:
        return [f"| {version} | not installed: {problem.splitlines()[-1]} |"]
    return [f"| {' | '.join([version, mode, *_cells(version, mode)])} |" for mode in MODES]


def _cells(version: str, mode: Mode) -> Iterator[str]:
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, _model() as model:
        project = Path(folder, "project")
        project.mkdir()
        (project / "note.txt").write_text("a note\n")
        codex = Codex(version, Path(folder, "home"), project, model.url)
        rec = record(codex, mode)
        is_listed, shown = served(codex, rec)
        yield "yes" if is_listed else "no"
        screen = screen_shows(codex, rec)
        done = codex.exec("resume", rec.session_id, "go on")
        sent = json.dumps(model.received)
        yield "yes" if done.returncode == 0 and all(text in sent for text in _HISTORY) else "no"
        later = Codex(LATER, Path(folder, "later"), project, model.url)
        shutil.copytree(codex.home / "sessions", later.home / "sessions")
        yield "yes" if later.exec("resume", rec.session_id, "later").returncode == 0 else "no"
        yield shown
        yield screen


@contextmanager
def _model() -> Iterator[Model]:
    model = Model()
    try:
        yield model
    finally:
        model.close()


def served(codex: Codex, rec: Recorder) -> tuple[bool, str]:
    """
    Return whether a version's server lists the session, and what it shows of it.
    """
    server, is_old = _server(codex)
    lists = [("thread/list", {"limit": 5}), ("listConversations", {"pageSize": 5})]
    resumes = [("thread/resume", {"threadId": rec.session_id}), ("resumeConversation", {"path": str(rec.path)})]
    with server:
        pages, session = _first(server, lists[is_old:]), _first(server, resumes[is_old:])
    if "thread" in session:
        shown = [item for turn in session["thread"]["turns"] for item in turn["items"]]
    else:
        shown = session.get("initialMessages") or []
    return rec.session_id in json.dumps(pages), _joined(_SHOWN.get(item["type"]) for item in shown)


def _server(codex: Codex) -> tuple[Server, bool]:
    """
    Return the server, and whether it is that before 0.44, which does not answer to methods of the newer one.
    """
    # Before 0.44 the name of the newer one is a prompt.
    with suppress(AssertionError, OSError, ValueError, queue.Empty):
        return codex.app_server(), False
    return codex.mcp(), True


def _first(server: Server, calls: list[tuple[str, Any]]) -> Any:
    """
    Return the answer of the first method that a server knows.
    """
    for method, params in calls:
        with suppress(AssertionError):
            return server.call(method, params)
    return {}


def screen_shows(codex: Codex, rec: Recorder) -> str:
    screen = screen_of(codex, rec.session_id, until="and now fail")
    return _joined(name for text, name in _ON_SCREEN.items() if text in screen)


def _joined(names: Any) -> str:
    return ", ".join(dict.fromkeys(name for name in names if name)) or "nothing"


def main() -> None:
    """
    Print the table, two versions at a time.
    """
    print("| " + " | ".join(HEAD) + " |\n" + "|---" * len(HEAD) + "|", flush=True)
    with ThreadPoolExecutor(2) as pool:
        for rows in pool.map(rows_of, sys.argv[1:] or VERSIONS):
            print("\n".join(rows), flush=True)


if __name__ == "__main__":
    main()
