from __future__ import annotations

from typing import Any

import pytest

from rollout.interpret import FileChange, text_around
from rollout.interpret._patches import changes_in, changes_of
from tests.builders import CHANGES, PATCH


def test_the_changes_of_a_patch_are_those_of_its_files() -> None:
    assert changes_in(PATCH) == CHANGES
    assert CHANGES[0].counts == (1, 1)


def test_the_changes_in_a_text_are_those_of_all_its_patches() -> None:
    text = f"first\n\n{PATCH}\nthen\n{PATCH}\n\nlast\n"

    assert changes_in(text) == CHANGES * 2
    assert text_around(text) == "first\nthen\nlast"


def test_a_patch_without_an_end_has_the_changes_so_far() -> None:
    assert changes_in("*** Begin Patch\n*** Add File: a\n+x\n+y") == (FileChange("a", "add", "+x\n+y"),)


@pytest.mark.parametrize("text", ["", "a", "*** Begin Patch", "*** Begin Patch\n+x\n*** End Patch"])
def test_a_text_without_the_heading_of_a_file_has_no_changes(text: str) -> None:
    assert changes_in(text) == ()


@pytest.mark.parametrize(
    ("value", "changes"),
    [
        ({"a": {"type": "add", "content": "x\ny\n"}}, [FileChange("a", "add", "+x\n+y")]),
        ({"a": {"type": "delete", "content": "x"}}, [FileChange("a", "delete", "-x")]),
        ({"a": {"type": "delete"}}, [FileChange("a", "delete", "")]),
        (
            {"a": {"type": "update", "unified_diff": "@@\n-x\n+y\n", "move_path": "b"}},
            [FileChange("a", "update", "@@\n-x\n+y", "b")],
        ),
        (
            [{"path": "a", "kind": {"type": "update", "move_path": "b"}, "diff": "+x"}],
            [FileChange("a", "update", "+x", "b")],
        ),
        ([{"diff": "+x"}], [FileChange("", "update", "+x")]),
        ({"a": "odd", "b": {"type": "add", "content": 1, "move_path": 1}}, [FileChange("b", "add", "")]),
        (["odd"], []),
        ("odd", []),
        (None, []),
    ],
)
def test_the_changes_of_an_event_are_read_in_both_forms(value: Any, changes: list[FileChange]) -> None:
    assert changes_of(value) == tuple(changes)
