"""
Calls and their outputs in a search, in the forms of each version of Codex, and texts that are not the person's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rollout.search import Filters, Hit, search, update_index
from tests.builders import command as call
from tests.builders import command_output as output
from tests.builders import completed
from tests.builders import output as raw_output
from tests.rollouts import Line, event, item, message, meta, prompt
from tests.search.homes import WAYS, prepare, put_session, session_id, texts


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def put_calls(home: Path, way: str) -> Callable[..., None]:
    """
    Return a function that writes a session with lines, and indexes as much of it as *way* says.
    """

    def put(*lines: Line) -> None:
        put_session(home, 1, [meta(session_id(1)), *lines])
        prepare(way, home)

    return put


def ran(call_id: str, words: str, text: str = "", code: int = 0, **fields: Any) -> Line:
    """
    Return the completed item of a command.
    """
    status = "failed" if code else "completed"
    own = {"command": [words], "aggregated_output": text, "exit_code": code, "status": status}
    return completed("CommandExecution", id=call_id, **{**own, **fields})


def script(*inner: Line, state: str = "completed", said: str = "the script ends") -> list[Line]:
    """
    Return a script of the model, the calls that it makes, and its output.
    """
    began = item("custom_tool_call", name="exec", input="await tools.run()", call_id="s1", status="completed")
    text = f"Script {state}\nWall time 1.0 seconds\nOutput:\n{said}"
    return [began, *inner, item("custom_tool_call_output", call_id="s1", output=text)]


def asked(server: str, tool: str, **fields: Any) -> Line:
    """
    Return the completed item of a call of an MCP server.
    """
    return completed("McpToolCall", id=f"{server}-{tool}", server=server, tool=tool, arguments={"q": "x"}, **fields)


def failed() -> list[str]:
    return texts("", filters=Filters(failed=True))


def tools_of(hits: list[Hit]) -> set[tuple[str, str | None]]:
    return {(hit.text, hit.tool) for hit in hits}


def test_each_failed_call_is_found_once_whatever_lines_state_the_failure(put_calls: Callable[..., None]) -> None:
    put_calls(
        call("shell", "fine", "c0"),
        output("fine", "c0"),
        call("shell", "by output", "c1"),
        output("first", "c1", code=1),
        call("shell", "by event and output", "c2"),
        event("exec_command_end", call_id="c2", exit_code=2, stdout="second", stderr="", aggregated_output="second"),
        output("second", "c2", code=2),
        call("shell", "by item and output", "c3"),
        ran("c3", "by item and output", "third", 3),
        output("third, cut", "c3", code=3),
        call("shell", "that is refused", "c4"),
        raw_output("exec command rejected by user", "c4"),
    )

    assert failed() == ["exec command rejected by user", "first", "second", "third"]


def test_a_failed_call_without_an_output_is_found_by_its_reason(put_calls: Callable[..., None]) -> None:
    put_calls(
        call("shell", "silent", "c1"),
        output("", "c1", code=1),
        call("shell", "silent too", "c2"),
        ran("c2", "silent too", code=2),
        output("", "c2", code=2),
        call("shell", "event alone", "c3"),
        event("exec_command_end", call_id="c3", exit_code=3, stdout="", stderr="", aggregated_output=""),
        asked("files", "read", status="failed", error=None, result=None),
    )

    assert failed() == ["error", "exit code 1", "exit code 2", "exit code 3"]
    assert texts('"exit code 2"') == ["exit code 2"]


def test_an_output_without_its_call_never_failed(put_calls: Callable[..., None]) -> None:
    put_calls(*prompt("go"), output("orphan", "c9", code=1), *prompt("on"))

    assert failed() == []
    assert texts("orphan") == ["orphan"]


def test_each_failed_call_of_a_script_is_found_once(put_calls: Callable[..., None]) -> None:
    put_calls(
        *script(
            ran("e1", "make", "no rule to make it", 2),
            ran("e2", "test", code=1),
            ran("e3", "ls", "a file"),
            asked("files", "read", status="failed", error={"message": "no such folder"}),
            asked("files", "find", status="completed", result={"content": [{"type": "text", "text": "a folder"}]}),
            state="failed",
            said="it threw",
        )
    )

    assert failed() == ["exit code 1", "it threw", "no rule to make it", "no such folder"]


def test_the_input_and_the_output_of_a_call_of_a_script_are_found(put_calls: Callable[..., None]) -> None:
    result = {"content": [{"type": "text", "text": "needle in the result"}]}
    put_calls(
        *script(
            ran("e1", "needle in the command", "needle in the output"),
            asked("files", "read", status="completed", result=result),
        )
    )

    assert texts("needle", filters=Filters(kind="output")) == ["needle in the output", "needle in the result"]
    assert texts("needle", filters=Filters(kind="call")) == ["needle in the command"]
    assert texts("needle", filters=Filters(tool="mcp__files__read")) == ["needle in the result"]


def test_the_output_of_the_user_s_own_command_is_found(put_calls: Callable[..., None]) -> None:
    put_calls(*prompt("go"), ran("u1", "git status", "needle ahead of origin", source="user_shell"), *prompt("on"))

    assert texts("needle") == ["needle ahead of origin"]
    assert texts("", filters=Filters(tool="user_shell")) == ["git status", "needle ahead of origin"]


def test_the_commands_of_a_script_have_the_tool_of_the_model_s_commands(put_calls: Callable[..., None]) -> None:
    put_calls(*script(ran("e1", "make", "no rule", 2)), *prompt("go"))

    assert texts("", filters=Filters(tool="exec_command")) == ["make", "no rule"]
    assert texts("", filters=Filters(tool="shell")) == []
    by_files = tools_of(list(search("make OR rule", use_index=False)))
    assert by_files == {("make", "exec_command"), ("no rule", "exec_command")}
    assert {(text, tool) for text, tool in tools_of(list(search("make OR rule"))) if tool is not None} <= by_files


def test_a_word_of_the_command_excludes_no_output_in_the_same_line(put_calls: Callable[..., None]) -> None:
    put_calls(*prompt("go"), ran("u1", "git status", "needle"), *prompt("on"))

    assert texts("needle -status") == ["needle"]


def test_sessions_with_a_hit_have_all_words_in_one_text(put_calls: Callable[..., None]) -> None:
    put_calls(*prompt("go"), ran("u1", "status", "needle"), *prompt("on"))

    for query, filters in (("status needle", Filters()), ("needle", Filters(kind="call"))):
        assert list(search(query, filters=filters)) == []
        assert list(search(query, filters=filters).sessions()) == []


STANDING = "# AGENTS.md instructions for /x\n\n<INSTRUCTIONS>\nneedle stands here\n</INSTRUCTIONS>"
CONTEXT = "<environment_context>\n  <cwd>/needle</cwd>\n</environment_context>"


def parts(*said: str) -> Line:
    """
    Return a message of the user with several parts.
    """
    return item("message", role="user", content=[{"type": "input_text", "text": text} for text in said])


def test_standing_instructions_in_a_message_of_two_parts_are_not_found(put_calls: Callable[..., None]) -> None:
    put_calls(parts(STANDING, CONTEXT), *prompt("find the needle"))

    assert texts("needle") == ["find the needle"]
    assert texts("", filters=Filters(kind="user")) == ["find the needle"]


def test_words_of_a_person_next_to_standing_instructions_are_found_alone(put_calls: Callable[..., None]) -> None:
    put_calls(*prompt("go"), parts(STANDING, "the needle"), parts("<plan_mode>\nneedle\n</plan_mode>", "a needle"))

    assert texts("needle") == ["a needle", "the needle"]


def test_reasoning_in_paragraphs_is_found_once_by_a_word_of_one_paragraph(put_calls: Callable[..., None]) -> None:
    summary = [{"type": "summary_text", "text": text} for text in ("a needle", "and hay")]
    put_calls(
        *prompt("go"),
        event("agent_reasoning", text="a needle"),
        event("agent_reasoning", text="and hay"),
        item("reasoning", summary=summary),
    )

    assert texts("needle") == ["a needle"]
    assert texts("needle hay") == []


def test_an_error_in_a_review_is_not_an_echo_of_one_before_it(put_calls: Callable[..., None]) -> None:
    put_calls(
        *prompt("go"),
        event("error", message="needle"),
        event("entered_review_mode", prompt="look at it"),
        event("error", message="needle"),
    )

    assert texts("needle") == ["needle", "needle"]


def test_the_same_text_twice_in_one_form_is_found_twice_and_its_echoes_are_not(put_calls: Callable[..., None]) -> None:
    put_calls(
        message("assistant", "needle"),
        event("agent_message", message="needle"),
        message("assistant", "needle"),
        completed("AgentMessage", id="a", content=[{"type": "Text", "text": "needle"}]),
    )

    assert texts("needle") == ["needle", "needle"]
    update_index()
    assert texts("needle") == ["needle", "needle"]
