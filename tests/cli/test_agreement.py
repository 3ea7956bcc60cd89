"""
All views of a session agree: on its title, and on the number of its failed calls.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from rollout.search import update_index
from tests.builders import call, command, command_output, completed, make_old, output, script, script_output
from tests.cli.conftest import Run
from tests.rollouts import ID, Line, answer, encode, event, item, message, meta, prompt, put, surroundings

pytest.importorskip("flask", reason="the viewer needs flask")

from rollout.web._app import make_app
from rollout.web._context import Site

IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}
INSTRUCTIONS = {"text": "You are a coding agent."}
AGENTS = "# AGENTS.md instructions for /demo\n\n<INSTRUCTIONS>\nUse tabs.\n</INSTRUCTIONS>"
ENVIRONMENT = "<environment_context>\n  <cwd>/demo</cwd>\n</environment_context>"
WORDS = "of this " * 30
EDITOR = "# Context from my IDE setup:\n\n## Open tabs:\n- a.py\n\n## My request for Codex:\n"


def user(*texts: str | dict[str, str]) -> Line:
    content = [{"type": "input_text", "text": text} if isinstance(text, str) else text for text in texts]
    return item("message", role="user", content=content)


def mcp_call(number: int, result: dict[str, Any]) -> list[Line]:
    invocation = {"server": "gh", "tool": "list", "arguments": {}}
    return [
        call("mcp__gh__list", {}, f"m{number}"),
        event("mcp_tool_call_end", call_id=f"m{number}", invocation=invocation, result=result, duration_ms=5),
        output("text", f"m{number}"),
    ]


# For each session its lines, its title, and the number of its failed calls.
SESSIONS: dict[str, tuple[list[Line], str | None, int]] = {
    "2025": ([surroundings(), *prompt("Fix the parser"), *answer("Done")], "Fix the parser", 0),
    "code mode": (
        [
            event("task_started", turn_id="t"),
            message("developer", "orders"),
            *prompt("Build it"),
            script("await tools.exec_command({cmd: 'make'})"),
            completed("CommandExecution", id="x1", command=["make"], exit_code=2, status="failed"),
            completed("CommandExecution", id="x2", command=["ls"], exit_code=0, aggregated_output="a"),
            completed("McpToolCall", id="x3", server="gh", tool="get", status="failed", error={"message": "no"}),
            script_output("completed", "done"),
            script("throw 1", "s2"),
            script_output("failed", "Error: 1", call_id="s2"),
            event("task_complete", turn_id="t", last_agent_message=None),
        ],
        "Build it",
        3,
    ),
    "MCP error": (
        [
            *prompt("Ask the server"),
            *mcp_call(1, {"Ok": {"content": [{"type": "text", "text": "no"}], "isError": True}}),
            *mcp_call(2, {"Ok": {"content": [{"type": "text", "text": "yes"}]}}),
            *mcp_call(3, {"Err": "connection closed"}),
        ],
        "Ask the server",
        2,
    ),
    "a command fails without output": (
        [
            *prompt("Run it"),
            command("shell", "false"),
            command_output("", code=1),
            call("exec_command", {"cmd": "false"}, "e1"),
            completed("CommandExecution", id="e1", command="false", exit_code=1, status="failed", aggregated_output=""),
            output("", "e1"),
        ],
        "Run it",
        2,
    ),
    "a call fails without output": (
        [*prompt("Draw it"), item("image_generation_call", id="i", status="failed", revised_prompt="a cat")],
        "Draw it",
        1,
    ),
    "an output without a call": ([*prompt("Go on"), command_output("no", "gone", code=1)], "Go on", 0),
    "the words of a failure in a file": (
        [*prompt("Read it"), command("shell", "cat log"), command_output("error: aborted by user")],
        "Read it",
        0,
    ),
    "IDE context": ([*prompt(f"{EDITOR}Rename the\nhelper\n"), *answer("Done")], "Rename the helper", 0),
    "a context of two parts": (
        [user(AGENTS, ENVIRONMENT), event("task_started"), *prompt("Why is it red?"), *answer("Because")],
        "Why is it red?",
        0,
    ),
    "a context in the same message": ([user(ENVIRONMENT, "Why is it red?"), *answer("Because")], "Why is it red?", 0),
    "image with words": ([user("<image>", IMAGE, "</image>", "What is this?"), *answer("A cat")], "What is this?", 0),
    "image before words": ([user(IMAGE), *answer("A cat"), *prompt("Are you sure?")], "Are you sure?", 0),
    "only an image": ([user(IMAGE), *answer("A cat")], None, 0),
    "no prompt": ([message("assistant", "hello")], None, 0),
    "long": ([*prompt("Why?\n\n\tBecause  " + WORDS), *answer("No")], f"Why? Because {WORDS[:106].rstrip()}…", 0),
    "goal": (
        [event("task_started"), event("thread_goal_updated", goal={"objective": "Ship it"}), *answer("Done")],
        "Ship it",
        0,
    ),
    "a message of the developer before the prompt": (
        [event("task_started"), message("developer", "orders"), surroundings(), *prompt("Fix it"), *answer("Done")],
        "Fix it",
        0,
    ),
}


@pytest.fixture(params=SESSIONS)
def session(request: pytest.FixtureRequest, home: Path) -> tuple[Path, str | None, int]:
    lines, title, failures = SESSIONS[request.param]
    return make_old(put(home, [meta(base_instructions=INSTRUCTIONS), *lines])), title, failures


@pytest.fixture(autouse=True)
def large_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("LINES", "100000")


def client(home: Path) -> Callable[[str], str]:
    visitor = make_app(Site(home)).test_client()
    return lambda path: visitor.get(path).text


def between(text: str, begin: str, end: str) -> str:
    return unescape(text.partition(begin)[2].partition(end)[0])


def first_line(text: str, mark: str = "") -> str:
    """
    Return the title with which a transcript begins; the id if it begins with its facts.
    """
    line = text.partition("\n")[0].removeprefix(mark)
    return ID if line.split() == ["id", ID] else line


def drawn_title(text: str) -> str:
    """
    Return the title in the panel with which a session begins at a terminal; the id if there is none.
    """
    lines = [line.strip("│ ") for line in text.splitlines()[1:]]
    end = next(number for number, line in enumerate(lines) if line.split() == ["id", ID])
    return " ".join(lines[:end]) or ID


def test_the_title_is_the_same_in_every_view(home: Path, run: Run, session: tuple[Path, str | None, int]) -> None:
    ask, (_, title, _) = client(home), session

    exports = {form: run("export", ID, "--to", form, "-o", "-").out for form in ("text", "markdown", "html")}
    titles = {
        "show": first_line(run("show", ID).out),
        "show --full": first_line(run("show", ID, "--full").out),
        "show at a terminal": drawn_title(run("show", ID, screen=True).text),
        "text": first_line(exports["text"]),
        "Markdown": first_line(exports["markdown"], "# "),
        "title of HTML": between(exports["html"], "<title>", "</title>"),
        "head of HTML": between(exports["html"], "<h1>", "</h1>"),
        "JSON": run("export", ID, "--to", "json", "-o", "-").json["session"]["title"],
        "page of the viewer": between(ask(f"/s/{ID}"), "<title>", " · rollout</title>"),
        "head in the viewer": between(ask(f"/s/{ID}"), "<h1>", "</h1>"),
    }

    assert titles == dict.fromkeys(titles, title or ID)


@pytest.mark.parametrize("is_indexed", [False, True])
def test_the_title_is_the_same_in_every_list(
    home: Path, run: Run, session: tuple[Path, str | None, int], is_indexed: bool
) -> None:
    if is_indexed:
        update_index(home=home)
    ask, (_, title, _) = client(home), session

    titles = {
        "list": run("list").rows[0][3] or None,
        "list --json": run("list", "--json").json["sessions"][0]["title"],
        "list --branch": run("list", "--cwd", "/home/dev/demo", "--fields", "title").out.rstrip("\n") or None,
        "list of the viewer": between(re.sub('<a class="about"[^>]*>', "<a>", ask("/")), "<a>", "</a>"),
        "filtered list of the viewer": between(
            re.sub('<a class="about"[^>]*>', "<a>", ask("/?originator=codex")), "<a>", "</a>"
        ),
    }

    pages = {name: title or "No prompt" for name in titles if name.endswith("viewer")}
    assert titles == dict.fromkeys(titles, title) | pages


def failures_in(stats: dict[str, Any]) -> int:
    return sum(tool["failures"] for tool in stats["tools"].values())


@pytest.mark.parametrize("is_indexed", [False, True])
def test_the_number_of_failures_is_the_same_in_every_view(
    home: Path, run: Run, session: tuple[Path, str | None, int], is_indexed: bool
) -> None:
    if is_indexed:
        update_index(home=home)
    _, _, failures = session

    exported = run("export", ID, "--to", "json", "-o", "-").json
    markdown = run("export", ID, "--to", "markdown", "-o", "-").out
    calls = [one["call"] for turn in exported["turns"] for one in turn["items"] if one["call"]]
    counts = {
        "stats": failures_in(run("stats", ID, "--json").json["stats"]),
        "stats of all": failures_in(run("stats", "--json").json["stats"]),
        "stats --by": sum(group["failures"] for group in run("stats", "--by", "tool", "--json").json["groups"]),
        "export": failures_in(exported["stats"]),
        "calls": sum(one["is_failed"] for one in calls),
        "reasons": sum(one["failure"] != "" for one in calls),
        "search": len(run("search", "--failed", "--all", "--json").json["hits"]),
        "page": run("export", ID, "--to", "html", "-o", "-").out.count('<article class="item call failed"'),
        "terminal": run("show", ID, "--full", screen=True).text.count("✗"),
        "Markdown": len(re.findall("^#+ `.*` failed", markdown, re.MULTILINE)),
        "transcript": len(re.findall(r"^output .* failed  ", run("show", ID).out, re.MULTILINE)),
    }

    assert counts == dict.fromkeys(counts, failures)


def test_the_number_of_calls_is_the_same_in_the_statistics_and_by_turn(
    home: Path, run: Run, session: tuple[Path, str | None, int]
) -> None:
    stats = run("stats", ID, "--json").json["stats"]

    rows = re.findall(r"<tr>(<th scope=\"row\"><a .*?)</tr>", client(home)(f"/s/{ID}/stats"), re.DOTALL)
    cells = [re.findall(r"<td>([^<]*)</td>", row)[-2:] for row in rows]
    counts = [sum(int(count or 0) for count in column) for column in zip(*cells, strict=True)] or [0, 0]

    assert counts == [sum(tool["calls"] for tool in stats["tools"].values()), failures_in(stats)]


def test_an_incomplete_last_line_changes_neither_title_nor_failures(home: Path, run: Run) -> None:
    lines, title, failures = SESSIONS["code mode"]
    put(home, encode([meta(base_instructions=INSTRUCTIONS), *lines]) + b'{"timestamp":"2026')

    assert run("list").rows[0][3] == title
    assert run("export", ID, "--to", "json", "-o", "-").json["session"]["title"] == title
    assert len(run("search", "--failed", "--json").json["hits"]) == failures
