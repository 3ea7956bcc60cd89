"""
An agent on LiteLLM, whose requests to a model of Anthropic are recorded; the model is a server on this machine.

    pip install "rollout-recorder[litellm]"
    python examples/litellm_agent.py [--home HOME]
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import litellm
from loopback import ModelServer

import rollout
from rollout.adapters.litellm import LiteLLMHook

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}


def agent(question: str, **settings: Any) -> str:
    """Ask the model, and run what it calls, until it answers."""
    messages: list[Any] = [{"role": "user", "content": question}]
    while True:
        messages.append(litellm.completion(messages=messages, tools=[TOOL], **settings).choices[0].message)
        if not messages[-1].tool_calls:
            return str(messages[-1].content)
        for call in messages[-1].tool_calls:
            output = f"sunny in {json.loads(call.function.arguments)['city']}"
            messages.append({"role": "tool", "tool_call_id": call.id, "content": output})


def main() -> None:
    """
    Run the agent, then print the session.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", help="home folder of the session, by default $CODEX_HOME or ~/.codex")
    with ModelServer() as server, rollout.Recorder(home=parser.parse_args().home) as rec, LiteLLMHook(rec):
        print(agent("What is the weather?", model="anthropic/m", api_base=server.url, api_key="none"))
    print(rec.path)
    for item in rollout.load_history(rec.path).to_input():
        print(f"  {item['type']}: {json.dumps(item, ensure_ascii=False)[:100]}")


if __name__ == "__main__":
    main()
