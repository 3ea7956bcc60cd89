from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rollout.adapters import Instrumentation, instrument
from tests.adapters.apis import Agent, Api, ModelServer

Record = Callable[..., Instrumentation]
MakeAgent = Callable[..., Agent]


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def record() -> Iterator[Record]:
    """
    Return a function that instruments; the end of the test undoes it.
    """
    made: list[Instrumentation] = []

    def record(target: Any = None, **settings: Any) -> Instrumentation:
        made.append(instrument(target, **settings))
        return made[-1]

    yield record
    for own in reversed(made):
        own.undo()


@pytest.fixture
def agent(server: ModelServer) -> Iterator[MakeAgent]:
    """
    Return a function that makes an agent of an API; the end of the test closes it, before the server.
    """
    made: list[Agent] = []

    def agent(api: Api, **settings: Any) -> Agent:
        pytest.importorskip(api.package, reason=f"the SDK {api.package} is not installed")
        made.append(Agent(api, settings.pop("server", server), **settings))
        return made[-1]

    yield agent
    for own in made:
        own.close()
