from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rollout.export
from rollout import History
from rollout.document import ITEM_KINDS, Item, Turn
from rollout.export import DETAILS, export_json, export_markdown, export_text
from rollout.export._detail import has_outputs, visible_items
from tests.export.sample import loaded

EXPORTS = [export_json, export_markdown, export_text]


def test_conversation_has_only_messages_plans_and_endings() -> None:
    turn = Turn(1, items=[Item(str(number), kind) for number, kind in enumerate(ITEM_KINDS)])

    items, left_out = visible_items(turn, "conversation")

    kinds = [item.kind for item in items]
    assert kinds == ["user", "agent", "plan", "compaction", "interruption", "error", "unreadable"]
    assert left_out == len(ITEM_KINDS) - len(kinds)


@pytest.mark.parametrize("detail", ["full", "no-outputs"])
def test_the_other_levels_of_detail_have_all_items(detail: str) -> None:
    turn = Turn(1, items=[Item(str(number), kind) for number, kind in enumerate(ITEM_KINDS)])

    assert visible_items(turn, detail) == (turn.items, 0)
    assert has_outputs(detail) == (detail == "full")


@pytest.mark.parametrize("export", EXPORTS)
def test_an_unknown_level_of_detail_is_refused_at_once(home: Path, export: Callable[..., Iterator[str]]) -> None:
    with pytest.raises(
        ValueError, match="unknown level of detail 'all'; the levels are full, no-outputs, conversation"
    ):
        export(loaded(home), detail="all")


@pytest.mark.parametrize("detail", DETAILS)
@pytest.mark.parametrize("export", EXPORTS)
def test_calls_and_outputs_are_shown_only_at_their_levels_of_detail(
    home: Path, export: Callable[[History], Iterator[str]], detail: str
) -> None:
    text = "".join(export(loaded(home), detail=detail))  # type: ignore[call-arg] -- all have it

    assert "The **first character**" in text
    assert ("make deploy" in text) == (detail != "conversation")
    assert ("line 39" in text) == (detail == "full")


def test_the_package_exports_its_public_names_and_no_others() -> None:
    assert set(rollout.export.__all__) >= {"DETAILS", "export_json", "export_markdown", "export_text", "redacted"}
    with pytest.raises(AttributeError, match="no attribute 'export_pdf'"):
        rollout.export.export_pdf  # noqa: B018
