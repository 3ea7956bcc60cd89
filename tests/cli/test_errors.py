from __future__ import annotations

import os
import runpy
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import rollout as package
from rollout import Recorder, find_session, load_history
from rollout.cli import _app, main
from rollout.cli._exit_status import EXIT_STATUSES
from rollout.codec import decode_json
from rollout.store import rename_session
from tests.cli.conftest import COMMAND, Run
from tests.rollouts import ID, encode, put, seed_session

OTHER = "01a1fbb5-7abd-7c53-8766-f128212a613c"


def test_rollout_without_a_command_prints_help(run: Run) -> None:
    done = run()

    assert done.status == 0
    assert all(f"\n  {command} " in done.out for command in _app.COMMANDS)
    assert run("--help") == done
    assert all(
        f"\n  {status}  {meaning}\n" in done.out.replace("\n    ", "\n  ") for status, meaning in EXIT_STATUSES.items()
    )
    assert run("--version").out == f"rollout, version {package.__version__}\n"


@pytest.mark.parametrize("command", _app.COMMANDS)
def test_every_command_has_help_with_an_example(run: Run, command: str) -> None:
    done = run(command, "-h")

    assert (done.status, done.err) == (0, "")
    assert f"    rollout {command}" in done.out or f"(rollout {command}" in done.out or f"rollout {command}" in done.out
    assert "Example" in done.out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["lst"], "No such command 'lst'. Try 'rollout --help'."),
        (["show"], "Missing argument 'SESSION'. Try 'rollout show --help'."),
        (["list", "-n", "x"], "Invalid value for '-n': 'x' is not a valid integer"),
        (["completion"], "Missing argument '{bash|zsh|fish}'. Choose from: bash, zsh, fish. Try"),
        (["show", "nothing"], "no session 'nothing' in "),
        (["show", "@2"], "no session '@2' in "),
        (["show", "/no/such.jsonl"], "/no/such.jsonl: No such file or directory"),
        (["show", "/"], "/: Is a directory"),
        (["list", "--cursor", "x"], "'x' is not a cursor"),
    ],
)
def test_errors_are_one_line(run: Run, args: list[str], message: str) -> None:
    done = run(*args)

    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"rollout: {message}")
    assert done.err.count("\n") == 1


def test_an_ambiguous_prefix_is_reported_with_both_ids(home: Path, run: Run) -> None:
    put(home, seed_session("one"))
    put(home, seed_session("two"), session_id=OTHER)

    done = run("show", ID[:8])

    assert done.status == 2
    assert ID in done.err
    assert OTHER in done.err


def test_changing_a_live_session_exits_with_3(recorder: Recorder, run: Run) -> None:
    recorder.user_message("one")
    recorder.flush()

    assert [
        run(*args, recorder.session_id).status for args in (["archive"], ["delete", "-y"], ["record", "--resume"])
    ] == [*(3, 3, 3)]


@pytest.mark.parametrize(
    ("args", "kind", "status"),
    [
        (["show", "nothing", "--json"], "SessionNotFoundError", 2),
        (["show", "nothing", "--jsonl"], "SessionNotFoundError", 2),
        (["list", "--nonsense", "--json"], "NoSuchOption", 2),
        (["verify", "--json"], "UsageError", 2),
        (["show", "/no/such.jsonl", "--json"], "FileNotFoundError", 2),
    ],
)
def test_with_json_errors_are_json(run: Run, args: list[str], kind: str, status: int) -> None:
    done = run(*args)

    assert (done.status, done.out) == (status, "")
    assert decode_json(done.err)["schema_version"] == 2
    assert (done.error["type"], done.error["status"]) == (kind, status)


def test_without_the_extra_the_command_prints_what_to_install(tmp_path: Path) -> None:
    for missing in ("click", "rich.progress", "platformdirs"):
        script = f"import sys; sys.modules['{missing}'] = None; from rollout.cli import main; main(['path', 'x'])"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
        message = "pip install 'rollout-recorder[cli]'" if missing == "click" else "no session 'x'"
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_main_exits_with_the_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["list"])
    assert exited.value.code == 1

    monkeypatch.setattr(sys, "argv", ["rollout", "show", "nothing"])
    with pytest.raises(SystemExit) as exited:
        main()
    assert exited.value.code == 2


