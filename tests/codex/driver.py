"""
A driver for the real Codex: its command line, and its two JSON-RPC servers.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any

from install import binary

LIMIT = 60

_CONFIG = """\
model = "{model}"
model_provider = "mock"
approval_policy = "never"
sandbox_mode = "danger-full-access"

[model_providers.mock]
name = "mock"
base_url = "{url}"
wire_api = "responses"
{more}
"""


class Codex:
    """
    One version of Codex, with a home, a working folder, and a model.

    Args:
        url: URL of the model.
        model: Name of the model.
        more: More lines of the configuration.
    """

    def __init__(
        self, version: str, home: Path, cwd: Path, url: str, *, model: str = "gpt-5-codex", more: str = ""
    ) -> None:
        self.version = version
        self.home = home
        self.cwd = cwd
        self.binary = binary(version)
        self.env = {**os.environ, "CODEX_HOME": str(home), "OPENAI_API_KEY": "none"}
        home.mkdir(parents=True, exist_ok=True)
        (home / "config.toml").write_text(_CONFIG.format(url=url, model=model, more=more))

    def exec(self, *args: str) -> subprocess.CompletedProcess[str]:
        """
        Run one turn without a terminal: `exec(prompt)`, or `exec("resume", id, prompt)`.
        """
        return subprocess.run(
            [self.binary, "exec", "--skip-git-repo-check", *args],
            env=self.env,
            cwd=self.cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )

    def record(self, prompt: str) -> Path:
        """
        Record a new session, and return its file.
        """
        before = self.rollouts()
        done = self.exec(prompt)
        assert done.returncode == 0, done.stderr
        (path,) = self.rollouts() - before
        return path

    def resume(self, session_id: str, prompt: str) -> None:
        """
        Resume a session.
        """
        done = self.exec("resume", session_id, prompt)
        assert done.returncode == 0, done.stderr

    def rollouts(self) -> set[Path]:
        return set(self.home.glob("sessions/**/rollout-*.jsonl"))

    def mcp(self) -> Server:
        """
        Start the server of old versions, which lists and loads sessions.
        """
        client = {"name": "test", "version": "1"}
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
        return Server(self, "mcp", hello, "notifications/initialized")

    def app_server(self) -> Server:
        """
        Start the server of current versions.
        """
        hello = {"clientInfo": {"name": "test", "title": "test", "version": "1"}}
        return Server(self, "app-server", hello, "initialized")


class Server:
    """
    A JSON-RPC server on standard input and output, with one object per line.
    """

    def __init__(self, codex: Codex, command: str, hello: dict[str, Any], answer: str) -> None:
        self._process = subprocess.Popen(
            [codex.binary, command],
            env=codex.env,
            cwd=codex.cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = Thread(target=self._read)
        self._reader.start()
        self._number = 0
        try:
            self.call("initialize", hello)
            self.notify(answer)
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)

    def notify(self, method: str, params: Any = None) -> None:
        self._send({"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params})})

    def call(self, method: str, params: Any) -> Any:
        """
        Call a method, and return its result.
        """
        self._number += 1
        self._send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        while True:
            message = json.loads(self._lines.get(timeout=LIMIT))
            if message.get("id") == self._number and "method" not in message:
                assert "error" not in message, message
                return message["result"]

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._reader.join(10)
        self._process.stdout.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
