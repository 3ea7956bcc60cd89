from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from rollout.recording import _git
from rollout.recording._git import collect_git_info, without_credentials
from rollout.schema import GitInfo


def git(folder: Path, *args: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=n@example.com"]
    done = subprocess.run(["git", *identity, "-C", str(folder), *args], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-qb", "trunk")
    return folder


def commit(repository: Path) -> str:
    git(repository, "commit", "-q", "--allow-empty", "-m", "m")
    return git(repository, "rev-parse", "HEAD")


def fake_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_of_a_repository_has_commit_branch_and_remote(repository: Path) -> None:
    head = commit(repository)
    git(repository, "remote", "add", "origin", "https://example.com/x.git")
    inner = repository / "a" / "b"
    inner.mkdir(parents=True)

    for folder in (repository, inner):
        assert collect_git_info(str(folder)) == GitInfo(
            commit_hash=head, branch="trunk", repository_url="https://example.com/x.git"
        )


def test_leaves_out_what_there_is_not(repository: Path) -> None:
    assert collect_git_info(str(repository)) == GitInfo()

    head = commit(repository)
    git(repository, "checkout", "-q", "--detach")

    assert collect_git_info(str(repository)) == GitInfo(commit_hash=head)


def test_of_a_folder_in_no_repository_or_missing_is_none(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()

    assert collect_git_info(str(tmp_path / "plain")) is None
    assert collect_git_info(str(tmp_path / "missing")) is None


def test_of_a_path_that_is_none_is_none() -> None:
    assert collect_git_info("x" * 5000) is None


def test_of_something_that_only_looks_like_a_repository_is_none(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()

    assert collect_git_info(str(tmp_path)) is None


def test_without_git_is_none(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert collect_git_info(str(repository)) is None


def test_of_a_slow_git_ends_in_time(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_git(tmp_path, monkeypatch, "exec sleep 20")
    start = time.monotonic()

    assert collect_git_info(str(repository), timeout=0.2) is None

    assert time.monotonic() - start < 5


def test_keeps_what_it_knows_when_time_runs_out(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_git(
        tmp_path, monkeypatch, 'case "$*" in *git-dir*) echo .git;; *abbrev-ref*) echo main;; *) exec sleep 20;; esac'
    )

    assert collect_git_info(str(repository), timeout=1.0) == GitInfo(branch="main")


@pytest.mark.promise("security")
def test_is_not_misled_by_the_surroundings(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = commit(repository)
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-qb", "wrong")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))

    assert collect_git_info(str(repository)) == GitInfo(commit_hash=head, branch="trunk")


@pytest.mark.promise("security")
def test_runs_no_program_that_a_repository_names(repository: Path, tmp_path: Path) -> None:
    commit(repository)
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    for key in (
        "core.fsmonitor",
        "core.pager",
        "core.sshCommand",
        "credential.helper",
        "core.askPass",
        "alias.rev-parse",
    ):
        git(repository, "config", key, f"!{trap}" if key.startswith("alias") else str(trap))
    git(repository, "config", "core.hooksPath", str(tmp_path))

    assert collect_git_info(str(repository)) is not None

    assert not (tmp_path / "sprung").exists()


@pytest.mark.promise("security")
def test_knows_no_other_git_variables_than_its_own(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TRACE", "1")
    fake_git(tmp_path, monkeypatch, f'env | grep ^GIT_ | sort > "{tmp_path}/seen"; echo x')

    collect_git_info(str(repository))

    assert (tmp_path / "seen").read_text() == "GIT_OPTIONAL_LOCKS=0\nGIT_TERMINAL_PROMPT=0\n"
    assert _git._COMMAND[1] == "--no-pager"


@pytest.mark.promise("security")
@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://example.com/x.git", "https://example.com/x.git"),
        ("https://me:secret@example.com/x.git", "https://example.com/x.git"),
        ("https://token@example.com/x@y.git", "https://example.com/x@y.git"),
        ("HTTP://a:b@c@example.com/x", "HTTP://example.com/x"),
        ("https://example.com/x.git?access_token=secret#f", "https://example.com/x.git"),
        ("ssh://git@example.com/x.git", "ssh://git@example.com/x.git"),
        ("ssh://git:secret@example.com:22/x.git", "ssh://git@example.com:22/x.git"),
        ("git@example.com:me/x.git", "git@example.com:me/x.git"),
        ("me:secret@example.com:x.git", "me@example.com:x.git"),
        ("/srv/git/x.git", "/srv/git/x.git"),
        ("../x:y@z", "../x:y@z"),
        ("file:///srv/x.git", "file:///srv/x.git"),
    ],
)
def test_credentials_are_stripped(url: str, clean: str) -> None:
    assert without_credentials(url) == clean
