from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from rollout import Recorder

# No deadline: two tests run at once, and the first one that draws text makes a table of all characters. The examples
# are the same in every run, so that the coverage does not change by chance; `make stress` draws twice as many others.
settings.register_profile(
    "rollout", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.register_profile("stress", settings.get_profile("rollout"), max_examples=100, derandomize=False)
settings.load_profile("rollout")

# A shell starts its background jobs with SIGINT ignored, which programs started by tests would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

PROMISES: dict[str, dict[str, Any]] = {}


@pytest.fixture(autouse=True)
def no_thread_outlives_its_test() -> Iterator[None]:
    before = set(threading.enumerate())

    yield

    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        # A thread that another one is starting is listed before it can be joined.
        for _ in range(1000):
            if thread.ident is not None:
                break
            time.sleep(0.005)
        thread.join(5)
    assert [thread.name for thread in left if thread.is_alive()] == []


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # For every test, so that none finds the real home of the user.
    folder = tmp_path / "home"
    monkeypatch.setenv("CODEX_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def set_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """
    Return a function that sets the time zone of this process. By default tests, and so their exports, are in UTC.
    """

    def change(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    change("UTC")
    yield change
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def recorder(home: Path, tmp_path: Path) -> Iterator[Recorder]:
    with Recorder(home=home, cwd=tmp_path) as recorder:
        yield recorder


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """
    Return a function that stores a figure of a test of a guarantee, for docs/guarantees.md.
    """
    return lambda text: request.node.user_properties.append(("figure", text))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    promise = next((row for key, row in report.user_properties if key == "promise"), None)
    if promise and (report.when == "call" or report.outcome != "passed"):
        figures = [text for key, text in report.user_properties if key == "figure"]
        row, naive = promise
        PROMISES[report.nodeid] = {"row": row, "naive": naive, "outcome": report.outcome, "figures": figures}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        mark = item.get_closest_marker("promise")
        if mark is not None:
            item.user_properties.append(("promise", (mark.args[0], mark.kwargs.get("naive"))))


def pytest_sessionfinish() -> None:
    path = os.environ.get("ROLLOUT_PROMISES")
    if path:
        Path(path).write_text(json.dumps(PROMISES))