def test_running_the_module_runs_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["rollout", "--version"])

    with pytest.raises(SystemExit) as exited:
        runpy.run_module("rollout.cli.__main__", run_name="__main__")

    assert exited.value.code == 0
    assert capsys.readouterr().out == f"rollout, version {package.__version__}\n"


def test_missing_extras_and_ctrl_c_during_import_are_handled(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        def __init__(self, error: BaseException) -> None:
            self.error = error

        def find_spec(self, name: str, *_: object) -> None:
            if name == "rollout.cli._app":
                raise self.error

    for error, expected in [
        (ModuleNotFoundError("No module named 'x'", name="x"), ModuleNotFoundError),
        (ModuleNotFoundError("No module named 'rich'", name="rich"), SystemExit),
        (KeyboardInterrupt(), SystemExit),
    ]:
        with monkeypatch.context() as patch:
            patch.delitem(sys.modules, "rollout.cli._app")
            patch.setattr(sys, "meta_path", [Finder(error), *sys.meta_path])
            with pytest.raises(expected):
                main(["list"])


def run_shell(command: str) -> subprocess.CompletedProcess[str]:
    command = command.replace("rollout", " ".join(COMMAND))
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "args", ["list --all --jsonl", "show @last", "search answer --all", "list --all", "verify --all"]
)
def test_a_closed_pipe_ends_the_command_without_an_error(home: Path, args: str) -> None:
    # Only for verify: other commands would report the damage if the pipe takes all output before its reader ends.
    damage = b"{\n" if "verify" in args else b""
    for number in range(10):
        put(home, encode(seed_session(*["x" * 100] * 400)) + damage, timestamp=f"2026-11-21T01-25-{number:02d}")

    done = run_shell(f"set -o pipefail; rollout {args} | head -1")

    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


def test_a_full_disk_for_stdout_is_an_error(home: Path) -> None:
    put(home, seed_session("one"))

    done = run_shell("rollout list > /dev/full")

    assert (done.returncode, done.stderr) == (2, "rollout: No space left on device\n")


def test_closed_streams_are_accepted(home: Path) -> None:
    put(home, seed_session("one"))

    for closed in (">&-", "2>&-", "<&-", "<&- >&- 2>&-"):
        done = run_shell(f"rollout list {closed}")
        assert (done.returncode, done.stderr) == (0, "")
    assert run_shell("rollout show nothing 2>&-").returncode == 2


