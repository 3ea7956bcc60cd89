"""
Session files that cannot be read while an index is updated.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from rollout.search import _file_scan as file_scan_module
from rollout.search import _ingest as ingest_module
from rollout.search import indexed_sessions, search, update_index
from rollout.store import compress
from tests.rollouts import encode, prompt, seed_session
from tests.search.homes import OLD, append, found, index_content, put_session, rebuilt_content, settle, texts


def test_a_session_that_cannot_be_read_is_reported_and_tried_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put_session(home, 1, seed_session("first"))
    compressed = compress(put_session(home, 2, seed_session("second")), min_age=0)
    update_index()
    append(path, prompt("third"))
    os.utime(compressed, (OLD, OLD))
    opens = ingest_module.open_rollout

    def broken(path: Path) -> Any:
        raise ModuleNotFoundError("no zstd") if path.name.endswith(".zst") else PermissionError(13, "forbidden")

    with monkeypatch.context() as patched:
        for module in (ingest_module, file_scan_module):
            patched.setattr(module, "open_rollout", broken)
        done = update_index()
        assert {problem.path for problem in done.problems} == {path, compressed}
        settle(home)
        update_index()
        results = search("first OR second OR third")
        assert {hit.path for hit in results} == {path}
        assert {problem.path for problem in results.problems} == {path, compressed}
    assert ingest_module.open_rollout is opens
    assert len(texts("first OR second OR third")) == 5
    assert update_index().problems == []
    assert len(texts("first OR second OR third")) == 5
    assert index_content() == rebuilt_content()


def test_a_disk_error_while_a_session_is_read_affects_only_this_session(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_session(home, 1, seed_session("first"))
    put_session(home, 2, seed_session("second"))
    lines = ingest_module.raw_lines

    def failing(file: Any) -> Any:
        for number, line in enumerate(lines(file)):
            if number == 3 and b"second" in line.raw:
                raise OSError(5, "Input/output error")
            yield line

    with monkeypatch.context() as patched:
        patched.setattr(ingest_module, "raw_lines", failing)
        done = update_index()

    assert [problem.reason for problem in done.problems] == ["[Errno 5] Input/output error"]
    assert len(texts("first OR second")) == 4
    assert update_index().sessions == 1
    assert index_content() == rebuilt_content()


def test_lines_before_the_damage_in_a_compressed_session_are_found(home: Path) -> None:
    path = compress(put_session(home, 1, seed_session(*map(str, range(1000)))), min_age=0)
    path.write_bytes(path.read_bytes()[:-100])

    update_index()

    assert "damaged" in str(next(indexed_sessions()).problem)
    assert found("answer") == found("answer", use_index=False)
    assert len(found("answer")) > 10


def test_a_file_that_cannot_be_compared_is_reported_when_it_is_read(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put_session(home, 1, seed_session("first"))
    update_index()
    append(path, prompt("second"))
    opens = os.open

    def closed(name: Any, *args: Any, **kwargs: Any) -> int:
        if Path(name) == path:
            raise PermissionError(13, "forbidden")
        return opens(name, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", closed)
        done = update_index()
        assert texts("first OR second") == []

    assert [problem.path for problem in done.problems] == [path]
    assert len(texts("first OR second")) == 3
    assert update_index().size == len(encode(prompt("second")))
