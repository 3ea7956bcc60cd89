"""
An agent of the OpenAI Agents SDK whose session a second program could continue: two runs, one file.

The model is a server on this machine with prepared answers, so no key is needed:

    pip install "rollout-recorder[agents]"
    python examples/openai_agents_agent.py [--home HOME]
"""

from __future__ import annotations

import argparse

from agents import Agent, OpenAIResponsesModel, Runner, function_tool, set_trace_processors
from loopback import ModelServer
from openai import AsyncOpenAI

import rollout
from rollout.adapters.agents import Processor, Session


@function_tool
def get_weather(city: str) -> str:
    """Return the weather in a city."""
    return f"sunny in {city}, 21 °C"


def main() -> None:
    """
    Record two runs, and print the turns of their session.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", help="home folder of the session, by default $CODEX_HOME or ~/.codex")
    home = parser.parse_args().home
    with ModelServer() as server, Processor(home=home) as processor:
        set_trace_processors([processor])
        model = OpenAIResponsesModel("gpt-5.1", AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none"))
        agent = Agent(name="weather", instructions="Answer briefly.", model=model, tools=[get_weather])
        with Session(home=home) as session:
            print(Runner.run_sync(agent, "What is the weather in Paris?", session=session).final_output)
        with Session(session.session_id, home=home) as session:
            Runner.run_sync(agent, "And tomorrow?", session=session)
    print(session.recorder.path)
    for turn in rollout.load_history(session.recorder.path).turns:
        print(f"{turn.prompt}: {len(turn.lines)} lines")


if __name__ == "__main__":
    main()
