"""
What this package finds in the files of a scenario that it does not know, does not model, or does not read exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from rollout import load_history, verify
from rollout.codec import encode_line
from rollout.interpret import Interpreter, Unknown
from rollout.schema import Wire

# What the scenario's model invents: a real model never sends it.
_INVENTED = frozenset({"brand_new_item"})
# A fault of Codex: it records no output for a call of a tool that its model does not have.
_TRUE = frozenset({"call-without-output"})


@frozen
class Finding:
    """
    A difference between Codex and this package.

    Attributes:
        kind: unknown, unmodelled, misread or not shown.
        what: The type, the field or the number.
        example: Where it is, or its value.
    """

    kind: str
    what: str
    example: str = ""


def findings_in(folder: Path) -> Iterator[Finding]:
    """
    Yield what is unknown, unmodelled or misread in all sessions below a folder.
    """
    for path in sorted(folder.rglob("rollout-*.jsonl")):
        history = load_history(path)
        faults = (*(fault for fault in verify(path).faults if fault.kind not in _TRUE), *history.skipped)
        yield from (Finding("misread", str(fault), path.name) for fault in faults)
        interpreter = Interpreter()
        for line in history.lines:
            facts = interpreter.feed(line)
            strange = [fact.type for fact in facts if isinstance(fact, Unknown) and fact.type not in _INVENTED]
            yield from (Finding("unknown", f"the meaning of {kind}", str(line.payload)[:200]) for kind in strange)
            if encode_line(line) != line.raw + b"\n":
                yield Finding("misread", f"{line.type} is encoded to other bytes", path.name)
            yield from _in_value(line.item, line.type)


def _in_value(value: Any, place: str) -> Iterator[Finding]:
    if isinstance(value, (list, tuple)):
        for inner in value:
            yield from _in_value(inner, place)
    elif isinstance(value, Wire):
        yield from _in_object(value, place)


def _in_object(value: Wire, place: str) -> Iterator[Finding]:
    name = type(value).__name__
    if value.is_unknown:
        payload = getattr(value, "payload", {})
        kind = payload.get("type") if isinstance(payload, dict) else None
        if kind not in _INVENTED:
            yield Finding("unknown", f"{kind} in {place}", str(payload)[:200])
        return
    # A completed item keeps its fields as they are, and an object of an alias its type.
    extra = {} if name == "CompletedItem" else {key: inner for key, inner in value.extra.items() if key != "type"}
    yield from (Finding("unmodelled", f"{name}.{key}", str(inner)[:200]) for key, inner in extra.items())
    for field in attrs.fields(type(value)):
        if field.name not in ("extra", "_keys"):
            yield from _in_value(getattr(value, field.name), f"{place}/{name}")
