"""
A session as one JSON document for programs: turns, items, calls with their outputs. docs/export.md lists its fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs

from rollout._version import SCHEMA_VERSION
from rollout.export._detail import has_outputs, visible_items
from rollout.export._json_text import json_text
from rollout.export._labels import count_lines
from rollout.stats import plain_stats

if TYPE_CHECKING:
    from rollout.document import Document, Item, Turn
    from rollout.sessions import History

__all__ = ["export_json"]


def export_json(history: History, *, detail: str = "full") -> Iterator[str]:
    """
    Return a session as one JSON document, in pieces: one for each item.

    The JSON is valid even for damaged files: numbers without a JSON form become null. Characters that affect a terminal
    are escaped.

    Args:
        history: The session.
        detail: One of `rollout.export.DETAILS`.

    Raises:
        ValueError: The level of detail is unknown.
    """
    has_outputs(detail)
    return _pieces(history.document(), detail)


def _pieces(document: Document, detail: str) -> Iterator[str]:
    yield f'{{"schema_version":{SCHEMA_VERSION},"detail":{json_text(detail)},\n'
    yield f'"session":{json_text(_session(document))},\n"turns":['
    for number, turn in enumerate(document.turns):
        yield ",\n" if number else "\n"
        items, left_out = visible_items(turn, detail)
        yield f'{json_text({**_turn(turn), "left_out": left_out})[:-1]},"items":['
        for index, item in enumerate(items):
            yield f"{',' if index else ''}\n{json_text(_item(item, has_output=has_outputs(detail)))}"
        yield "]}"
    stats, growth = plain_stats(document.stats), [list(pair) for pair in document.token_growth]
    yield f'],\n"stats":{json_text(stats)},\n"token_growth":{json_text(growth)},\n'
    yield f'"account":{json_text(attrs.asdict(count_lines(document, detail)))}}}\n'


def _session(document: Document) -> dict[str, Any]:
    meta = document.meta
    names = ("timestamp", "cwd", "originator", "cli_version", "source", "model_provider", "forked_from_id")
    git = meta.git
    return {
        "id": document.session_id,
        "title": document.title,
        "path": str(document.path),
        **{name: getattr(meta, name) for name in names},
        "git": {name: getattr(git, name) for name in ("branch", "commit_hash", "repository_url")} if git else None,
        "missing_base": document.missing_base,
    }


def _turn(turn: Turn) -> dict[str, Any]:
    return attrs.asdict(turn, filter=lambda field, _: field.name != "items")


def _item(item: Item, *, has_output: bool) -> dict[str, Any]:
    plain = attrs.asdict(item)
    if item.call is not None:
        if not has_output:
            plain["call"].update(output=None, images=[])
        for change, own in zip(plain["call"]["changes"], item.call.changes, strict=True):
            change["added"], change["removed"] = own.counts
    return plain
