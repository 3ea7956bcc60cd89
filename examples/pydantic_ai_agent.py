"""
An agent of Pydantic AI with one tool, recorded. The model is a server on this machine, so no key is needed:

    pip install "rollout-recorder[pydantic-ai]"
    python examples/pydantic_ai_agent.py [--home HOME]
"""

from __future__ import annotations

import argparse

from loopback import ModelServer
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

import rollout
from rollout.adapters.pydantic_ai import PydanticAIHook
from rollout.export import export_text


def get_weather(city: str) -> str:
    """
    Return the weather of a city.
    """
    return f"sunny in {city}"


def main() -> None:
    """
    Record the agent, and print its session.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", help="home folder of the session, by default $CODEX_HOME or ~/.codex")
    home = parser.parse_args().home
    with ModelServer() as server, PydanticAIHook(home=home) as hook:
        model = OpenAIResponsesModel("m", provider=OpenAIProvider(base_url=f"{server.url}/v1", api_key="none"))
        agent = Agent(model, tools=[get_weather], instructions="Be short.", capabilities=[hook])
        agent.run_sync("What is the weather in Paris?")
    (path,) = hook.sessions.values()
    print(path)
    print("".join(export_text(rollout.load_history(path))))


if __name__ == "__main__":
    main()
