"""
An agent of DSPy whose calls of tools are texts, recorded; the model is a server on this machine.

    pip install "rollout-recorder[dspy]"
    python examples/dspy_agent.py [--home HOME]
"""

from __future__ import annotations

import argparse
import json

import dspy
from loopback import TEXT, Answer, ModelServer

import rollout
from rollout.adapters.dspy import DSPyHook

STEPS = [
    {"next_thought": "I ask.", "next_tool_name": "get_weather", "next_tool_args": '{"city": "Paris"}'},
    {"next_thought": "I know.", "next_tool_name": "finish", "next_tool_args": "{}"},
    {"reasoning": "The tool has told it.", "answer": TEXT},
]


def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return f"sunny in {city}"


def main() -> None:
    """
    Run the agent, then print the session.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", help="home folder of the session, by default $CODEX_HOME or ~/.codex")
    home = parser.parse_args().home
    answers = [Answer("\n".join(f"[[ ## {key} ## ]]\n{value}" for key, value in step.items())) for step in STEPS]
    with ModelServer(answers) as server, rollout.Recorder(home=home) as rec, DSPyHook(rec) as hook:
        model = dspy.LM("openai/gpt-4o", api_base=f"{server.url}/v1", api_key="none", cache=False)
        dspy.configure(lm=model, callbacks=[hook])
        print(dspy.ReAct("question -> answer", tools=[get_weather])(question="What is the weather?").answer)
    print(rec.path)
    for item in rollout.load_history(rec.path).to_input():
        print(f"  {item['type']}: {json.dumps(item, ensure_ascii=False)[:100]}")


if __name__ == "__main__":
    main()
