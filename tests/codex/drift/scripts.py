"""
A model whose answers the prompt asks for: after ``[[shell,patch]]`` it calls the shell, then a patch, then answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from threading import Event, Lock
from typing import Any

from mcp_server import PIXEL
from model import Item, Model, assistant_message, function_call, shell_call

_SCRIPT = re.compile(r"\[\[(.*?)\]\]", re.DOTALL)
_PATCH = "*** Begin Patch\n*** Add File: note%d.txt\n+hi café ☃\n*** End Patch"
_BAD_PATCH = "*** Begin Patch\n*** Update File: nosuch.txt\n@@\n-a\n+b\n*** End Patch"
# Longer than the time until the scenario interrupts the turn.
_HANG_SECONDS = 20
_COMMANDS = {
    "shell": "echo hello && ls",
    "fail": "echo boom >&2; exit 3",
    "long": "seq 1 20000",
    "weird": "printf '\\033[31mred\\033[0m <b> \\0 \\x80 caf\\xc3\\xa9 \\r\\n\\t\\342\\200\\250'",
    "slow": "sleep 30",
}
# Programs for the models that run code instead of calling tools.
_CODE = {
    "code": "const r = await tools.exec_command({cmd: 'echo from code && ls'}); text(r.output);",
    "code fails": "const r = await tools.exec_command({cmd: 'exit 3'}); text(r);",
    "code patches": "text(await tools.apply_patch('*** Begin Patch\\n*** Add File: a%d.txt\\n+hi\\n*** End Patch'));",
    "code calls mcp": "text(await tools.mcp__demo__echo({text: 'hi mcp'}));",
    "code shows mcp": "const r = await tools.mcp__demo__picture({}); image(r.content[0]);",
    "code fails mcp": "text(await tools.mcp__demo__failing({}));",
    "code throws": "throw new Error('the program broke')",
    "code notifies": "notify('half way'); await tools.exec_command({cmd: 'sleep 0.3'}); text('end');",
    "code is parallel": (
        "text(await Promise.all([tools.exec_command({cmd: 'echo one'}), tools.exec_command({cmd: 'exit 1'})]));"
    ),
    "code looks up": "text(await tools.lookup_ticket({id: 'A1'}));",
    "code sets a goal": (
        "text(await tools.create_goal({objective: 'make it so', token_budget: 900000}));"
        " text(await tools.update_goal({status: 'complete'}));"
    ),
    "code plans": "text(await tools.update_plan({plan: [{step: 'a', status: 'in_progress'}]}));",
    "code reads resources": "text(await tools.read_mcp_resource({server: 'demo', uri: 'demo://r'}));",
}
CODE_STEPS = tuple(_CODE)


class ScriptedModel(Model):
    """
    A model that follows the script in the last prompt that has one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.released = Event()
        self._lock = Lock()
        self._count = 0

    def close(self) -> None:
        """
        Stop the server, also while an answer waits.
        """
        self.released.set()
        super().close()

    def answer(self, request: dict[str, Any]) -> bytes:
        """
        Return the answer to a request as a stream of events.
        """
        with self._lock:
            self._count += 1
            number = self._count
        script, done, last = _script_in(request.get("input") or [])
        step = script[done] if done < len(script) else None
        if step == "hang":
            self.released.wait(_HANG_SECONDS)
            step = None
        if step == "cut":
            self.received.append(request)
            return b""
        thoughts = {"type": "summary_text", "text": "**Planning** the next step, naïve ☃"}
        reasoning = {"type": "reasoning", "id": f"rs_{number}", "summary": [thoughts], "encrypted_content": "gAAAA" * 9}
        is_compaction = (request.get("input") or [{}])[-1].get("type") == "compaction_trigger"
        if is_compaction:
            items = _FREE["compaction"](number)
        else:
            items = [reasoning, *(_final(number, request, last) if step is None else _items(step, number, request))]
        with self._lock:
            self.answers = [items]
            return super().answer(request)


def _script_in(items: list[Item]) -> tuple[list[str], int, str]:
    """
    Return the steps of the last script, how many of them have been answered, and the last text of a user.
    """
    steps: list[str] = []
    done: set[str] = set()
    last = ""
    for item in items:
        kind = item.get("type")
        if kind == "agent_message" or (kind == "message" and item.get("role") == "user"):
            last = "".join(part.get("text") or part.get("encrypted_content") or "" for part in item["content"])
            found = _SCRIPT.search(last)
            if found:
                steps, done = [step.strip() for step in found[1].split(",")], set()
        elif str(kind).endswith("_output"):
            # The calls of one answer have the number of the request in common.
            done.add(str(item.get("call_id")).partition("_")[0])
    return steps, len(done), last


