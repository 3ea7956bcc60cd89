"""
Sessions that try to harm their reader: run a script, load something, leave the page, control the terminal, or make a
renderer fail or run for ever. Data for the tests of all renderers.

A script in them sets ``window.__pwned`` if it runs; all addresses in them are under *canary*.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tests.rollouts import ID, Line, event, item, message

__all__ = ["EVIL", "CANARY", "CONTROLS", "LARGE", "SESSIONS", "every_payload", "html", "planted", "rows"]

EVIL = (
    "\x1b]0;owned\x07\x1b[2J\x1b[31m\x9b31m\x90q\x9c\x00\x08\x7f\r\u202eevil\u2066\u200b\ufeff\u2028\x85"
    "\x1b]8;;http://evil\x1b\\link\x1b]52;c;ZXZpbA==\x07\x1b[6n\x1bP$q\x1b\\\x1b[1A\udc9b\ud800\U000e0041 tail"
)
CANARY = "http://127.0.0.1:9"
"""An address without a server; the tests with a browser start their own server."""
TIME = "2026-11-21T01:25:37.122Z"

# Sets a title, clears the screen, rings, hides, turns around, ends a string, links, asks for the clipboard, moves up.
CONTROLS = (
    "\x1b]0;owned\x07\x1b[2J\x1b[31m\x9b31m\x90q\x9c\x00\x08\x7f\r\u202eevil\u2066\u200b\ufeff\u2028\x85"
    "\x1b]8;;http://evil\x1b\\link\x1b]52;c;ZXZpbA==\x07\x1b[6n\x1bP$q\x1b\\\x1b[1A\udc9b\ud800\U000e0041 tail"
)
_RUN = "window.__pwned=1"

Payload = dict[str, Any]


def html(canary: str = CANARY) -> tuple[str, ...]:
    """
    Return texts that run a script, load something or leave the page if they reach it unescaped.
    """
    run = f"<script>{_RUN}</script>"
    return (
        run,
        *(f"</{tag}>{run}" for tag in ("script", "style", "title", "textarea", "pre", "template", "noscript", "svg")),
        f"-->{run}",
        f"<!--{run}",
        f"<!--><script>{_RUN}//-->",
        f"]]>{run}",
        f'"><img src=x onerror={_RUN}>',
        f"'><img src=x onerror={_RUN}>",
        f'" onmouseover="{_RUN}" autofocus onfocus="{_RUN}" x="',
        f"' onmouseover='{_RUN}' autofocus onfocus='{_RUN}' x='",
        f"` onmouseover=`{_RUN}`",
        f"<IMG SRC={canary}/image ONERROR={_RUN}>",
        f"<img/src/onerror={_RUN}>",
        f"<svg onload={_RUN}><script>{_RUN}</script><animate onbegin={_RUN} attributeName=x></svg>",
        f'<svg><use href="data:image/svg+xml,<svg id=x><script>{_RUN}</script></svg>#x"/></svg>',
        f'<math><mtext><table><mglyph><style><!--</style><img title="--><img src=1 onerror={_RUN}>">',
        f"<iframe srcdoc='<script>parent.{_RUN.removeprefix('window.')};parent.{_RUN}</script>'></iframe>",
        f'<iframe src="javascript:parent.{_RUN}"></iframe><iframe src="{canary}/frame"></iframe>',
        f'<object data="{canary}/object"></object><embed src="{canary}/embed">',
        f'<link rel=stylesheet href="{canary}/style"><link rel=preload as=image href="{canary}/preload">',
        f"<style>@import url({canary}/import);*{{background:url({canary}/background)!important}}</style>",
        f'<p style="position:fixed;inset:0;background:url({canary}/inline)">',
        f'<base href="{canary}/base/"><meta http-equiv=refresh content="0;url={canary}/refresh">',
        f'<form action="{canary}/form"><button autofocus>Search</button><input name=rollout></form>',
        f'<details open ontoggle="{_RUN}"><summary>x</summary></details><video><source onerror="{_RUN}"></video>',
        f"<body onload={_RUN}><input autofocus onfocus={_RUN}><select autofocus onfocus={_RUN}>",
        f'<a id=rollout name=rollout href="javascript:{_RUN}">click</a><a href="{canary}/ping" ping="{canary}/ping">x',
        f'<img name=getElementById><form id=document><input name=body></form><img id=main srcset="{canary}/srcset 1x">',
        f'<audio src="{canary}/audio" autoplay></audio><video poster="{canary}/poster"></video>',
        "{{7*7}}{% for x in ().__class__.__mro__ %}{{ config }}{% endfor %}{# #}{{ '<script>' | safe }}${7*7}<%=7*7%>",
        f"&lt;script&gt;{_RUN}&lt;/script&gt;&#60;script&#62;{_RUN}&#60;/script&#62;&amp;lt;script&amp;gt;",
        f"<scr\x00ipt>{_RUN}</script><scr<script>ipt>{_RUN}</script>\u2028</script\u2028>",
        f"+ADw-script+AD4-{_RUN}+ADw-/script+AD4- \x1b$B<script>{_RUN}</script>",
    )


def _evil(canary: str) -> str:
    return "\n".join(html(canary)) + "\n" + CONTROLS


def links(canary: str) -> str:
    """
    Return Markdown with links that run a script or leave the page.
    """
    code = _RUN
    addresses = (
        f"javascript:{code}", f"JaVaScRiPt:{code}", f" javascript:{code}", f"java\tscript:{code}",
        f"\x01javascript:{code}",
        f"javascript&colon;{code}", f"javascript&#58;{code}", f"&#106;avascript:{code}", f"&#x6A&#x61;vascript:{code}",
        f"java&Tab;script:{code}", f"java&NewLine;script:{code}", f"%6A%61vascript:{code}", f"javascript\\:{code}",
        f"vbscript:{code}", f"VBSCRIPT:{code}", f"livescript:{code}", f"file:///etc/passwd?{code}",
        f"data:text/html,<script>opener.{code}</script>", "DATA:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==",
        f"data:image/svg+xml,<svg onload={code}>", f"view-source:{canary}", f"blob:{canary}/x",
        f"filesystem:{canary}/x",
        "//127.0.0.1:9/protocol", "\\\\127.0.0.1\\share", f"jar:{canary}!/x", "x:\u202ejavascript",
        f"https://x/\"onclick=\"{code}",
        f"https://x/'onclick='{code}", f"https://x/><img src=x onerror={code}>", "#L1", "./relative", "?a=b", "",
    )  # fmt: skip
    forms = ("[a]({})", "[a](<{}>)", "<{}>", '[a]({} "t\\" onclick=\\"x")', "[a][r{n}]\n\n[r{n}]: {}\n", "{}")
    return "\n\n".join(
        form.replace("{n}", str(n)).replace("{}", address) for n, address in enumerate(addresses) for form in forms
    )


def pictures(canary: str) -> str:
    """
    Return Markdown with remote images, and with images that run a script.
    """
    addresses = (
        f"{canary}/md.png", "//127.0.0.1:9/md.png", f"HTTP://{canary[7:]}/md.png", f"javascript:{_RUN}",
        f"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' onload='{_RUN}'/>",
        "data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9ImFsZXJ0KDEpIi8+", f"data:text/html,<script>{_RUN}</script>",
        "data:image/png;base64,AAAA", f"data:image/png;base64,\"onerror=\"{_RUN}", "file:///etc/passwd", "/etc/passwd",
        "../../secret.png", f"\\\\{canary[7:]}\\x.png", "blob:null/1", "cid:1", f"x\"onerror=\"{_RUN}",
    )  # fmt: skip
    forms = ("![a]({})", "![a](<{}>)", "![a][i{n}]\n\n[i{n}]: {}\n", "[![a]({})](#L1)", '!["onerror="x]({} \'o"n\')')
    return "\n\n".join(
        form.replace("{n}", str(n)).replace("{}", address) for n, address in enumerate(addresses) for form in forms
    )


def markup(canary: str) -> str:
    """
    Return Markdown with HTML and CSS in every kind of block.
    """
    parts = [links(canary), pictures(canary)]
    for text in html(canary):
        flat = " ".join(text.split())
        parts += [
            text, f"# {flat}", f"> {flat}", f"- {flat}\n  - {flat}", f"1. {flat}",
            f"| {flat} | b |\n|---|---|\n| {flat} | c |",
            f"**{flat}** _{flat}_ ~~{flat}~~ [{flat}]({canary}/x \"{flat}\") `{flat}`", f"```{flat}\n{text}\n```",
            f"~~~ {flat}\n{text}\n~~~", f"    {flat}", f"{flat}\n===", f"[x]: {canary}/def '{flat}'",
            f"<div>\n\n{flat}\n\n</div>",
        ]  # fmt: skip
    return "\n\n".join(
        (*parts, "```mermaid\ngraph TD\nA-->B\n```", "```{=html}\n<script>window.__pwned=1</script>\n```")
    )


def _colours(canary: str, count: int) -> str:
    """
    Return terminal sequences: complete, truncated, and out of range.
    """
    link = f'\x1b]8;;javascript:{_RUN}\x1b\\go\x1b]8;;\x1b\\ \x1b]8;id="onclick="x;{canary}/osc\x07go\x1b]8;;\x07'
    return (
        f"{CONTROLS}\n{link}\n\x1b[31;1;4mred\x1b[0m \x1b[38;5;999mx\x1b[38;2;300;-1;{'9' * 5000}mx\x1b[38;5mx\x1b[m"
        f'\x1b[38;2;1;2;3"onclick="{_RUN}mx\x1b[48;5;<script>{_RUN}</script>mx\x1b[;;;;;mx\x1b[999999mx\x1b[?25l\x1b[1;1H'
        f"\x1b]1337;File=inline=1:AAAA\x07\x1b_G<script>{_RUN}</script>\x1b\\\x1b^x\x1b\\\x1bX\x9c\x1bc\x1b(0\x0e\x0f\x1b]4;1;?\x07"
        + "".join(f"\x1b[{30 + n % 8};{40 + n % 7}mx" for n in range(count))
        + "\r\n50%\r100%\n"
        + "\x1b[" * count
        + "\x1b]8;;"
        + html(canary)[0]
    )


# Every kind of line of every era; $ is where text is expected. A line that is indented goes on with the one before.
_KINDS = """
session_meta {"id": $, "timestamp": $, "cwd": $, "originator": $, "cli_version": $, "instructions": $, "source": $,
    "model_provider": $, "git": {"commit_hash": $, "branch": $, "repository_url": $}, "agent_nickname": $, $: $}
