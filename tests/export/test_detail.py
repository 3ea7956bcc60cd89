from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rollout.export
from rollout import History
from rollout.document import ITEM_KINDS, Item, Turn
from rollout.export import DETAILS, export_json, export_markdown, export_text
from rollout.export._detail import has_outputs, shown
from tests.export.sample import loaded

EXPORTS = [export_json, export_markdown, export_text]


def test_a_conversation_is_what_was_said_and_how_it_ended() -> None:
    turn = Turn(1, items=[Item(str(number), kind) for number, kind in enumerate(ITEM_KINDS)])

    items, left_out = shown(turn, "conversation")

    kinds = [item.kind for item in items]
    assert kinds == ["user", "agent", "plan", "compaction", "interruption", "error", "unreadable"]
    assert left_out == len(ITEM_KINDS) - len(kinds)


@pytest.mark.parametrize("detail", ["full", "no-outputs"])
def test_the_other_levels_have_all_items(detail: str) -> None:
    turn = Turn(1, items=[Item(str(number), kind) for number, kind in enumerate(ITEM_KINDS)])

    assert shown(turn, detail) == (turn.items, 0)
    assert has_outputs(detail) == (detail == "full")


@pytest.mark.parametrize("export", EXPORTS)
def test_a_level_that_there_is_not_is_refused_at_once(home: Path, export: Callable[..., Iterator[str]]) -> None:
    with pytest.raises(ValueError, match="no detail 'all'; there are full, no-outputs, conversation"):
        export(loaded(home), detail="all")


@pytest.mark.parametrize("detail", DETAILS)
@pytest.mark.parametrize("export", EXPORTS)
def test_what_is_shown_is_what_the_level_says(
    home: Path, export: Callable[[History], Iterator[str]], detail: str
) -> None:
    text = "".join(export(loaded(home), detail=detail))  # type: ignore[call-arg] -- all have it

    assert "The **first character**" in text
    assert ("make deploy" in text) == (detail != "conversation")
    assert ("line 39" in text) == (detail == "full")


def test_the_front_door_opens_rooms_when_they_are_asked_for() -> None:
    assert set(rollout.export.__all__) >= {"DETAILS", "export_json", "export_markdown", "export_text", "redacted"}
    with pytest.raises(AttributeError, match="no attribute 'export_pdf'"):
        rollout.export.export_pdf  # noqa: B018
