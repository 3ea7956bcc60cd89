"""
A session that `instrument` records of each API: a prompt, reasoning, a call with its output, and an answer.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout import instrument
from tests.adapters.apis import APIS, Agent, Answer, Api, ModelServer, only

PROMPT = "What is the weather in Paris?"
OUTPUT = "sunny, 21 °C"
ANSWER = "It is sunny in Paris."

each_api = pytest.mark.parametrize("api", APIS, ids=repr)


def weather_server() -> ModelServer:
    """
    Start a model that reasons, calls a tool, and then answers.
    """
    call = Answer(reasoning="I need the tool.", calls=[("get_weather", {"city": "Paris"})])
    return ModelServer([call, Answer(text=ANSWER)])


def record_weather(api: Api, server: ModelServer) -> Path:
    """
    Record a prompt, reasoning, a call with its output, and an answer; return the file.
    """
    with instrument() as sessions:
        agent = Agent(api, server)
        body = agent.ask(PROMPT, tools=[api.tool])
        agent.context.append(api.output(api.call_id(body), OUTPUT))
        agent.go_on(tools=[api.tool])
        agent.close()
    assert sessions.problems == {}
    return only(sessions)
