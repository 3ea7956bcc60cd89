"""
A session in which something of every kind is said.
"""

from __future__ import annotations

from pathlib import Path

from rollout import History, load_history
from rollout.codec import encode_item
from tests.builders import call, output_with_code
from tests.rollouts import GIT, TIME_MS, Line, answer, event, message, meta, prompt, put, surroundings, token_count

PATCH = """*** Begin Patch
*** Update File: parser.py
*** Move to: parsing.py
@@ def parse(line):
-    kind = line[0]
+    if not line.strip():
+        return None
     return KINDS[kind]
*** Add File: tests/test_empty.py
+def test_empty_line():
*** End Patch"""
ANSWER = """## What was *wrong*

The **first character**; see <b>here</b>, [there](javascript:alert(1)) and ![it](http://example.com/x.png):

```python
kind = line[0]  # <b>
```

| file | change |
|---|---|
| `parser.py` | +3 |
"""
PNG = "data:image/png;base64," + "iVBORw0KGgo="
STEPS = [
    {"step": "Reproduce", "status": "completed"},
    {"step": "Fix *it*", "status": "in_progress"},
    {"step": "Test", "status": "pending"},
]


def patch(text: str = PATCH) -> list[Line]:
    return [
        ("response_item", {"type": "custom_tool_call", "name": "apply_patch", "input": text, "call_id": "patch"}),
        ("response_item", {"type": "custom_tool_call_output", "call_id": "patch", "output": "Done."}),
    ]


def pictured(text: str, *sources: str) -> Line:
    parts = [{"type": "input_image", "image_url": source} for source in sources]
    return "response_item", {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": text}, *parts],
    }


def usage(total: int) -> Line:
    counts = {"input_tokens": total - 100, "output_tokens": 100, "total_tokens": total}
    return token_count(counts, rate_limits=None)


def everything() -> list[Line]:
    return [
        meta(git=GIT),
        surroundings(),
        ("turn_context", {"cwd": "/home/dev/demo", "model": "gpt-5-codex", "approval_policy": "never"}),
        event("task_started", turn_id="1"),
        *prompt("Fix the parser.\nThen test it."),
        ("response_item", {"type": "reasoning", "summary": [{"type": "summary_text", "text": "**Look** at it"}]}),
        call("update_plan", {"explanation": "Tests first.", "plan": STEPS}, "plan"),
        output_with_code("Plan updated", "plan"),
        call("shell", {"command": ["bash", "-lc", "pytest -q"]}, "fail"),
        output_with_code("\x1b[31mE\x1b[0m\x1b[K one\n" + "\n".join(f"line {n}" for n in range(40)), "fail", 1),
        *patch(),
        call("fetch", {"url": "https://example.com", "deep": [1]}, "mcp"),
        output_with_code([{"type": "input_text", "text": "page"}, {"type": "input_image", "image_url": PNG}], "mcp"),
        pictured("And this.", PNG, "https://example.com/evil.png", "data:image/svg+xml,<svg/>"),
        *answer(ANSWER),
        usage(2100),
        event("task_complete", turn_id="1", last_agent_message=ANSWER, duration_ms=84_000),
        event("task_started", turn_id="2"),
        *prompt("Deploy."),
        call("shell", {"command": ["bash", "-lc", "make deploy"]}, "open"),
        event("error", message="stream disconnected"),
        event("turn_aborted", reason="interrupted"),
        ("compacted", {"message": "It was **fixed**.", "replacement_history": [{"type": "message"}]}),
        event("thread_rolled_back", num_turns=1),
        ("response_item", {"type": "agent_message", "author": "a", "recipient": "b", "content": "psst"}),
        event("plan_update", explanation="", plan=STEPS[:1]),
        event("background_event", message="one\ntwo"),
        ("future_line", {"what": "ever"}),
        message("developer", "Be brief."),
    ]


def data() -> bytes:
    """
    Return the file of this session, with a gap of seven minutes and an unreadable line.
    """
    lines = enumerate(everything())
    gaps = 420_000
    raw = [encode_item(kind, part, time_ms=TIME_MS + n * 2000 + (gaps if n > 20 else 0)) for n, (kind, part) in lines]
    return b"".join([*raw[:-1], b"garbage\n", raw[-1]])


def loaded(home: Path, lines: bytes | list[Line] | None = None) -> History:
    return load_history(put(home, data() if lines is None else lines))
