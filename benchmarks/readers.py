"""
The peers that read: each goes through a rollout line by line and reaches every item's type and payload.
"""

from __future__ import annotations

import json
import operator
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Any, Union

import ujson

from rollout import follow, load_history, read_lines
from rollout.codec import MAX_LINE_SIZE, RolloutLine, decode_line, encode_json
from rollout.errors import InvalidLineError
from rollout.reading import open_rollout


def rollout_lines(path: Path) -> int:
    count = 0
    for line in read_lines(path):
        if line.type and line.payload is not None:
            count += 1
    return count


def rollout_items(path: Path) -> int:
    """
    Read every line as an attrs object of the schema.
    """
    return sum(line.item is not None for line in read_lines(path))


def rollout_history(path: Path) -> int:
    return len(load_history(path).items)


def rollout_follow(path: Path) -> int:
    with follow(path, from_start=True, timeout=0) as lines:
        return sum(line.payload is not None for line in lines)


def bare(loads: Callable[[bytes], Any], path: Path) -> int:
    count = 0
    with path.open("rb") as file:
        for raw in file:
            line = loads(raw)
            if line["type"] and line["payload"] is not None:
                count += 1
    return count


def ujson_loop(path: Path) -> int:
    return bare(ujson.loads, path)


def json_loop(path: Path) -> int:
    return bare(json.loads, path)


def orjson_loop(path: Path) -> int:
    import orjson

    return bare(orjson.loads, path)


def msgspec_typed(path: Path) -> int:
    """
    Read the envelope as a typed object, the payload as plain values.
    """
    import msgspec

    class Line(msgspec.Struct):
        timestamp: str
        type: str
        payload: dict[str, Any]

    decode = msgspec.json.Decoder(Line).decode
    with path.open("rb") as file:
        return sum(decode(raw).payload is not None for raw in file)


def cattrs_plain(path: Path) -> int:
    """
    Read the same classes with plain cattrs, with its strategy for tagged unions for the members of a family.
    """
    converter, line_items = _plain_converter()
    count = 0
    with path.open("rb") as file:
        for raw in file:
            line = ujson.loads(raw)
            count += converter.structure(line["payload"], line_items[line["type"]]) is not None
    return count


def _plain_converter() -> tuple[Any, dict[str, Any]]:
    import cattrs
    from cattrs.gen import make_dict_structure_fn, override
    from cattrs.strategies import configure_tagged_union

    from rollout import schema
    from rollout.schema._plain import wire_fields

    converter = cattrs.Converter()
    kinds = [kind for kind in map(partial(getattr, schema), schema.__all__) if getattr(kind, "tag", None)]

    def hook(kind: Any) -> Any:
        names = {f.name: override(rename=f.key) for f in wire_fields(kind) if f.name != f.key}
        hidden = {"extra": override(omit=True), "_keys": override(omit=True)}
        return make_dict_structure_fn(kind, converter, **names, **hidden)

    def is_wire(kind: Any) -> bool:
        return isinstance(kind, type) and issubclass(kind, schema.Wire) and kind not in schema.UNKNOWN

    converter.register_structure_hook_factory(is_wire, hook)
    for family in schema.UNKNOWN:
        members = Union[tuple(kind for kind in kinds if issubclass(kind, family))]  # noqa: UP007
        configure_tagged_union(members, converter, tag_generator=operator.attrgetter("tag"), tag_name="type")
        converter.register_structure_hook_func(
            partial(operator.is_, family), lambda value, _, members=members: converter.structure(value, members)
        )
    return converter, schema.LINE_ITEMS


def polars_scan(path: Path) -> int:
    import polars

    frame = polars.scan_ndjson(path, schema={"type": polars.String, "payload": polars.Struct({"type": polars.String})})
    return int(frame.select(polars.col("type").is_not_null().sum()).collect(engine="streaming").item())


def duckdb_scan(path: Path) -> int:
    import duckdb

    columns = {"type": "VARCHAR", "payload": "JSON"}
    lines = duckdb.read_json(str(path), format="newline_delimited", columns=columns, maximum_object_size=2**26)
    return int(lines.aggregate("count(type), count(payload)").fetchall()[0][0])


# Not in the files that the benchmark makes, though its letters are.
RARE = "xylophone"
_BLOCK_SIZE = 256 * 2**10


def lines_with(path: Path, text: str) -> Iterator[RolloutLine]:
    """
    Yield the lines that contain *text*; only these are decoded.
    """
    needle = encode_json(text)[1:-1].encode("utf-8", "replace")
    file, damage = open_rollout(path)
    with file, suppress(*damage):
        for raw in _raw_lines_with(file, needle):
            with suppress(InvalidLineError):
                yield decode_line(raw)


def _raw_lines_with(file: BufferedReader, needle: bytes) -> Iterator[bytes]:
    parts: list[bytes] = []
    size = 0
    # Not read(), which waits for a full block.
    while block := file.read1(_BLOCK_SIZE):
        first = block.find(b"\n")
        parts.append(block if first < 0 else block[:first])
        size += len(parts[-1])
        if size >= MAX_LINE_SIZE:
            parts.clear()
        if first < 0:
            continue
        # The line that began in the block before is put together; the others stay where they are.
        line = b"".join(parts)
        if needle in line:
            yield line
        last = block.rfind(b"\n")
        at = block.find(needle, first, last)
        while at >= 0:
            end = block.find(b"\n", at)
            yield block[block.rfind(b"\n", 0, at) + 1 : end]
            at = block.find(needle, end, last)
        parts = [block[last + 1 :]]
        size = len(parts[0])
    line = b"".join(parts)
    if needle in line:
        yield line


def rollout_search(path: Path) -> int:
    return sum(1 for _ in lines_with(path, RARE))


def ripgrep(path: Path) -> int:
    done = subprocess.run(["rg", "--count", "--fixed-strings", RARE, path], capture_output=True, text=True, check=False)
    return int(done.stdout or 0)


SEARCHERS: dict[str, Callable[[Path], int]] = {"rollout": rollout_search, "ripgrep": ripgrep}

READERS: dict[str, Callable[[Path], int]] = {
    "rollout": rollout_lines,
    "rollout, items": rollout_items,
    "rollout, follow": rollout_follow,
    "rollout, history": rollout_history,
    "ujson loop": ujson_loop,
    "json loop": json_loop,
    "orjson loop": orjson_loop,
    "msgspec typed": msgspec_typed,
    "cattrs plain": cattrs_plain,
    "polars": polars_scan,
    "duckdb": duckdb_scan,
}
