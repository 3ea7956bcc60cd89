"""
A session with one item of every kind that a page shows.
"""

from __future__ import annotations

import json
from pathlib import Path

from rollout.codec import encode_item
from tests.rollouts import (
    GIT,
    TIME_MS,
    Line,
    answer,
    event,
    item,
    message,
    meta,
    prompt,
    put,
    surroundings,
    token_count,
)

LONG_LINES = 5_000
"""Number of lines of the output that a page truncates."""
NEEDLE = "needle in the folded output"
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_ANSWER = """\
The parser drops the last token. **One line** mends it:

```python
def tokens(text: str) -> list[str]:
    return [*text.split(), ""]  # the end
```

| file | lines |
|---|---:|
| `parser.py` | 12 |

1. Read the [notes](https://example.com/notes)
2. Run the tests

> It was there from the beginning.
"""
_PATCH = """\
*** Begin Patch
*** Update File: src/parser.py
@@ def tokens
-    return text.split()
+    return [*text.split(), ""]
*** Add File: src/new.py
+print("new")
*** End Patch"""
_COLOURED = "\x1b[1mtests/test_parser.py\x1b[0m \x1b[32mPASSED\x1b[0m\n\x1b[31;1mFAILED\x1b[0m tests/test_lexer.py\n"


def _run_command(call_id: str, command: str, output: str, code: int = 0) -> list[Line]:
    arguments = json.dumps({"command": ["bash", "-lc", command]})
    result = json.dumps({"output": output, "metadata": {"exit_code": code, "duration_seconds": 1.5}})
    return [
        item("function_call", name="shell", arguments=arguments, call_id=call_id),
        item("function_call_output", call_id=call_id, output=result),
    ]


def _tokens(total: int) -> Line:
    used = {"input_tokens": total - 100, "cached_input_tokens": 0, "output_tokens": 100, "total_tokens": total}
    return token_count(used, rate_limits=None)


def lines(turn_count: int = 12) -> list[Line]:
    """
    Return the lines of the session.

    Args:
        turn_count: Number of turns, at least 2.
    """
    steps = [{"step": "Look", "status": "completed"}, {"step": "Mend", "status": "in_progress"},
             {"step": "Test", "status": "pending"}]  # fmt: skip
    plan = json.dumps({"explanation": "Three steps", "plan": steps})
    pixel, question = f"data:image/png;base64,{_PIXEL}", "And what is on this picture?"
    asked = [{"type": "input_text", "text": question}, {"type": "input_image", "image_url": pixel}]
    whole = "\n".join(f"{n} of the long output{' ' + NEEDLE if n == 100 else ''}" for n in range(LONG_LINES))
    thought = [{"type": "summary_text", "text": "**Looking** for where the last token goes."}]
    first: list[Line] = [
        meta(git=GIT, model_provider="mock"), message("developer", "Be careful. " * 40), surroundings(),
        *prompt("Mend the parser, please.\nIt drops the last token."),
        ("turn_context", {"cwd": "/home/dev/demo", "model": "gpt-5-codex", "approval_policy": "never"}),
        item("reasoning", summary=thought, content=None, encrypted_content="x"), _tokens(1_200),
        item("function_call", name="update_plan", arguments=plan, call_id="plan"),
        item("function_call_output", call_id="plan", output="Plan updated"),
        *_run_command("one", "pytest -q tests", _COLOURED, 1), _tokens(2_400),
        *_run_command("long", "cat /var/log/everything", whole), _tokens(9_000),
        item("custom_tool_call", name="apply_patch", input=_PATCH, call_id="patch", status="completed"),
        item("custom_tool_call_output", call_id="patch", output="Success."), *answer(_ANSWER), _tokens(12_000),
        item("message", role="user", content=asked), event("user_message", message=question, images=[pixel]),
        *answer("A pixel."), event("turn_aborted", reason="interrupted"),
        ("compacted", {"message": "The parser was mended."}), event("error", message="stream disconnected"),
        ("unheard_of", {"kind": "of another version", "value": [1, 2, 3]}),
    ]  # fmt: skip
    for number in range(3, turn_count + 1):
        first += [
            *prompt(f"Question {number}"),
            *_run_command(f"call{number}", f"make {number}", f"made {number}\n" * 5),
        ]
        first += [*answer(f"Answer {number}. " + "It is as it is. " * 30), _tokens(12_000 + 1_000 * number)]
    return first


def put_sample(home: Path, turn_count: int = 12) -> Path:
    """
    Write the session into a home, and return its file. The lines are 2 s apart, and one is unreadable.
    """
    coded = [
        encode_item(kind, payload, time_ms=TIME_MS + 2_000 * n) for n, (kind, payload) in enumerate(lines(turn_count))
    ]
    return put(home, b"".join([*coded[:30], b'{"torn\n', *coded[30:]]))
