"""
An agent of smolagents with one tool, recorded by its steps; the model is a server on this machine, so it needs no key.

    pip install "rollout-recorder[smolagents]" "smolagents[openai]" && python examples/smolagents_agent.py
"""

from __future__ import annotations

from loopback import ModelServer
from smolagents import OpenAIModel, Tool, ToolCallingAgent

from rollout import load_history
from rollout.adapters.smolagents import StepRecorder


class GetWeather(Tool):
    """The tool of the agent."""

    name = "get_weather"
    description = "Returns the weather of a city."
    inputs = {"city": {"type": "string", "description": "Name of the city."}}  # noqa: RUF012 -- the form of smolagents
    output_type = "string"

    def forward(self, city: str) -> str:
        """Return the weather of a city."""
        return f"sunny in {city}"


def main() -> None:
    """
    Run the agent, then print the session.
    """
    with ModelServer() as server:
        model = OpenAIModel(model_id="gpt-4o", api_base=f"{server.url}/v1", api_key="none")
        agent = ToolCallingAgent(tools=[GetWeather()], model=model, verbosity_level=0)
        with StepRecorder().attach(agent) as steps:
            agent.run("What is the weather in Paris?")
    for path in steps.sessions.values():
        print(path)
        for item in load_history(path).to_input():
            text = (
                item.get("output") or item.get("arguments") or (item.get("content") or item.get("summary"))[0]["text"]
            )
            print(f"  {item.get('role') or item['type']}: {item.get('name', '')} {text[:60]!r}")


if __name__ == "__main__":
    main()