turn_context {"cwd": $, "model": $, "approval_policy": $, "effort": $, "sandbox_policy": {"mode": $}, $: {$: $}}
event_msg {"type": "task_started", "turn_id": $, "started_at": $, "model_context_window": $}
response_item {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": $}]}
response_item {"type": "message", "role": "user", "content": [{"type": "input_text", "text": $}], "id": $, "phase": $}
response_item {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": $}, {"type": $}]}
response_item {"type": "message", "role": $, "content": [{"type": "text", "text": $}, {"type": $, "text": $}, $]}
response_item {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": $, "detail": $}]}
response_item {"type": "reasoning", "id": $, "summary": [{"type": "summary_text", "text": $}], "encrypted_content": $,
    "content": [{"type": "reasoning_text", "text": $}]}
response_item {"type": "web_search_call", "id": $, "status": $, "action": {"type": "search", "query": $}}
response_item {"type": "web_search_call", "status": $, "action": {"type": "open_page", "url": $}}
response_item {"type": "image_generation_call", "id": $, "status": $, "revised_prompt": $, "result": $}
response_item {"type": "tool_search_call", "call_id": $, "execution": $, "arguments": {"query": $}}
response_item {"type": "tool_search_output", "call_id": $, "tools": [{"name": $, "description": $}]}
response_item {"type": "ghost_snapshot", "ghost_commit": {"id": $, "parent": $}}
response_item {"type": "agent_message", "author": $, "recipient": $, "content": [{"type": "output_text", "text": $}]}
response_item {"type": "compaction", "encrypted_content": $}
response_item {"type": "function_call_output", "call_id": $, "output": $}
response_item {"type": "local_shell_call", "call_id": $, "status": $, "action": {"type": "exec", "command": [$],
    "env": {$: $}, "working_directory": $}}
response_item {"type": $, $: $}
event_msg {"type": "item_completed", "thread_id": $, "turn_id": $, "item": {"type": "UserMessage", "id": $,
    "content": [{"type": "text", "text": $}, {"type": "image", "image_url": $}]}}
event_msg {"type": "item_completed", "item": {"type": "AgentMessage", "content": [{"type": "Text", "text": $}]}}
event_msg {"type": "item_completed", "item": {"type": "Reasoning", "summary_text": [$], "raw_content": [$]}}
event_msg {"type": "item_completed", "item": {"type": "CommandExecution", "id": $, "command": [$], "cwd": $,
    "status": $, "stdout": $, "exit_code": $, "aggregated_output": $, "duration": $, "parsed_cmd": [{"type": $}]}}
event_msg {"type": "item_completed", "item": {"type": "FileChange", "id": $, "status": $, "changes": {
    $: {"type": "update", "unified_diff": $, "move_path": $}, "/x": {"type": "add", "content": $}}}}
event_msg {"type": "item_completed", "item": {"type": "McpToolCall", "id": $, "server": $, "tool": $,
    "arguments": {$: $}, "result": {"content": [$]}, "error": {"message": $}}}
event_msg {"type": "item_completed", "item": {"type": "WebSearch", "id": $, "query": $, "action": {"query": $}}}
event_msg {"type": "item_completed", "item": {"type": "Plan", "id": $, "text": $}}
event_msg {"type": "item_completed", "item": {"type": "ImageView", "id": $, "path": $}}
response_item {"type": "custom_tool_call", "name": "exec", "call_id": "script", "input": $}
event_msg {"type": "item_completed", "item": {"type": "DynamicToolCall", "id": $, "tool": $, "arguments": {$: $},
    "success": false, "content_items": [{"type": "inputText", "text": $}, {"type": "inputImage", "imageUrl": $}]}}
event_msg {"type": "item_completed", "item": {"type": "Extension", "id": $, "kind": $, "status": "failed",
    "error": {"message": $}}}
response_item {"type": "custom_tool_call_output", "call_id": "script", "output": [
    {"type": "input_text", "text": "Script failed\\nWall time 1.0 seconds\\nOutput:\\n"}, {"type": $, "text": $}]}
response_item {"type": "function_call_output", "call_id": "", "name": $, "output": $}
response_item {"type": "message", "role": "user", "content": [{"type": "input_text", "text": $}],
    "internal_chat_message_metadata_passthrough": {"content_item_kinds": [$],
    "content_item_metadata": [{"provenance": {"type": $}}]}}
event_msg {"type": "item_completed", "item": {"type": "SubAgentActivity", "agent_path": $, "kind": $, "model": $}}
event_msg {"type": "item_completed", "item": {"type": "EnteredReviewMode", "id": $, "review": $, "prompt": $}}
event_msg {"type": "thread_settings_applied", "thread_settings": {"model": $, "cwd": $, "reasoning_effort": $}}
event_msg {"type": "item_completed", "item": {"type": $, $: $}}
event_msg {"type": "user_message", "message": $, "kind": $, "images": [$], "local_images": [$], "text_elements": [$]}
event_msg {"type": "exec_command_end", "call_id": $, "stdout": $, "stderr": $, "command": [$], "exit_code": $}
event_msg {"type": "patch_apply_end", "call_id": $, "stdout": $, "success": $, "changes": {$: {"unified_diff": $}}}
event_msg {"type": "mcp_tool_call_end", "call_id": $, "invocation": {"server": $, "tool": $}, "result": {"Err": $}}
event_msg {"type": "thread_goal_updated", "goal": {"objective": $, "status": $}}
event_msg {"type": "exited_review_mode", "review_output": {"overall_explanation": $, "findings": [{"title": $}]}}
event_msg {"type": "plan_update", "explanation": $, "plan": [{"step": $, "status": $}]}
event_msg {"type": "token_count", "info": {"total_token_usage": {"total_tokens": $}}, "rate_limits": {$: $}}
compacted {"message": $, "replacement_history": [{"type": $, "content": [{"type": "input_text", "text": $}], $: $}]}
world_state {"full": true, "state": {$: $}, $: $}
token_usage_record {"type": $, "usage": {$: $}, "model": $}
inter_agent_communication {"author": $, "recipient": $, "content": $}
security_risk_score {"score": $}
realtime_item {"type": $, "item": {"type": $}}
rollout_reference {"id": $, "path": $}
$ {"type": $, "message": $, $: [$, {$: $}]}
"""
_EVENTS = (
    "agent_message", "agent_reasoning", "agent_reasoning_raw_content", "error", "stream_error", "turn_aborted",
    "warning", "thread_name_updated", "entered_review_mode", "context_compacted", "thread_rolled_back",
    "background_event", "task_complete", "web_search_end", "view_image_tool_call", "__proto__", "$",
)  # fmt: skip
# Tools, what they are given, and what they answer.
_TOOLS = """
shell {"command": [$, "-lc", $], "workdir": $, "justification": $}
exec_command {"cmd": $, "workdir": $, "yield_time_ms": $}
write_stdin {"session_id": $, "chars": $}
update_plan {"explanation": $, "plan": [{"step": $, "status": $}, {"step": $, "status": "completed"}, $]}
apply_patch {"input": $}
view_image {"path": $}
web_search {"query": $}
request_user_input {"questions": [{"question": $, "header": $, "options": [{"label": $}]}]}
spawn_agent {"message": $, "agent_type": $}
__proto__ {"__proto__": $}
mcp__$ {$: [$]}
$ {$: {$: $}}
$ $
"""


def every_payload(text: str) -> Iterator[tuple[Any, Any]]:
    """
    Yield types and payloads of lines of every era, with *text* in place of every text.
    """
    for kind, payload in _parsed(_KINDS):
        yield _filled(kind, text), _filled(payload, text)
    yield from (("response_item", item) for item in _calls(text))
    fields = (
        "message",
        "text",
        "reason",
        "name",
        "codex_error_info",
        "call_id",
        "query",
        "path",
        "num_turns",
        "turn_id",
    )
    for kind in _EVENTS:
        yield "event_msg", {"type": _filled(kind, text)} | dict.fromkeys(fields, text)


def _parsed(table: str) -> Iterator[tuple[str, Any]]:
    for line in table.strip().replace("\n    ", " ").split("\n"):
        kind, _, value = line.partition(" ")
        yield kind, json.loads(value.replace("$", '"$"'))


def _filled(value: Any, text: str) -> Any:
    if isinstance(value, dict):
        return {_filled(key, text): _filled(inner, text) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, text) for inner in value]
    return value.replace("$", text) if isinstance(value, str) else value


def _calls(text: str) -> Iterator[Payload]:
    """
    Yield calls in every form, with *text* as name, id, arguments, output and result.
    """
    ended = f"Process exited with code {text}\nOutput:\n{text}"
    outputs: tuple[Any, ...] = (
        text,
        json.dumps({"output": text, "metadata": {"exit_code": text, "duration_seconds": text}, text: text}),
        {"content": text, "success": text},
        [{"type": "input_text", "text": text}, {"type": "input_image", "image_url": text}, {"type": text, text: text}],
        f"Chunk ID: {text}\nWall time: {text} seconds\n{ended}",
        f"Exit code: {text}\nWall time: {text}\nOutput:\n{text}",
    )
    for number, (name, arguments) in enumerate(_parsed(_TOOLS)):
        called = {"name": _filled(name, text), "call_id": f"{text}{number}", "namespace": text}
        given = _filled(arguments, text)
        yield {"type": "function_call", **called, "arguments": given if arguments == "$" else json.dumps(given)}
        yield {"type": "function_call_output", **called, "output": outputs[number % len(outputs)]}
    for name, given in (("$", text), ("apply_patch", patch(text)), ("exec", f"{text}\n{patch(text)}")):
        called = {"name": _filled(name, text), "call_id": f"{text}{name}", "status": text}
        yield {"type": "custom_tool_call", **called, "input": given}
        yield {"type": "custom_tool_call_output", **called, "output": text}


def patch(text: str) -> str:
    """
    Return a patch of files with hostile names and lines.
    """
    flat = " ".join(text.split())
    body = "\n".join(f"{mark}{line}" for mark in "+- @" for line in text.split("\n"))
    return (
        f"*** Begin Patch\n*** Update File: {flat}\n*** Move to: {flat}.moved\n@@ {flat}\n{body}\n"
        f"*** Add File: src/{flat}\n+{flat}\n*** Delete File: {flat}\n*** {flat}\n*** End Patch"
    )


def rows(payloads: Iterable[tuple[Any, Any]], *, session_id: Any = ID, time: Any = TIME) -> bytes:
    """
    Return a session with these payloads after its meta. Non-ASCII characters are JSON escapes, which readers decode.
    """
    own = {"id": session_id, "timestamp": TIME, "cwd": "/home/dev/demo", "originator": "codex", "cli_version": "0.36.0"}
    lines = [("session_meta", own), *payloads]
    values = ({"timestamp": time, "type": kind, "payload": payload} for kind, payload in lines)
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def _said(text: str) -> list[Line]:
    summary = [{"type": "summary_text", "text": text}]
    return [event("user_message", message=text), message("assistant", text), item("reasoning", summary=summary)]


def _ran(text: str, *, command: str = "make") -> list[Line]:
    given = json.dumps({"command": ["bash", "-lc", command]})
    ended = json.dumps({"output": text, "metadata": {"exit_code": 1, "duration_seconds": 0.1}})
    return [
        *_said("run it"),
        item("function_call", name="shell", arguments=given, call_id="call_1"),
        item("function_call_output", call_id="call_1", output=ended),
    ]


# What stands where text is expected; the last is as deep as a line may be.
_ODD: tuple[Any, ...] = (
    None, True, 0, -1, 10**400, 1e308, "", [], {}, [None], [[]], {"": None}, {"text": {"text": {}}}, [{"type": None}],
    ["a", 1, None], {"type": "message"}, json.loads("[" * 90 + "]" * 90),
)  # fmt: skip


def _odd_types() -> Iterator[tuple[Any, Any]]:
    """
    Yield the payloads of every kind, each time with one text replaced by another value.
    """
    for number, (kind, payload) in enumerate(every_payload("said")):
        for shift in range(0, len(_ODD), 4):
            yield kind, _replaced(payload, iter(_ODD[(number + shift + n) % len(_ODD)] for n in range(10_000)))
    yield from (("event_msg", odd) for odd in _ODD)
    yield from (("response_item", odd) for odd in _ODD)
    yield from ((odd, {"type": odd, "role": odd, "call_id": odd}) for odd in _ODD)


def _replaced(value: Any, odd: Iterator[Any]) -> Any:
    """
    Return a payload with all texts replaced, except `type` and `role`, which identify it.
    """
    if isinstance(value, dict):
        return {key: inner if key in ("type", "role") else _replaced(inner, odd) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, odd) for inner in value]
    return next(odd)


def _nested(depth: int) -> Iterator[Line]:
    for arguments in ("[" * 5_000 + "]" * 5_000, '{"a":' * 5_000 + "1" + "}" * 5_000):
        yield item("function_call", name="x", arguments=arguments, call_id=arguments[0])
    yield event("unheard_of", deep=json.loads('{"a":' * 100 + "1" + "}" * 100))
    for mark in ("> ", "- ", "1. ", "* > ", "  - "):
        yield from _said(mark * depth + "deep")
    yield from _said("\n".join("  " * n + "- deep" for n in range(min(depth, 1_000))))


def _pathological(size: int) -> Iterator[Line]:
    """
    Yield Markdown that takes naive parsers for ever.
    """
    marks = (
        "[", "![", "](", "[](", "*", "**a", "_", "`", "` ``", "<", "<!--", "&", "|", "a|", "~", "\\", "(",
        "[a](", "[a]: ", "<a:", "http://", "www.", "a@", "#", "=\n", "> ", "- ", "\t", "[^", "*a_ ", "![[]()", "\n\n- ",
        "| a\n", "$", "{{", "]", "<?", "<![CDATA[",
    )  # fmt: skip
    for mark in marks:
        yield message("assistant", mark * (size // len(mark)))
    yield from _ran("\x1b[31" * (size // 4), command="'\"$(`" * (size // 5))


def _damaged(canary: str) -> bytes:
    run = html(canary)[0]
    texts = json.dumps({"timestamp": run, "type": run, "payload": run}).encode()
    tag = run.encode()
    bad = (
        tag, tag + b"\xff\xfe\x80", bytes(2_000), b"{" + tag, b"[]", b'"' + tag + b'"', b"null", b"{}",
        b"\xef\xbb\xbf{}", b"{" * 5_000, b'{"timestamp":"2026","type":"event_msg"}',
        b'{"type":"event_msg","payload":[' + tag, b"\x1b[2J", b"\xed\xa0\x80", b'{"a":' * 5_000, texts,
    )  # fmt: skip
    torn = b'{"timestamp":"2026-11-21T01:2'
    return b"\n".join((rows(_said("before")) + bad[0], *bad[1:], _without_meta(rows(_said("after"))) + torn))


def _without_meta(data: bytes) -> bytes:
    return data.split(b"\n", 1)[1]


def _pictured(canary: str) -> Iterator[Line]:
    """
    Yield images that are invalid, missing, or contain more than an image.
    """
    yield from _said("look")
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' onload='{_RUN}'><image href='{canary}/svg'/></svg>"
    png = "data:image/png;base64,"
    for url in (
        f"{canary}/image.png", f"data:image/svg+xml,{svg}", f"data:text/html,<script>{_RUN}</script>",
        f"javascript:{_RUN}", f'{png}"onerror="{_RUN}', png, "data:image/png,<script>", "data:",
        "data:image/PNG;x=y;base64,AAAA", f" {png}AAAA", f"{png}AAAA);background:url({canary}/css",
        "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAAC",
        "/etc/passwd", "\x00", "data:image/svg+xml;image/png;base64,PHN2Zy8+", f'{png}AAAA\n"><script>{_RUN}</script>',
        "file:///etc/passwd",
    ):  # fmt: skip
        picture = [{"type": "input_image", "image_url": url}]
        yield item("message", role="user", content=picture)
        yield item("function_call_output", call_id=url, output=picture)
        yield event("user_message", message="see", images=[url], local_images=[url])


def planted(canary: str = CANARY) -> bytes:
    """
    Return a session with a script that runs, and an image that loads, where a renderer does not prevent it.
    """
    return rows(_said(f'<script>{_RUN}</script><img src="{canary}/planted.png">'))


def _of_size(*, escapes: int, marks: int, characters: int) -> dict[str, Callable[[str], bytes]]:
    def terminal(canary: str) -> bytes:
        text = _colours(canary, escapes)
        return rows([*_ran(text, command=text), *_said(text)])

    return {
        "terminal": terminal,
        "pathological": lambda canary: rows(_pathological(marks)),
        "long output": lambda canary: rows(_ran("<b>" + "x" * characters)),
        "long command": lambda canary: rows(_ran("", command="<b>" + "x " * (characters // 2))),
        "long message": lambda canary: rows(_said("<b>" + "x" * characters)),
    }


SESSIONS: dict[str, Callable[[str], bytes]] = {
    "every field": lambda canary: rows(every_payload(_evil(canary)), session_id=f"{ID}{html(canary)[0]}"),
    "one text a field": lambda canary: b"".join(
        _without_meta(data) if number else data
        for number, data in enumerate(rows(every_payload(text)) for text in html(canary))
    ),
    "times and ids": lambda canary: rows(every_payload("said"), session_id=_evil(canary), time=_evil(canary)),
    "odd types": lambda canary: rows(_odd_types()),
    "markdown": lambda canary: rows(_said(markup(canary))),
    "images": lambda canary: rows(_pictured(canary)),
    "damaged": _damaged,
    "deep": lambda canary: rows(_nested(3_000)),
    **_of_size(escapes=1_000, marks=60_000, characters=2_000_000),
}
"""The bytes of each session, given where its canary is."""

LARGE = _of_size(escapes=5_000, marks=100_000, characters=10_000_000)
"""Sessions of `SESSIONS` with more in them, for `make stress`."""