def _final(number: int, request: dict[str, Any], last: str) -> list[Item]:
    text = f"Done: {last[-60:]}"
    if "overall_correctness" in json.dumps(request):
        place = {"absolute_file_path": "/x.py", "line_range": {"start": 1, "end": 2}}
        finding = {"title": "[P1] bug", "body": "why", "confidence_score": 0.8, "priority": 1, "code_location": place}
        text = json.dumps({
            "findings": [finding], "overall_correctness": "patch is incorrect", "overall_explanation": "because",
            "overall_confidence_score": 0.7,
        })  # fmt: skip
    if "plan mode" in last:
        text = "Here:\n<proposed_plan>\n# Plan\n- one\n</proposed_plan>\n"
    return [{**assistant_message(text), "id": f"msg_{number}"}]


def _items(step: str, number: int, request: dict[str, Any]) -> list[Item]:
    """
    Return the items of one step; without a call, a plan follows, so that the model is asked again.
    """
    if step in _CODE:
        code = _CODE[step].replace("%d", str(number))
        return [_custom("exec", code, number, namespace="functions")]
    if step in _COMMANDS:
        return [_command(_COMMANDS[step], number, _tools_of(request))]
    if step in _FREE:
        return [*_FREE[step](number), _call("update_plan", {"plan": []}, number)]
    return _CALLS[step](number, _tools_of(request), request)


def _tools_of(request: dict[str, Any]) -> dict[str, str | None]:
    """
    Return the names of all tools of a request, each with its namespace.
    """
    found: dict[str, str | None] = {}
    lists = [request.get("tools") or []]
    lists += [item.get("tools") or [] for item in request.get("input") or [] if item.get("type") == "additional_tools"]
    for tool in (tool for tools in lists for tool in tools):
        if tool.get("type") == "namespace":
            found.update((inner.get("name"), tool.get("name")) for inner in tool.get("tools") or [])
        else:
            found[tool.get("name") or tool.get("type")] = None
    return found


def _call(name: str, arguments: Item, number: int, namespace: str | None = None, **more: Any) -> Item:
    found = {**function_call(name, arguments, f"{number}_{name}"), "id": f"fc_{number}_{name}", **more}
    return {**found, "namespace": namespace} if namespace else found


def _custom(name: str, text: str, number: int, **more: Any) -> Item:
    known = {"type": "custom_tool_call", "id": f"ctc_{number}", "name": name, "input": text, "status": "completed"}
    return {**known, "call_id": f"{number}_{name}", **more}


def _command(command: str, number: int, tools: dict[str, str | None]) -> Item:
    if "exec_command" in tools:
        return _call("exec_command", {"cmd": command}, number)
    if "exec" in tools:
        code = f"const r = await tools.exec_command({{cmd: {json.dumps(command)}}}); text(r.output);"
        return _custom("exec", code, number, namespace="functions")
    if "shell_command" in tools:
        return _call("shell_command", {"command": command}, number)
    return _call("shell", {"command": ["bash", "-lc", command]}, number)


def _tool(name: str, **arguments: Any) -> Callable[..., list[Item]]:
    def items(number: int, tools: dict[str, str | None], request: dict[str, Any]) -> list[Item]:
        found = name if name in tools else next((tool for tool in tools if tool and tool.endswith(name)), name)
        return [_call(found, {**arguments, **_agent_in(request)}, number, tools.get(found))]

    return items


def _agent_in(request: dict[str, Any]) -> dict[str, Any]:
    """
    Return the arguments by which tools name the agent that was started last.
    """
    text = json.dumps(request.get("input"))
    ids = re.findall(r'\\"agent_id\\":\s*\\"([0-9a-f-]+)\\"', text)
    ids += re.findall(r'\\"task_name\\":\s*\\"(/[^"\\]+)\\"', text)
    return {"id": ids[-1], "target": ids[-1], "ids": ids[-1:], "targets": ids[-1:]} if ids else {}


def _search(kind: str, number: int, **more: Any) -> Item:
    return {"type": kind, "id": f"ts_{number}", "call_id": None, "status": "completed", "execution": "server", **more}


