"""
Commit, branch and remote of a folder. Never raises, never prompts the user, and runs no program of the repository.
"""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path

from rollout import schema

__all__ = ["collect_git_info", "without_credentials"]

# Compiled at their first use: each takes 0.2 ms, which `import rollout` need not wait for.
_USER = r"^[^/]*@"
_LOGIN = r"^([^/@:]*):[^/]*@"
_QUERY = r"[?#].*"

# A child forked while git is being started would hold the pipes that this process reads from: 240 calls during
# forks took 47 s, with the lock 0.8 s.
_starting = threading.RLock()
os.register_at_fork(before=_starting.acquire, after_in_parent=_starting.release, after_in_child=_starting.release)

# A repository or a user may configure programs to run: hooks, a file system monitor, a pager, an askpass program.
_COMMAND = ("git", "--no-pager", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")


def collect_git_info(folder: str, timeout: float = 5.0) -> schema.GitInfo | None:
    """
    Return what git reports about *folder*; blocks for up to *timeout* seconds in all. Late answers are left out.

    Returns:
        None if *folder* is in no repository, or git is missing or does not answer.
    """
    if not _is_in_repository(folder):
        return None
    deadline = time.monotonic() + timeout
    if _git(folder, deadline, "rev-parse", "--git-dir") is None:
        return None
    branch = _git(folder, deadline, "rev-parse", "--abbrev-ref", "HEAD")
    url = _git(folder, deadline, "remote", "get-url", "origin")
    return schema.GitInfo(
        commit_hash=_git(folder, deadline, "rev-parse", "HEAD"),
        branch=None if branch == "HEAD" else branch,
        repository_url=url and without_credentials(url),
    )


def without_credentials(url: str) -> str:
    """
    Return an address without its password; an http address also without its user and query.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return re.sub(_LOGIN, r"\1@", url)
    if scheme.lower() in ("http", "https"):
        return f"{scheme}://{re.sub(_USER, '', re.sub(_QUERY, '', rest))}"
    return scheme + "://" + re.sub(_LOGIN, r"\1@", rest)


def _is_in_repository(folder: str) -> bool:
    # This check saves a start of git (2 ms) in a folder without a repository.
    here = Path(folder).absolute()
    try:
        return any((parent / ".git").exists() for parent in (here, *here.parents))
    except OSError:
        return False


def _git(folder: str, deadline: float, *args: str) -> str | None:
    import subprocess  # noqa: PLC0415 -- 6 ms, which `import rollout` need not wait for

    # With GIT_DIR and similar variables, as set inside a hook, git would report about another folder.
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    env.update(GIT_TERMINAL_PROMPT="0", GIT_OPTIONAL_LOCKS="0", LC_ALL="C")
    try:
        # Not subprocess.DEVNULL: Python 3.10 leaks its descriptor if there are no descriptors left for the pipes.
        with _starting, Path(os.devnull).open("r+b", buffering=0) as nothing:
            process = subprocess.Popen(  # noqa: S603
                (*_COMMAND, *args),
                cwd=folder,
                env=env,
                stdin=nothing,
                stdout=subprocess.PIPE,
                stderr=nothing,
            )
        with process:
            try:
                answer, _ = process.communicate(timeout=max(deadline - time.monotonic(), 0))
            except BaseException:
                process.kill()
                raise
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    text = answer.decode("utf-8", "replace").strip()
    return text if process.returncode == 0 and text else None
