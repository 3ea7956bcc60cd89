"""
Install the frameworks that have adapters, at pinned versions, into environments of their own below `.frameworks`.

An environment has this package in place, what runs the tests, and packages that agree about their dependencies. It is
made once, and again when its packages change. `ROLLOUT_FRAMEWORKS` names another folder.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

ROOT = Path(__file__).parent.parent.parent
FOLDER = Path(os.environ.get("ROLLOUT_FRAMEWORKS", ROOT / ".frameworks"))
UV_PACKAGE = "uv==0.13.9"
UV = FOLDER / "uv" / "bin" / "uv"
# What the tests need; the extra is for the pages of sessions.
TOOLS = ("-e", ".[html]", "pytest>=8.3", "pytest-cov>=7.0", "hypothesis>=6.112")
_OUTPUT_SIZE = 2000  # the end of an output, which has the reason


@dataclass(frozen=True)
class Environment:
    """
    Environment of frameworks.

    Attributes:
        packages: Requirements, as pip reads them.
        files: Test files below tests/frameworks, or tests in them, that run in it.
        module: Module of `rollout.adapters` for the framework, which these tests cover; empty if there is none.
    """

    packages: tuple[str, ...]
    files: tuple[str, ...]
    module: str = ""


_OPENAI, _ANTHROPIC, _LITELLM = "openai==3.57.0", "anthropic==2.14.0", "litellm==1.110.2"
ENVIRONMENTS = {
    "sdks": Environment(
        (_OPENAI, _ANTHROPIC, "google-genai==3.6.1", "httpx==0.28.1"),
        (
            *(f"test_server.py::{name}" for name in ("TestOpenAI", "TestAnthropic", "TestGemini", "TestThreads")),
            "test_google_genai.py", "../adapters/test_http.py",
        ),
    ),
    "langchain": Environment(
        (
            "langchain==1.5.2", "langchain-core==1.8.3", "langgraph==1.2.24", "langchain-openai==1.7.4",
            "langchain-anthropic==1.7.10", _OPENAI, _ANTHROPIC,
        ),
        ("test_server.py::test_langchain_calls_a_tool", "test_langchain.py"), "langchain",
    ),
    "agents": Environment(
        ("openai-agents==0.24.0", _OPENAI),
        ("test_server.py::test_openai_agents_call_a_tool", "test_agents.py"), "agents",
    ),
    "pydantic-ai": Environment(
        ("pydantic-ai-slim[openai,anthropic]==2.68.0", _OPENAI, _ANTHROPIC),
        ("test_server.py::test_pydantic_ai_calls_a_tool", "test_pydantic_ai.py"), "pydantic_ai",
    ),
    "smolagents": Environment(
        ("smolagents[openai,litellm]==1.26.0", _OPENAI, _LITELLM),
        ("test_server.py::test_smolagents_call_a_tool", "test_smolagents.py"), "smolagents",
    ),
    "litellm": Environment(
        (_LITELLM, _OPENAI, _ANTHROPIC), ("test_server.py::test_litellm_calls_a_tool", "test_litellm.py"), "litellm"
    ),
    # It demands an SDK of OpenAI below 3, and one of Anthropic below 1.
    "crewai": Environment(
        ("crewai==1.15.30", _LITELLM, "openai==2.54.0", "anthropic==0.73.0"),
        ("test_server.py::test_crewai_calls_a_tool", "test_crewai.py"),
    ),
    "dspy": Environment(
        ("dspy==3.4.1", _LITELLM, _OPENAI), ("test_server.py::test_dspy_calls_a_tool", "test_dspy.py"), "dspy"
    ),
}  # fmt: skip
# Builds of the package in place write into the same folder.
_BUILDS = Lock()


def install_uv() -> str:
    """
    Install the installer, which takes seconds where pip takes minutes; return the reason if that is not possible.
    """
    if UV.exists():
        return ""
    for command in (
        [sys.executable, "-m", "venv", "--clear", UV.parent.parent],
        [UV.parent / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV_PACKAGE],
    ):
        done = _run(command)
        if done.returncode:
            return done.stdout[-_OUTPUT_SIZE:]
    return ""


def _run(command: list[str | Path], env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


def python_of(name: str) -> Path:
    """
    Return the interpreter of an environment, whether it exists or not.
    """
    return FOLDER / name / "bin" / "python"


def install(name: str) -> str:
    """
    Make an environment, unless it is there with the same packages; return the reason if that is not possible.

    May be called from any thread.
    """
    with _BUILDS:
        return install_uv() or _install(name)


def _install(name: str) -> str:
    wanted = "\n".join([sys.version, *TOOLS, *ENVIRONMENTS[name].packages])
    mark = FOLDER / name / "installed.txt"
    if mark.exists() and mark.read_text() == wanted:
        return ""
    env = {**os.environ, "UV_CACHE_DIR": str(FOLDER / "cache"), "UV_NO_CONFIG": "1"}
    for command in (
        [UV, "venv", "--quiet", "--clear", "--python", sys.executable, FOLDER / name],
        [UV, "pip", "install", "--quiet", "--python", python_of(name), *TOOLS, *ENVIRONMENTS[name].packages],
    ):
        done = _run(command, env)
        if done.returncode:
            return done.stdout[-_OUTPUT_SIZE:]
    mark.write_text(wanted)
    return ""


def versions(name: str) -> str:
    """
    Return the packages of an environment with their versions.
    """
    packages = [re.split(r"[\[=<>~!;]", package)[0] for package in ENVIRONMENTS[name].packages]
    program = "import importlib.metadata as m, sys; print(*[f'{p} {m.version(p)}' for p in sys.argv[1:]], sep=', ')"
    done = subprocess.run([python_of(name), "-c", program, *packages], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def main() -> int:
    """
    Install all environments; return the number of those that could not be installed.
    """
    problems = 0
    for name in ENVIRONMENTS:
        begun = time.monotonic()
        reason = install(name)
        print(f"{name}: {reason or versions(name)} ({time.monotonic() - begun:.0f} s)", flush=True)
        problems += bool(reason)
    return problems


if __name__ == "__main__":
    sys.exit(main())
