"""
Sessions that grow, and everything that is done with one: what tests/test_growth.py measures.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import field, frozen

from rollout import History, follow, list_sessions, load_history, read_lines, repair, verify
from rollout.cli._conversation import Conversation
from rollout.cli._show import NumberedLine
from rollout.cli._terminal import TerminalRenderer
from rollout.document import DocumentBuilder
from rollout.export import export_html, export_json, export_markdown, export_text, redacted
from rollout.export._text import TextRenderer
from rollout.search import search, update_index
from rollout.secrets import Redaction, scan
from rollout.stats import session_stats
from rollout.storage import session_storage
from rollout.store import fork
from tests import builders
from tests.rollouts import Line, answer, encode, event, message, meta, prompt, put, surroundings, token_count

__all__ = ["OPERATIONS", "SESSIONS", "TEXTS", "Grown", "grown"]


def call(call_id: str, command: str = "ls") -> Line:
    """
    Return a call of a shell with a script.
    """
    return builders.call("shell", {"command": ["bash", "-lc", command]}, call_id)


def reasoning(*texts: str) -> Line:
    return "response_item", {"type": "reasoning", "summary": [{"type": "summary_text", "text": text} for text in texts]}


def began(call_id: str) -> Line:
    return event("exec_command_begin", call_id=call_id, command=["ls"], cwd="/")


def ended(call_id: str) -> Line:
    return event("exec_command_end", call_id=call_id, stdout="x", exit_code=0, duration={"secs": 0, "nanos": 1})


def back(count: int = 1) -> Line:
    return event("thread_rolled_back", num_turns=count)


def turn(number: int) -> list[Line]:
    return [*prompt(f"u{number}"), *answer(f"a{number}")]


def compaction(*kept: str) -> Line:
    items = [message("user", text)[1] for text in kept]
    return "compacted", {"message": "summary", **({"replacement_history": items} if items else {})}


def tokens(count: int) -> Line:
    total = {"input_tokens": count, "output_tokens": count, "total_tokens": 2 * count}
    return token_count(total)


def patch(count: int, files: int = 1) -> str:
    lines = "\n".join(f"{'+-'[n % 2]}line {n}" for n in range(count))
    parts = "".join(f"*** Update File: a{n}.py\n@@\n{lines}\n" for n in range(files))
    return f"*** Begin Patch\n{parts}*** End Patch"


def patched(text: str) -> Line:
    return "response_item", {"type": "custom_tool_call", "name": "apply_patch", "call_id": "p", "input": text}


def pictures(count: int) -> Line:
    part = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    return "response_item", {"type": "message", "role": "user", "content": [part] * count}


def saying(text: str) -> list[Line]:
    """
    Return a session with the same text in all messages, in a command and in its output.
    """
    return [*prompt(text), *answer(text), call("c", text), builders.output(text, "c"), reasoning(text)]


def _spread(make: Callable[[int], list[Line]]) -> Callable[[int], list[Line]]:
    return lambda count: [line for number in range(count) for line in make(number)]


_asked = _spread(lambda n: [*prompt("u"), call(f"c{n}")])
_told = _spread(lambda n: [event("agent_message", message=f"{n}")])

SESSIONS: dict[str, Callable[[int], list[Line] | bytes]] = {
    "tiny lines": _spread(lambda n: [event("agent_message", message=f"{n}")]),
    "turns": _spread(turn),
    "turns that are marked": _spread(
        lambda n: [event("task_started", turn_id="t"), *turn(n), event("task_complete", turn_id="t")]
    ),
    "compactions": _spread(lambda n: [*turn(n), compaction()]),
    "compactions that keep items": _spread(lambda n: [*turn(n), compaction("one", "two")]),
    "compactions told of three times": _spread(
        lambda _: [compaction(), event("context_compacted"), ("response_item", {"type": "compaction"})]
    ),
    "rollbacks at the end": lambda n: [*_spread(turn)(n), *([back()] * n)],
    "rollbacks between": _spread(lambda n: [*turn(n), back()]),
    "rollbacks behind many turns": lambda n: [*_spread(turn)(n), *_spread(lambda m: [back(), *turn(m)])(n)],
    "rollbacks and compactions": _spread(lambda n: [*turn(n), *turn(n), back(), compaction()]),
    "rollbacks behind context": _spread(lambda n: [surroundings(), *turn(n), surroundings(), *turn(n), back()]),
    "open calls": _spread(lambda n: [call(f"c{n}")]),
    "late answers": lambda n: [*_asked(n), *(builders.output("o", f"c{m}") for m in range(n))],
    "calls of one id": lambda n: [*([call("c")] * n), *([builders.output("o", "c")] * n)],
    "events of one id": lambda n: [*([began("c")] * n), *([ended("c")] * n)],
    "calls, answered": _spread(lambda n: [call("c"), builders.output("o", "c")]),
    "messages said twice, late": lambda n: [*_told(n), *(message("assistant", f"{m}") for m in range(n))],
    "reasoning": _spread(lambda n: [event("agent_reasoning", text=f"{n}"), reasoning(f"{n}", "a", "b")]),
    "reasoning of many paragraphs": lambda n: [reasoning(*map(str, range(n)))],
    "token counts": _spread(lambda n: [tokens(n)]),
    "settings": _spread(lambda n: [("turn_context", {"cwd": f"/{n}", "model": f"m{n}"})]),
    "patches": _spread(lambda n: [call(f"c{n}", f"apply_patch <<'E'\n{patch(5)}\nE")]),
    "plans": _spread(lambda n: [event("plan_update", plan=[{"step": f"{n}", "status": "pending"}])]),
    "images": lambda n: [pictures(n)] * 2,
    "messages of images": _spread(lambda n: [pictures(1), *answer(f"{n}")]),
    "lines that cannot be read": lambda n: b"".join(b'{"a":%d}\n{bad\n' % m for m in range(n)),
    "lines without newlines": lambda n: b"".join(encode(prompt(f"{m}")).replace(b"\n", b"") for m in range(n)),
    "unknown lines": _spread(lambda n: [(f"kind{n}", {"a": [[n]]}), event(f"kind{n}")]),
}  # fmt: skip
"""Names, and what makes so many of it."""

TEXTS: dict[str, Callable[[int], str]] = {
    "colours": lambda n: "\x1b[31ma\x1b[0m " * n,
    "colours that do not end": lambda n: "\x1b[38;5;" * n,
    "links of a terminal": lambda n: "\x1b]8;;" * n,
    "quotes": lambda n: "> " * n + "a",
    "quoted lines": lambda n: "> > > a\n" * n,
    "lists in one line": lambda n: "- " * n + "a",
    "nested lists": lambda n: "\n".join(f"{'  ' * (m % 50)}- a" for m in range(n)),
    "brackets": lambda n: "[" * n,
    "images": lambda n: "![" * n,
    "links": lambda n: "[a](b) [c][d] " * n,
    "links that do not end": lambda n: "[a](" * n,
    "emphasis": lambda n: "*a_b **c " * n,
    "backticks": lambda n: "".join(f"{'`' * m} " for m in range(int((2 * n) ** 0.5))) + "`a``b" * n,
    "fences": lambda n: "```py\nx = 1\n```\n" * n,
    "table": lambda n: "|a|b|\n|-|-|\n" + "|c|d|\n" * n,
    "headings": lambda n: "# a\n=\n" * n,
    "definitions": lambda n: "".join(f"[a{m}]: b\n" for m in range(n)),
    "tags": lambda n: "<a &#x41; " * n,
    "diff": lambda n: "diff --git a b\n" + "+a\n-b\n" * n,
    "patch": patch,
    "patch of many files": lambda n: patch(2, n),
    "patches": lambda n: "*** Begin Patch\n*** End Patch\n" * n,
    "passwords": lambda n: "*" + "".join(f"password='k7Hq2mZ9xW{m}' " for m in range(n)),
    "keys that hide each other": lambda n: "glpat-AbCdEfGhIjKlMnOpQrSt1.ab.0123abcd9" * n,
    "JSON": lambda n: json.dumps({"a": [json.dumps({"b": "\n"})] * n}),
    "brackets of JSON": lambda n: '{"a":' * n,
    "contexts": lambda n: "<environment_context><cwd>" * n,
    "lines": lambda n: "*a\r\n" * n,
    "blanks": lambda n: " " * n + "a",
    "base64": lambda n: f"data:image/png;base64,{'A' * n}",
}  # fmt: skip
"""Names, and texts that grow with a number."""


@frozen
class Grown:
    """
    A session in its own home.
    """

    path: Path
    home: Path
    history: History = field(repr=False)

    def other(self, name: str) -> Path:
        return self.home.with_name(f"{self.home.name}-{name}")


def grown(home: Path, lines: list[Line] | bytes) -> Grown:
    path = put(home, encode([meta()]) + (lines if isinstance(lines, bytes) else encode(lines)))
    return Grown(path, home, load_history(path))


def _drain(parts: Any) -> None:
    deque(parts, maxlen=0)


def _build(session: Grown) -> None:
    # As a live page does: what changed is asked for at each line.
    builder = DocumentBuilder(session.path)
    for number, line in enumerate(session.history.lines, 1):
        builder.add(line, number)
        builder.changes()


def _follow(session: Grown) -> None:
    with follow(session.path, from_start=True) as follower:
        follower.close()
        _drain(follower)


def _show(session: Grown, renderer: Any) -> None:
    with read_lines(session.path) as reader:
        _drain(Conversation(reader, renderer).render_all(NumberedLine(line, reader.lineno) for line in reader))


def _index(session: Grown) -> None:
    update_index(home=session.home)
    _drain(search("a OR u", home=session.home))


OPERATIONS: dict[str, Callable[[Grown], Any]] = {
    "list": lambda session: list_sessions(home=session.home),
    "load": lambda session: load_history(session.path),
    "turns": lambda session: session.history.turns,
    "to_input": lambda session: session.history.to_input(),
    "document": lambda session: session.history.document(),
    "live document": _build,
    "to_dataframe": lambda session: session.history.to_dataframe(),
    "notebook": lambda session: session.history._repr_mimebundle_(),
    "html": lambda session: _drain(export_html(session.history)),
    "html, conversation": lambda session: _drain(export_html(session.history, detail="conversation")),
    "markdown": lambda session: _drain(export_markdown(session.history)),
    "text": lambda session: _drain(export_text(session.history)),
    "json": lambda session: _drain(export_json(session.history)),
    "show": lambda session: _show(session, TextRenderer(12)),
    "show at a terminal": lambda session: _show(session, TerminalRenderer(12)),
    "follow": _follow,
    "stats": lambda session: session_stats(session.path),
    "storage": lambda session: session_storage(session.path),
    "search the files": lambda session: _drain(search("zzzz", home=session.home)),
    "index": _index,
    "verify": lambda session: verify(session.path),
    "repair": lambda session: repair(session.path, to=session.other("copy")),
    "secrets": lambda session: _drain(scan(session.path)),
    "redact": lambda session: redacted(session.history, Redaction()),
    "fork": lambda session: fork(session.path, home=session.other("forks")),
}
"""Names, and what is done with a session."""
