"""
A small agent that answers questions about a folder, and records what it does.

Like any agent, it has a loop, tools and a model. The model is a few rules, so that the example runs without a network
and without a key. The tools are real commands. `rollout` records each step in a session; then the example loads,
lists and prints the session.

    python examples/folder_agent.py [--home HOME] [FOLDER [QUESTION]]
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from pathlib import Path
from typing import Any

from rollout import Recorder, list_sessions, load_history

QUESTION = "What is the largest file here, and how many lines of Python are there?"
TOOLS = {
    "largest_files": "find . -type f -not -path './.*' -exec wc -c {} + | grep -v ' total$' | sort -rn | head -3",
    "count_python_lines": "find . -name '*.py' -not -path './.*' -exec cat {} + | wc -l",
    "list_files": "ls -l",
}


def rule_model(question: str, answers: dict[str, str]) -> dict[str, Any]:
    """
    Return the next step: a tool call or an answer.
    """
    wanted = {
        "largest_files": re.search(r"largest|biggest|size", question, re.I),
        "count_python_lines": re.search(r"how many lines|python", question, re.I),
    }
    plan = [name for name, is_wanted in wanted.items() if is_wanted] or ["list_files"]
    for tool in plan:
        if tool not in answers:
            return {"thought": f"I need `{tool}` to answer this.", "call": tool}
    parts = []
    if "largest_files" in answers:
        size, _, name = answers["largest_files"].strip().partition("\n")[0].partition(" ")
        parts.append(f"The largest file is {name} with {size} bytes.")
    if "count_python_lines" in answers:
        parts.append(f"There are {answers['count_python_lines'].strip()} lines of Python.")
    if "list_files" in answers:
        parts.append(f"I see:\n{answers['list_files']}")
    return {"thought": "I know enough.", "answer": " ".join(parts)}


def run_tool(name: str, folder: Path) -> dict[str, Any]:
    """
    Run a tool's command in the folder.
    """
    done = subprocess.run(["sh", "-c", TOOLS[name]], cwd=folder, capture_output=True, text=True, check=False)
    return {"output": done.stdout + done.stderr, "metadata": {"exit_code": done.returncode}}


def answer(question: str, folder: Path, recorder: Recorder) -> str:
    """
    Run the loop of the agent and record every step.
    """
    recorder.turn_context(model="rule-model")
    recorder.user_message(question)
    answers: dict[str, str] = {}
    while True:
        step = rule_model(question, answers)
        recorder.reasoning(step["thought"])
        if "answer" in step:
            recorder.agent_message(step["answer"])
            return str(step["answer"])
        call_id = recorder.tool_call("shell", {"command": ["sh", "-c", TOOLS[step["call"]]]})
        result = run_tool(step["call"], folder)
        recorder.tool_output(call_id, result)
        answers[step["call"]] = result["output"]


def main() -> None:
    """
    Answer the question, then print the recorded session.
    """
    parser = argparse.ArgumentParser(description=__doc__.strip().partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path.cwd())
    parser.add_argument("question", nargs="?", default=QUESTION)
    parser.add_argument("--home", type=Path, default=Path(".demo-home"), help="where to record (default: %(default)s)")
    args = parser.parse_args()

    with Recorder(home=args.home, cwd=args.folder) as recorder:
        answer(args.question, args.folder, recorder)

    history = load_history(recorder.path)
    print(f"The loaded session ({len(history.lines)} lines, {len(history.skipped)} skipped):\n")
    for item in history.to_input():
        print_item(item)
    page = list_sessions(home=args.home)
    print(f"\nSessions in {args.home}, newest first:\n")
    for session in page.items:
        print(f"  {session.timestamp}  {session.session_id[:13]}  {session.preview}")
    print(f"\nThe file:\n\n  {recorder.path}\n")
    print("Codex lists and resumes it if CODEX_HOME is that home:\n")
    print(f"  CODEX_HOME={args.home.absolute()} codex resume {recorder.session_id}")


def print_item(item: dict[str, Any]) -> None:
    """
    Print one item of the conversation.
    """
    if item["type"] == "message":
        print(f"  {item['role']:>9}: {item['content'][0]['text']}")
    elif item["type"] == "reasoning":
        print(f"  {'thinks':>9}: {item['summary'][0]['text']}")
    elif item["type"] == "function_call":
        print(f"  {'runs':>9}: {json.loads(item['arguments'])['command'][-1]}")
    elif item["type"] == "function_call_output":
        print(f"  {'gets':>9}: {json.loads(item['output'])['output'].strip().splitlines()}")


if __name__ == "__main__":
    main()
