"""
An agent on the Anthropic SDK, streamed, recorded with one line: only this client, undone at the end.

The model is a server on this machine with prepared answers, so no key is needed:

    pip install rollout-recorder anthropic
    python examples/anthropic_agent.py [--home HOME]
"""

from __future__ import annotations

import argparse

from anthropic import Anthropic
from loopback import Answer, ModelServer

import rollout

TOOLS = [{"name": "get_weather", "input_schema": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
}}]  # fmt: skip
ANSWERS = (
    Answer(calls=[("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Rome"})], reasoning="I ask for both."),
    Answer("Take the train to Rome: it is sunny there."),
)


def get_weather(city: str) -> str:
    """
    Return the weather in a city.
    """
    return {"Paris": "rain, 12 °C"}.get(city, "sunny, 21 °C")


def agent(client: Anthropic, question: str) -> str:
    """
    Ask the model, and run what it calls, until it answers.
    """
    messages = [{"role": "user", "content": question}]
    while True:
        with client.messages.stream(model="claude", max_tokens=500, messages=messages, tools=TOOLS) as stream:
            answer = stream.get_final_message()
        messages.append({"role": "assistant", "content": answer.content})
        calls = [block for block in answer.content if block.type == "tool_use"]
        if not calls:
            return "".join(block.text for block in answer.content if block.type == "text")
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": get_weather(**call.input)} for call in calls
        ]
        messages.append({"role": "user", "content": results})


def main() -> None:
    """
    Record the agent, and print the items of its session.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", help="home folder of the session, by default $CODEX_HOME or ~/.codex")
    home = parser.parse_args().home
    with ModelServer(ANSWERS) as server:
        client = Anthropic(base_url=server.url, api_key="none")
        with rollout.instrument(client, home=home) as sessions:  # the one line
            print(agent(client, "Where is the weather better today, in Paris or in Rome?"))
    (path,) = sessions.sessions.values()
    for line in rollout.load_history(path).to_input():
        print(line)


if __name__ == "__main__":
    main()
