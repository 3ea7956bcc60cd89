"""
An agent on the SDK of Google, recorded by the event hooks of its HTTP client.

The model is a server on this machine, so no key is needed:

    pip install rollout-recorder google-genai httpx2
    python examples/google_genai_agent.py [--home HOME]
"""

from __future__ import annotations

import argparse

import httpx2
from google import genai
from loopback import ModelServer

import rollout
from rollout.adapters.http import watch


def get_weather(city: str) -> str:
    """
    Return the weather of a city.
    """
    return f"sunny in {city}, 21 °C"


def main() -> None:
    """
    Record the agent, and print its session.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", help="home folder of the session, by default $CODEX_HOME or ~/.codex")
    home = parser.parse_args().home
    with ModelServer() as server, httpx2.Client() as http:
        client = genai.Client(api_key="none", http_options={"base_url": server.url, "httpx_client": http})
        with watch(http, home=home) as sessions:
            # The SDK calls the function itself.
            chat = client.chats.create(model="gemini-3-pro", config={"tools": [get_weather]})
            print(chat.send_message("What is the weather in Paris?").text)
    (path,) = sessions.sessions.values()
    for item in rollout.load_history(path).to_input():
        print(f"  {item['type']}: {item.get('content') or item.get('arguments') or item.get('output') or ''}")
    print(path)


if __name__ == "__main__":
    main()
