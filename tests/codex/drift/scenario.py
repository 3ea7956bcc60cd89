"""
A scenario in which Codex records some sixty kinds of lines: turns with each kind of call, interruptions, steering,
plans, goals, reviews, compactions, rollbacks, reverts, forks, names, sub-agents and the old history mode.
"""

from __future__ import annotations

import base64
import queue
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from driver import Codex
from mcp_server import PIXEL
from scripts import CODE_STEPS
from server import LiveServer

_MCP = """
[mcp_servers.demo]
command = {python!r}
args = [{server!r}]
"""
_TICKETS = {
    "type": "function",
    "name": "lookup_ticket",
    "description": "look a ticket up",
    "inputSchema": {"type": "object", "properties": {"id": {"type": "string"}}},
}
# The steps of one turn each, in their order.
_TURNS = (
    *(
        "look up",
        "ask",
        "goal,goal done",
        "search tools",
        "searched tools",
        "unknown tool",
        "bad arguments",
        "encrypted",
    ),
    *("commentary", "raw thoughts", "new item", "annotations", "permissions", "compaction", "configuration"),
    *("mcp,mcp picture,mcp fails", "shell,fail,patch,bad patch,plan,view,local", "web,image", "weird,long"),
)


class Scenario:
    """
    The scenario for one version of Codex with one model.

    Attributes:
        refused: Steps that this version did not know, with its answers.
    """

    def __init__(self, version: str, model: str, folder: Path, url: str) -> None:
        self.model = model
        self.refused: dict[str, str] = {}
        project = folder / "project"
        project.mkdir(parents=True)
        (project / "note.txt").write_text("a note\n")
        (project / "dot.png").write_bytes(base64.b64decode(PIXEL))
        for command in (
            ["init", "-q", "-b", "main"],
            ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
            ["remote", "add", "origin", "https://user:secret@github.com/o/r.git"],
        ):
            subprocess.run(["git", *command], cwd=project, check=True)
        more = _MCP.format(python=sys.executable, server=str(Path(__file__).parent / "mcp_server.py"))
        self.codex = Codex(version, folder / "home", project, url, model=model, more=more)

    def run(self) -> None:
        """
        Record all sessions.
        """
        self._exec()
        with LiveServer(self.codex) as server:
            for part in (self._turns, self._rewrites, self._legacy, self._agents):
                with self._step(part.__name__):
                    part(server)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        try:
            yield
        except (AssertionError, queue.Empty, OSError, KeyError) as error:
            self.refused[name] = str(error)[:200]

    def _exec(self) -> None:
        image = str(self.codex.cwd / "dot.png")
        self.codex.exec("exec hello [[shell,fail,patch,plan]] there")
        self.codex.exec("-i", image, "--", "image prompt")
        self.codex.exec("fails [[cut]]")
        self.codex.exec("review", "--uncommitted")

    def _start(self, server: LiveServer, **settings: Any) -> str:
        base = {"cwd": str(self.codex.cwd), "model": self.model, "dynamicTools": [_TICKETS], **settings}
        return server.start(**base)

    def _turns(self, server: LiveServer) -> None:
        thread = self._start(server)
        for steps in (*_TURNS, *CODE_STEPS):
            server.turn(thread, f"do {steps} [[{steps}]]")
        url = f"data:image/png;base64,{PIXEL}"
        pictures = [{"type": "image", "url": url}, {"type": "localImage", "path": str(self.codex.cwd / "dot.png")}]
        server.turn(thread, "with images", more=pictures)
        with self._step("effort"):
            server.turn(thread, "low effort", effort="low", summary="detailed")
        for mode in ("plan", "default"):
            settings = {"model": self.model, "reasoning_effort": "low", "developer_instructions": None}
            with self._step(f"{mode} mode"):
                server.turn(thread, f"{mode} mode [[ask]]", collaborationMode={"mode": mode, "settings": settings})
        self._interruptions(server, thread)
        for method, params in (
            ("thread/name/set", {"name": "My ☃ name"}),
            ("thread/goal/set", {"objective": "be good", "tokenBudget": 5_000_000}),
            ("thread/goal/clear", {}),
            ("thread/shellCommand", {"command": "echo user shell"}),
            ("thread/settings/update", {"effort": "medium", "approvalPolicy": "on-request"}),
            ("thread/memoryMode/set", {"mode": "disabled"}),
        ):
            with self._step(method):
                server.call(method, {"threadId": thread, **params})
                server.settle()
        with self._step("approvals"):
            options = {"sandboxPolicy": {"type": "readOnly"}, "approvalPolicy": "untrusted"}
            server.turn(thread, "approve [[shell,patch]]", **options)

    def _interruptions(self, server: LiveServer, thread: str) -> None:
        for steps in ("hang", "slow"):
            with self._step(f"interruption of {steps}"):
                since = len(server.notes)
                turn = server.begin(thread, f"interrupt me [[{steps}]]")
                server.wait("item/started", since=since, timeout=5)
                words: list[Any] = [{"type": "text", "text": "steered", "text_elements": []}]
                with self._step("steering"):
                    server.call("turn/steer", {"threadId": thread, "expectedTurnId": turn, "input": words})
                server.settle()
                server.call("turn/interrupt", {"threadId": thread, "turnId": turn})
                server.wait_for_turn(thread, since)

    def _rewrites(self, server: LiveServer) -> None:
        thread = self._start(server)
        for number in range(4):
            server.turn(thread, f"turn {number} [[shell]]")
        for delivery in ("inline", "detached"):
            target = {"type": "custom", "instructions": "look at it"}
            with self._step(f"{delivery} review"):
                self._and_wait(server, "review/start", thread, delivery=delivery, target=target)
        with self._step("compaction"):
            self._and_wait(server, "thread/compact/start", thread)
            server.turn(thread, "after the compaction [[shell]]")
        with self._step("rollback"):
            server.call("thread/rollback", {"threadId": thread, "numTurns": 1})
            server.turn(thread, "after the rollback [[shell]]")
        with self._step("revert"):
            turns = server.call("thread/turns/list", {"threadId": thread, "limit": 50})["data"]
            names = ("turnId", "lastTurnId", "beforeTurnId")
            server.call("thread/revert", {"threadId": thread, "numTurns": 1, **dict.fromkeys(names, turns[1]["id"])})
            server.turn(thread, "after the revert [[shell]]")
        with self._step("fork"):
            fork = server.call("thread/fork", {"threadId": thread})["thread"]["id"]
            server.turn(fork, "in the fork [[shell]]")
            server.call("thread/archive", {"threadId": fork})

    def _legacy(self, server: LiveServer) -> None:
        thread = self._start(server, historyMode="legacy")
        server.turn(thread, "in the old form [[shell,patch,plan,web,image,mcp,mcp fails,look up,view,commentary]]")
        with self._step("compaction of the old form"):
            self._and_wait(server, "thread/compact/start", thread)
        server.turn(thread, "more [[shell]]")
        with self._step("rollback of the old form"):
            server.call("thread/rollback", {"threadId": thread, "numTurns": 1})

    def _agents(self, server: LiveServer) -> None:
        thread = self._start(server)
        steps = "start agent,list agents,wait,tell agent,wait,follow up,wait,fork agent,wait,close agent,stop agent"
        server.turn(thread, f"agents [[{steps}]]")
        server.settle(2)

    def _and_wait(self, server: LiveServer, method: str, thread: str, **params: Any) -> None:
        since = len(server.notes)
        answer = server.call(method, {"threadId": thread, **params})
        server.wait_for_turn(answer.get("reviewThreadId", thread) if isinstance(answer, dict) else thread, since)
