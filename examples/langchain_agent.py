"""
An agent of LangChain with one tool, recorded by `Handler`. The model is a server in this process: no key, no network.

    pip install "rollout-recorder[langchain]" langchain langchain-openai
    python examples/langchain_agent.py [--home HOME]
"""

from __future__ import annotations

import argparse

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from loopback import ModelServer

from rollout import load_history
from rollout.adapters.langchain import Handler


def get_weather(city: str) -> str:
    """
    Return the weather of a city.
    """
    return f"sunny in {city}"


def main() -> None:
    """
    Ask the agent, then print what was recorded.
    """
    parser = argparse.ArgumentParser(description=__doc__.strip().partition("\n")[0])
    parser.add_argument("--home", help="home folder of the session, by default $CODEX_HOME or ~/.codex")
    with ModelServer() as server, Handler(home=parser.parse_args().home) as handler:
        model = ChatOpenAI(model="gpt-5", base_url=f"{server.url}/v1", api_key="none", use_responses_api=True)
        agent = create_agent(model, [get_weather], system_prompt="You know the weather.")
        question = {"messages": [{"role": "user", "content": "What is the weather in Paris?"}]}
        agent.invoke(question, config={"callbacks": [handler]})
    for path in handler.sessions.values():
        print(path)
        for item in load_history(path).to_input():
            text = item.get("content") or item.get("summary") or item.get("output")
            text = text[0]["text"] if isinstance(text, list) else text or f"{item['name']} {item['arguments']}"
            print(f"  {item.get('role', item['type']):>20}: {text}")


if __name__ == "__main__":
    main()
