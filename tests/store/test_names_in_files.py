from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rollout import AmbiguousSessionError, SessionNotFoundError, list_sessions
from rollout.home import NAMES_FILE
from rollout.interpret import Filters, SessionFacts
from rollout.overview import matching_sessions, read_page
from rollout.search import update_index
from rollout.store import find, read_names, rename_session
from tests import zstd
from tests.rollouts import ID, Line, answer, encode, event, meta, prompt, put

OTHER = "01a1fbb5-0000-7000-8000-000000000001"


def named(name: str, session_id: str = ID) -> Line:
    return event("thread_name_updated", thread_id=session_id, thread_name=name)


def put_named(home: Path, *names: str, session_id: str = ID) -> Path:
    lines = [named(name, session_id) for name in names]
    return put(home, [meta(session_id), *prompt("the login fails"), *lines], session_id=session_id)


def append_row(home: Path, name: str, updated_at: object, session_id: str = ID) -> None:
    with (home / NAMES_FILE).open("a") as file:
        file.write(json.dumps({"id": session_id, "thread_name": name, "updated_at": updated_at}) + "\n")


def name_of(home: Path, path: Path) -> str | None:
    return read_names(home).of_file(path)


class TestName:
    def test_the_last_one_in_the_file_counts(self, home: Path) -> None:
        path = put_named(home, "first", "  Fix the login ")

        assert name_of(home, path) == "Fix the login"
        [listed] = read_page(home, Filters(archived=False), count=9).items
        assert listed.name == "Fix the login"
        assert list_sessions(home=home).items[0].facts.given_name == "Fix the login"

    def test_of_a_session_without_a_name_in_the_last_lines_is_that_in_the_first(self, home: Path) -> None:
        many = [line for number in range(300) for line in answer(f"{number} {'x' * 300}")]
        path = put(home, [meta(), named("early"), *prompt("x"), *many])

        assert name_of(home, path) == "early"

    def test_of_another_session_which_a_fork_copied_does_not_count(self, home: Path) -> None:
        path = put(home, [meta(), named("of the parent", OTHER), *prompt("x")])

        assert name_of(home, path) is None

    @pytest.mark.parametrize(
        ("updated_at", "expected"),
        [
            ("2099-01-01T00:00:00Z", "by the name file"),
            ("2020-01-01T00:00:00Z", "in the file"),
            (None, "by the name file"),
            ("soon", "by the name file"),
        ],
    )
    def test_the_one_that_was_given_last_counts(self, home: Path, updated_at: object, expected: str) -> None:
        path = put_named(home, "in the file")
        append_row(home, "by the name file", updated_at)

        assert name_of(home, path) == expected
        assert find(expected, home=home) == path
        with pytest.raises(SessionNotFoundError):
            find("in the file" if expected != "in the file" else "by the name file", home=home)

    def test_is_none_after_it_was_removed(self, home: Path) -> None:
        path = put_named(home, "in the file")
        rename_session(path, "other", home=home)

        rename_session(path, None, home=home)

        assert name_of(home, path) is None
        with pytest.raises(SessionNotFoundError):
            find("in the file", home=home)
        assert [json.loads(row)["thread_name"] for row in (home / NAMES_FILE).read_text().splitlines()] == [""]

    def test_of_a_file_that_is_gone_or_no_session_is_that_of_the_name_file(self, home: Path) -> None:
        path = put_named(home, "in the file")
        append_row(home, "kept", None)
        path.unlink()

        assert name_of(home, path) == "kept"
        assert name_of(home, home / "notes.txt") is None

    def test_in_the_middle_of_a_large_file_is_found_by_the_index(self, home: Path) -> None:
        many = [line for number in range(300) for line in answer(f"{number} {'x' * 300}")]
        path = put(home, [meta(), *prompt("x"), *many, named("in the middle"), *many])
        update_index(home=home)

        assert find("in the middle", home=home) == path
        assert [one.name for one in matching_sessions(home, Filters(archived=False), "created")] == ["in the middle"]

        # Also after more lines, which are not indexed yet.
        with path.open("ab") as file:
            file.write(encode(answer("more")))
        os.utime(path.parent, (1, 1))
        assert [one.name for one in matching_sessions(home, Filters(archived=False), "created")] == ["in the middle"]

    def test_at_the_end_of_a_large_file_is_listed_without_an_index(self, home: Path) -> None:
        many = [line for number in range(300) for line in answer(f"{number} {'x' * 300}")]
        lines = [*prompt("x"), *many, named("late"), named("latest"), named("of the parent", OTHER)]
        put(home, [meta(), named("early"), *lines])

        assert list_sessions(home=home).items[0].facts.given_name == "latest"


@pytest.mark.parametrize("is_indexed", [True, False])
class TestFind:
    def test_finds_a_session_by_a_name_in_its_file(self, home: Path, is_indexed: bool) -> None:
        path = put_named(home, "Fix the login")
        put_named(home, "another", session_id=OTHER)
        if is_indexed:
            update_index(home=home)

        assert find("Fix the login", home=home) == path

    def test_names_the_sessions_that_have_the_same_name(self, home: Path, is_indexed: bool) -> None:
        for session_id in (ID, OTHER):
            put_named(home, "twice", session_id=session_id)
        if is_indexed:
            update_index(home=home)

        with pytest.raises(AmbiguousSessionError):
            find("twice", home=home)

    def test_a_file_that_was_renamed_in_since_is_found_by_the_new_name(self, home: Path, is_indexed: bool) -> None:
        path = put_named(home, "old")
        if is_indexed:
            update_index(home=home)
        with path.open("ab") as file:
            file.write(encode([named("new")]))
        os.utime(path.parent, (1, 1))

        assert find("new", home=home) == path
        with pytest.raises(SessionNotFoundError):
            find("old", home=home)


def test_finds_a_name_at_the_end_of_a_large_file_without_an_index(home: Path) -> None:
    many = [line for number in range(500) for line in answer(f"{number} {'x' * 300}")]
    path = put(home, [meta(), *prompt("x"), *many, named("late")])
    put(home, [meta(OTHER), *prompt("x"), *many], session_id=OTHER)

    assert find("late", home=home) == path


def test_finds_a_name_in_a_compressed_file_without_an_index(home: Path) -> None:
    data = zstd.compress(encode([meta(), *prompt("x"), named("small")]))
    path = put(home, data, suffix=".zst")

    assert find("small", home=home) == path


def test_facts_without_a_name_give_none(home: Path) -> None:
    assert read_names(home).of(ID, SessionFacts()) is None