def test_a_bug_is_not_reported_as_an_error_of_the_user(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_bug(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("rollout.cli._list.list_sessions", raise_bug)

    with pytest.raises(ZeroDivisionError):
        run("list")


def test_a_failing_stdout_is_redirected_in_this_process(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for error, status in [(BrokenPipeError(32, "Broken pipe"), 0), (OSError(28, "No space"), 2)]:

        class Broken:
            encoding = "utf-8"

            def __init__(self, error: OSError) -> None:
                self._error = error

            def flush(self) -> None:
                raise self._error

            def write(self, text: str) -> int:
                return len(text)

            def isatty(self) -> bool:
                return False

            def fileno(self) -> int:
                return 1

        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", Broken(error))
            spare = os.dup(1)
            try:
                assert _app.run(["list"]) == status
            finally:
                os.dup2(spare, 1)
                os.close(spare)


def test_missing_streams_are_replaced(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)

    assert _app.run(["list"]) == 1
    for name in ("stdin", "stdout", "stderr"):
        getattr(sys, name).close()


@pytest.mark.parametrize("name", ["a b", "caf\xe9", "日本"])
def test_names_can_have_spaces_and_other_alphabets(home: Path, run: Run, name: str) -> None:
    put(home, seed_session("one"))
    rename_session(ID, name)

    assert run("show", name).status == 0


# Sends SIGINT when the n-th session file is opened.
INTERRUPTED_SCRIPT = """
import os, signal, sys
left = int(sys.argv.pop(1))
def count(event, args):
    global left
    if event == "open" and "rollout-" in str(args[0]):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(count)
from rollout.cli import main
main()
"""


@pytest.mark.parametrize(
    "moment", [1, 9, 11, *(pytest.param(moment, marks=pytest.mark.slow) for moment in (8, 10, 12, 30))]
)
@pytest.mark.parametrize(
    "args", [["index"], ["compress", "--all"], ["verify", "--all"], ["storage"], ["index", "--json"]], ids=" ".join
)
def test_ctrl_c_leaves_nothing_half_done(home: Path, args: list[str], moment: int, run: Run) -> None:
    ids = [f"{ID[:-4]}{number:04x}" for number in range(40)]
    for session_id in ids:
        path = put(home, seed_session("one", session_id=session_id), session_id=session_id)
        os.utime(path, (time.time() - 9 * 86_400,) * 2)
    before = {session_id: load_history(session_id).lines for session_id in ids}

    command = [sys.executable, "-c", INTERRUPTED_SCRIPT, str(moment), *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 130
    message = decode_json(done.stderr)["error"]["message"] if "--json" in args else done.stderr
    assert message in ("interrupted", "rollout: interrupted\n")
    assert [file for file in home.rglob("*.tmp") if file.is_file()] == []
    assert {session_id: load_history(session_id).lines for session_id in ids} == before
    assert len(run("list", "--all").rows) == len(ids)
    # The same command then succeeds.
    assert run(*args).status == 0
    assert len(list(home.glob("sessions/**/rollout-*"))) == len(ids)


def test_ctrl_c_exits_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rollout.cli._list.list_sessions", interrupt)

    assert run("list").status == 130
    assert run("list", "--json").error["type"] == "Interrupted"


# Sends SIGINT when the first session file is opened, and again when the interrupt is reported.
TWICE_INTERRUPTED_SCRIPT = (
    """
import click, os, signal
echo = click.echo
def interrupt_and_echo(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGINT)
    echo(*args, **kwargs)
click.echo = interrupt_and_echo
"""
    + INTERRUPTED_SCRIPT
)


def test_a_second_ctrl_c_does_not_interrupt_the_report_of_the_first(home: Path) -> None:
    put(home, seed_session("one"))

    command = [sys.executable, "-c", TWICE_INTERRUPTED_SCRIPT, "1", "index"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (130, "rollout: interrupted\n")


def test_a_second_ctrl_c_while_the_command_ends_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rollout.cli._app.run", interrupt)

    with pytest.raises(SystemExit, match="130"):
        main([])


def test_no_color_disables_colors(home: Path, terminal: Run) -> None:
    put(home, seed_session("one"))

    for args in (["list"], ["show", "@last"], ["search", "one"], ["doctor"]):
        assert "\x1b[" in terminal(*args).out
        assert "\x1b[" not in terminal(*args, env={"NO_COLOR": "1"}).out


def test_the_home_comes_from_the_option_or_the_environment(home: Path, run: Run, tmp_path: Path) -> None:
    put(tmp_path / "other", seed_session("there"))

    assert run("list").status == 1
    assert run("list", "--home", tmp_path / "other").status == 0
    assert run("list", env={"CODEX_HOME": str(tmp_path / "other")}).status == 0
    assert find_session(ID, home=tmp_path / "other")


@pytest.mark.parametrize(("result", "status"), [(130, 130), (SystemExit(143), 143), (SystemExit("no"), 1)])
def test_main_exits_at_once_if_a_thread_of_the_viewer_is_running(
    monkeypatch: pytest.MonkeyPatch, result: Any, status: int
) -> None:
    def run(args: object) -> int:
        if isinstance(result, SystemExit):
            raise result
        return int(result)

    class ExitedError(Exception):
        pass

    def exit_process(code: int) -> None:
        statuses.append(code)
        raise ExitedError

    statuses: list[int] = []
    monkeypatch.setattr("rollout.cli._app.run", run)
    monkeypatch.setattr(os, "_exit", exit_process)
    may_end = threading.Event()
    thread = threading.Thread(target=may_end.wait, name="rollout-viewer-request")
    thread.start()

    with pytest.raises(ExitedError):
        main([])
    may_end.set()
    thread.join()
    with pytest.raises(SystemExit):
        main([])

    assert statuses == [status]