_CALLS: dict[str, Callable[..., list[Item]]] = {
    "patch": lambda number, *_: [_custom("apply_patch", _PATCH % number, number)],
    "bad patch": lambda number, *_: [_custom("apply_patch", _BAD_PATCH, number)],
    "local": lambda number, *_: [{**shell_call("echo local", f"{number}_local"), "id": f"lsh_{number}"}],
    "plan": _tool("update_plan", explanation="why", plan=[{"step": "look", "status": "completed"}]),
    "view": _tool("view_image", path="dot.png"),
    "mcp": _tool("echo", text="hi mcp"),
    "mcp picture": _tool("picture"),
    "mcp fails": _tool("failing"),
    "look up": _tool("lookup_ticket", id="A1"),
    "ask": _tool("request_user_input", questions=[
        {"id": "q1", "header": "Pick", "question": "which?", "options": [
            {"label": "A (Recommended)", "description": "a"}, {"label": "B", "description": "b"},
        ]},
    ]),
    "goal": _tool("create_goal", objective="make it so"),
    "goal done": _tool("update_goal", status="complete"),
    "permissions": _tool("request_permissions", reason="need", permissions={"network": {"enabled": True}}),
    "unknown tool": _tool("no_such_tool", a=1),
    "bad arguments": lambda number, *_: [{**_call("update_plan", {}, number), "arguments": "{not json"}],
    "encrypted": lambda number, *_: [
        _call("update_plan", {"plan": []}, number, encrypted_content="gAAAA", encrypted_function_args=["plan"]),
        {**assistant_message("hidden"), "id": f"msg_{number}", "encrypted_content": "gAAAA", "phase": "commentary"},
    ],
    "search tools": lambda number, *_: [
        _search("tool_search_call", number, call_id=f"{number}_search", execution="client", arguments={"query": "e"}),
    ],
    "start agent": _tool("spawn_agent", message="child says [[shell]] hi", task_name="child", fork_turns="none"),
    "fork agent": _tool("spawn_agent", message="forked child [[plan]]", task_name="fork", fork_turns="all"),
    "list agents": _tool("list_agents"),
    "wait": _tool("wait_agent", timeout_ms=10000),
    "tell agent": _tool("send_message", message="more please"),
    "follow up": _tool("followup_task", message="again please"),
    "close agent": _tool("close_agent"),
    "stop agent": _tool("interrupt_agent"),
}  # fmt: skip
_FREE: dict[str, Callable[[int], list[Item]]] = {
    "web": lambda number: [
        {"type": "web_search_call", "id": f"ws_{number}{action['type']}", "status": "completed", "action": action}
        for action in (
            {"type": "search", "query": "weather: seattle", "queries": ["weather: seattle", "rain"]},
            {"type": "open_page", "url": "https://example.com/"},
            {"type": "find_in_page", "url": "https://example.com/", "pattern": "x"},
        )
    ],
    "image": lambda number: [
        {"type": "image_generation_call", "id": f"ig_{number}", "status": "completed", "revised_prompt": "a dot",
         "result": PIXEL},
    ],
    "searched tools": lambda number: [
        _search("tool_search_call", number, arguments={"query": "echo"}),
        _search("tool_search_output", number, tools=[{"type": "function", "name": "zzz"}]),
    ],
    "commentary": lambda number: [
        {**assistant_message("I will look ☃"), "id": f"msg_{number}", "phase": "commentary"},
    ],
    "raw thoughts": lambda number: [
        {"type": "reasoning", "id": f"rs_raw_{number}", "summary": [], "encrypted_content": None,
         "content": [{"type": "reasoning_text", "text": "raw"}, {"type": "text", "text": "t"}]},
    ],
    "new item": lambda number: [{"type": "brand_new_item", "id": f"bn_{number}", "x": {"y": 1}}],
    "annotations": lambda number: [
        {"type": "message", "id": f"msg_a{number}", "role": "assistant", "status": "completed", "content": [
            {"type": "output_text", "text": "see [1]", "logprobs": [], "annotations": [
                {"type": "url_citation", "url": "https://e.x", "start_index": 0, "end_index": 3, "title": "t"},
            ]},
        ]},
    ],
    "compaction": lambda number: [{"type": "compaction", "id": f"cmp_{number}", "encrypted_content": "gAAAA"}],
    "configuration": lambda _: [{"type": "configuration_update", "reasoning": {"effort": "low"}}],
}  # fmt: skip
STEPS = (*_FREE, *_CALLS, *_COMMANDS)
