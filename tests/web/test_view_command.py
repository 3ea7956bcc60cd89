from __future__ import annotations

import signal
import sys
import urllib.request
import webbrowser
from pathlib import Path

import pytest

from rollout.cli import _app
from rollout.web import Viewer, make_viewer
from tests.cli.conftest import Run, Running, run
from tests.rollouts import ID, put, seed_session

__all__ = ["run"]


@pytest.fixture(autouse=True)
def interrupt_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Raise KeyboardInterrupt as soon as the viewer is served.
    """

    def serve(self: Viewer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Viewer, "serve_forever", serve)


@pytest.fixture
def opened_urls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: found.append(url) or True)
    return found


def test_view_prints_only_its_url(run: Run, home: Path, opened_urls: list[str]) -> None:
    done = run("view")

    assert done.status == 130
    assert done.out.startswith("http://127.0.0.1:")
    assert done.out.count("\n") == 1
    assert opened_urls == []


def test_view_opens_the_browser_on_a_terminal(run: Run, home: Path, opened_urls: list[str]) -> None:
    done = run("view", screen=True)

    assert opened_urls == [done.out.strip()]
    assert "press Ctrl-C to stop" in done.err


def test_view_opens_no_browser_with_no_browser_option(run: Run, home: Path, opened_urls: list[str]) -> None:
    run("view", "--no-browser", screen=True)

    assert opened_urls == []


def test_view_begins_with_the_given_session(run: Run, home: Path) -> None:
    put(home, seed_session("q"))

    for reference in ("@last", ID[:13]):
        assert run("view", reference).out.strip().endswith(f"/s/{ID}")


def test_view_of_a_missing_session_is_an_error(run: Run, home: Path) -> None:
    assert "no session" in run("view", "01a1").err
    assert run("view", "/nowhere.jsonl").status == 2


def test_view_listens_on_the_given_host(run: Run, home: Path, tmp_path: Path) -> None:
    done = run("view", "--host", "::1", "--home", tmp_path)

    assert done.out.startswith("http://[::1]:")
    assert "other machines" not in done.err
    assert run("view", "--port", "99999").status == 2


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104
@pytest.mark.promise("viewer")
def test_view_warns_when_other_machines_can_reach_it(run: Run, home: Path, host: str) -> None:
    done = run("view", "--host", host)

    assert done.status == 130
    assert done.out.startswith("http://127.0.0.1:")
    assert done.out.count("\n") == 1
    assert "other machines can reach the viewer at http://" in done.err
    assert done.out.rpartition(":")[2].strip() in done.err
    assert "Anyone who knows this URL can read every session" in done.err


@pytest.mark.parametrize(
    ("host", "reason"),
    [("nowhere.invalid", "nowhere.invalid: "), ("203.0.113.7", "203.0.113.7:0: "), ("x" * 70, "is not a host name")],
)
def test_view_on_a_host_that_is_not_of_this_machine_is_an_error(run: Run, home: Path, host: str, reason: str) -> None:
    done = run("view", "--host", host)

    assert (done.status, done.out) == (2, "")
    assert reason in done.err
    assert "Traceback" not in done.err


def test_view_ends_on_sigterm_with_status_143(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(self: Viewer) -> None:
        signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(Viewer, "serve_forever", serve)

    with pytest.raises(SystemExit) as exit_info:
        run("view")

    assert exit_info.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


def test_view_on_a_port_in_use_is_an_error(run: Run, home: Path) -> None:
    viewer = make_viewer(home)
    port = viewer.url.split(":")[2].partition("/")[0]

    done = run("view", "--port", port)
    viewer.close()

    assert done.status == 2
    assert f"127.0.0.1:{port}: Address already in use" in done.err


def test_view_without_its_extra_names_the_extra(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("rollout.web")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "flask", None)

    done = run("view")

    assert done.status == 2
    assert "pip install 'rollout-recorder[web]'" in done.err


def test_view_serves_until_it_is_interrupted(home: Path) -> None:
    put(home, seed_session("a question"))
    running = Running("view")
    assert running.process.stdout is not None
    url = running.process.stdout.readline().strip()

    with urllib.request.urlopen(url) as answer:  # noqa: S310
        page = answer.read().decode()
    done = running.interrupt()

    assert "a question" in page
    assert (done.status, done.out, done.err) == (130, "", "rollout: interrupted\n")


def test_view_ends_at_once_with_an_open_event_stream(home: Path) -> None:
    put(home, seed_session("a question"))
    running = Running("view", ID)
    assert running.process.stdout is not None
    url = running.process.stdout.readline().strip()
    stream = urllib.request.urlopen(f"{url}/events")  # noqa: S310
    assert stream.readline() == b"retry: 1000\n"

    running.process.send_signal(signal.SIGINT)

    assert running.process.wait(10) == 130
    stream.close()
    running.end()


def test_view_is_a_command_of_rollout() -> None:
    assert _app.COMMANDS["view"] == "_view"
