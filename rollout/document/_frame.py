"""
A session as a pandas table, and the function that creates all such tables. pandas is an extra, imported on first use.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rollout._lazy import extra_error
from rollout.document import Document, Item, Turn
from rollout.interpret import seconds_of

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

__all__ = ["ITEM_COLUMNS", "document_frame", "frame_of", "microseconds_of"]

ITEM_COLUMNS = {
    "key": "string",
    "turn": "Int64",
    "kind": "string",
    "title": "string",
    "tool": "string",
    "timestamp": "datetime64[us, UTC]",
    "gap_seconds": "float64",
    "duration_seconds": "float64",
    "exit_code": "Int64",
    "is_failed": "boolean",
    "text": "string",
    "output": "string",
    "characters": "Int64",
    "images": "Int64",
    "lines": "Int64",
    "total_tokens": "Int64",
    "model": "string",
    "is_rolled_back": "boolean",
    "is_inherited": "boolean",
}
"""The columns of `History.to_dataframe` and their dtypes."""

_NOT_A_TIME = -(2**63)
_SURROGATE = re.compile("[\ud800-\udfff]")
# Limit of Int64.
_NUMBER_MAX = 2**63


def document_frame(document: Document) -> pd.DataFrame:
    """
    Return the table of a session's items.

    Raises:
        ModuleNotFoundError: The extra ``pandas`` is not installed.
    """
    return frame_of(ITEM_COLUMNS, _item_rows(document))


def _item_rows(document: Document) -> Iterator[Sequence[Any]]:
    growth = [(seconds, total) for at, total in document.token_growth if (seconds := seconds_of(at))]
    # In a damaged file, times may not be in order.
    growth.sort()
    times = [seconds for seconds, _ in growth]
    for turn in document.turns:
        for item in turn.items:
            index = bisect_right(times, seconds_of(item.timestamp))
            used = None if turn.is_inherited or not growth else growth[index - 1][1] if index else 0
            yield _item_row(turn, item, used)


def _item_row(turn: Turn, item: Item, used: int | None) -> Sequence[Any]:
    call = item.call
    text = item.text if call is None else call.input or item.text
    output = None if call is None else call.output
    return (
        item.key,
        turn.number,
        item.kind,
        item.title or None,
        call.tool if call else None,
        microseconds_of(item.timestamp),
        item.gap,
        call.seconds if call else None,
        call.exit_code if call else None,
        call.is_failed if call and call.output is not None else None,
        text,
        output,
        len(text) + len(output or ""),
        len(item.images) + (len(call.images) if call else 0),
        len(item.lines),
        used,
        turn.model,
        turn.is_rolled_back,
        turn.is_inherited,
    )


def microseconds_of(timestamp: str | None) -> int | None:
    """
    Return a timestamp of the format as Unix microseconds; None for other text.
    """
    seconds = seconds_of(timestamp)
    return round(seconds * 1000) * 1000 if seconds else None


def frame_of(columns: Mapping[str, str], rows: Iterable[Sequence[Any]]) -> pd.DataFrame:
    """
    Return a table of rows. The dtypes do not depend on the number of rows.

    Args:
        columns: Names and dtypes.
        rows: Sequences with a value or None for each column; times in microseconds.

    Raises:
        ModuleNotFoundError: The extra ``pandas`` is not installed.
    """
    try:
        import pandas as pd  # noqa: PLC0415 -- an extra
    except ModuleNotFoundError as error:
        raise extra_error("tables need", "pandas", error) from error
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    return pd.DataFrame({name: _column(pd, v, columns[name]) for name, v in zip(columns, values, strict=True)})


def _column(pd: Any, values: Sequence[Any], dtype: str) -> Any:
    if dtype.startswith("datetime64"):
        times = pd.array([_NOT_A_TIME if value is None else value for value in values], dtype="int64")
        moments = pd.Series(times.to_numpy().view("datetime64[us]"))
        return moments.dt.tz_localize("UTC") if dtype.endswith("UTC]") else moments
    if dtype == "string":
        # Surrogates, which cannot be written to a file.
        values = [value if value is None or value.isascii() else _SURROGATE.sub("\ufffd", value) for value in values]
    elif dtype == "Int64":
        values = [None if value is None or abs(value) >= _NUMBER_MAX else value for value in values]
    return pd.Series(pd.array(values, dtype=dtype))
