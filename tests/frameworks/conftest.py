from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "examples"))

from loopback import ModelServer

# Frameworks keep threads; those of this package and of the server must end.
OWN_THREADS = ("rollout", "model-server")
# No test may reach a real service.
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "LANGSMITH_API_KEY")


@pytest.fixture(autouse=True)
def no_thread_outlives_its_test() -> Iterator[None]:
    before = set(threading.enumerate())

    yield

    left = [thread for thread in threading.enumerate() if thread not in before and thread.name.startswith(OWN_THREADS)]
    for thread in left:
        thread.join(5)
    assert [thread.name for thread in left if thread.is_alive()] == []


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def serve() -> Iterator[Callable[..., ModelServer]]:
    """
    Return a function that starts a server with answers, or with a function that returns them.
    """
    with ExitStack() as servers:

        def serve(*answers: Any) -> ModelServer:
            is_function = len(answers) == 1 and callable(answers[0])
            return servers.enter_context(ModelServer(answers[0] if is_function else answers))

        yield serve
