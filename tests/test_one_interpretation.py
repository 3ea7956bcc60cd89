"""
Only `rollout.interpret` decides what a line means: no other package reads the values that decide it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import rollout

PACKAGE = Path(rollout.__file__).parent
# The packages below `interpret`, what writes sessions, and what checks or repairs their form. The dialects and adapters
# read the bodies of model APIs, which become lines.
FORM = (
    "interpret",
    "schema",
    "codec.py",
    "dialects",
    "adapters",
    "recording",
    "reading/_verify.py",
    "reading/_repair.py",
)
# Types of events and items whose meaning is to be interpreted.
TYPES = {
    "agent_message", "agent_reasoning", "context_compacted", "custom_tool_call", "custom_tool_call_output",
    "exec_command_end", "function_call", "function_call_output", "item_completed", "local_shell_call",
    "mcp_tool_call_end", "patch_apply_end", "task_complete", "task_started", "thread_rolled_back", "token_count",
    "token_usage_record", "turn_aborted", "turn_complete", "turn_started", "user_message", "web_search_call",
}  # fmt: skip
# Keys of payloads that decide what a line means.
KEYS = {
    "aggregated_output", "call_id", "content", "duration_ms", "exit_code", "forked_from_id", "info", "isError", "item",
    "last_token_usage", "num_turns", "output", "parent_thread_id", "replacement_history", "role", "started_at",
    "status", "success", "total_token_usage", "turn_id", "usage",
}  # fmt: skip
# What is no interpretation.
ALLOWED = {
    # The rule by which Codex of 2025 leaves sessions out of its list.
    ("sessions/_listing.py", "user_message"),
    # The items for a model are those of the file: a call and its output belong together by their id.
    ("sessions/_model_input.py", "call_id"),
    ("sessions/_model_input.py", "replacement_history"),
    # The plain state of an interpreter, in the index.
    ("stats/_counter.py", "usage"),
    # How much of a file repeats what stands before it.
    ("storage.py", "replacement_history"),
}


def reads_of(path: Path) -> Iterator[str]:
    """
    Yield the types and keys that a module reads: in ``x.get("key")``, ``x["key"]`` and comparisons with a type.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        found: list[ast.expr] = []
        wanted = KEYS
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            found = node.args[:1]
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            found = [node.slice]
        elif isinstance(node, ast.Compare):
            found, wanted = [node.left, *node.comparators], TYPES
        for part in found:
            names = part.elts if isinstance(part, (ast.Tuple, ast.Set, ast.List)) else [part]
            for name in names:
                if isinstance(name, ast.Constant) and name.value in wanted:
                    yield str(name.value)


def interpretations(folder: Path) -> set[tuple[str, str]]:
    """
    Return the reads of all modules that are to ask `rollout.interpret`.
    """
    paths = (path for path in folder.rglob("*.py") if not str(path.relative_to(folder)).startswith(FORM))
    return {(str(path.relative_to(folder)), name) for path in paths for name in reads_of(path)}


def test_no_other_package_reads_the_values_that_decide_what_a_line_means() -> None:
    assert interpretations(PACKAGE) - ALLOWED == set()


def test_every_exception_is_still_needed() -> None:
    assert interpretations(PACKAGE) >= ALLOWED


def test_a_module_that_interprets_is_found(tmp_path: Path) -> None:
    (tmp_path / "view.py").write_text(
        'def f(p):\n    return p.get("exit_code"), p["role"], p["type"] in ("token_count", "x")\n'
    )

    assert interpretations(tmp_path) == {("view.py", "exit_code"), ("view.py", "role"), ("view.py", "token_count")}
