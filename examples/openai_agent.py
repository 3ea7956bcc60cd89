"""
An agent on the OpenAI SDK that does not know `rollout`, recorded with one line.

The agent runs real commands. The model is a server on this machine with prepared answers, so no key is needed:

    pip install "rollout-recorder[html]" openai
    python examples/openai_agent.py [--home HOME]
"""

from __future__ import annotations

import argparse
import json
import subprocess

from loopback import Answer, ModelServer
from openai import OpenAI

import rollout
from rollout.export import export_html

TOOLS = [{"type": "function", "name": "run", "parameters": {
    "type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"],
}}]  # fmt: skip
ANSWERS = (
    Answer(
        calls=[("run", {"command": "wc -l *.md | sort -n | tail -3"}), ("run", {"command": "ls missing.txt"})],
        reasoning="**Counting lines**\n\nI need the sizes of the files, and I check whether the other file exists.",
    ),
    Answer("The longest page is in the last row of the first output. `missing.txt` does not exist."),
)


def run(command: str) -> str:
    """
    Run a command, and return its exit code and its output.
    """
    done = subprocess.run(
        ["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return f"Exit code: {done.returncode}\nOutput:\n{done.stdout}"


def agent(client: OpenAI, question: str) -> str:
    """
    Ask the model, and run what it calls, until it answers.
    """
    context = [{"role": "user", "content": question}]
    while True:
        response = client.responses.create(
            model="gpt-5.1", instructions="You answer questions about this folder.", input=context, tools=TOOLS
        )
        context += response.output
        calls = [item for item in response.output if item.type == "function_call"]
        if not calls:
            return response.output_text
        for call in calls:
            output = run(**json.loads(call.arguments))
            context.append({"type": "function_call_output", "call_id": call.call_id, "output": output})


def main() -> None:
    """
    Record the agent, and write its session as a page.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", help="home folder of the session, by default $CODEX_HOME or ~/.codex")
    home = parser.parse_args().home
    with ModelServer(ANSWERS) as server:
        client = OpenAI(base_url=f"{server.url}/v1", api_key="none")
        with rollout.instrument(home=home) as sessions:  # the one line
            print(agent(client, "Which page of this folder is the longest, and is missing.txt here?"))
    (path,) = sessions.sessions.values()
    page = path.with_suffix(".html")
    page.write_text("".join(export_html(rollout.load_history(path))), encoding="utf-8")
    print(f"{path}\n{page.as_uri()}")


if __name__ == "__main__":
    main()
